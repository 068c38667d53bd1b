import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { errorCode, freePort } from '#lib/platform';
import { askBrokers, startKafkaCluster, type KafkaCluster, type KafkaOptions } from '../../scripts/kafka/cluster.mjs';
import { FaultProxy } from './fault-proxy.js';
import { describeWith } from './requirement.js';

const GIVEN = process.env['KAFKA_BROKERS']?.split(',').map((address) => address.trim());
const START_TIMEOUT_MS = 300_000;
/** How many specs, or parts of them, may have proxies of their own in front of the run's three brokers at once. */
const CLAIMS = 8;

/** Why there can be no brokers here; undefined when there can. */
export const kafkaMissing: string | undefined =
  GIVEN === undefined && (!onPath('java') || !onPath('mvn'))
    ? 'brokers need java (17 or newer) and mvn on the PATH, or KAFKA_BROKERS'
    : undefined;
/** The same for brokers that a spec may hurt: those of KAFKA_BROKERS may not be. */
export const ownKafkaMissing: string | undefined =
  !onPath('java') || !onPath('mvn') ? 'brokers of its own need java (17 or newer) and mvn on the PATH' : undefined;

/** Specs that only use brokers (`kafkaBrokers`). */
export function describeWithKafka(title: string, body: () => void): void {
  describeWith('kafka', kafkaMissing === undefined, kafkaMissing ?? '', title, body);
}
/** Specs that start brokers of their own (`startKafka`). */
export function describeWithOwnKafka(title: string, body: () => void): void {
  describeWith('kafka', ownKafkaMissing === undefined, ownKafkaMissing ?? '', title, body);
}

/** What the brokers of the run are known by: `audiences[i][broker]`, the first for `kafkaBrokers`, the others to be claimed. */
interface Shared {
  readonly audiences: readonly { readonly advertised: readonly number[]; readonly ports: readonly number[] }[];
}

/**
 * Addresses of brokers that all specs of this jest run share; the first to ask starts them, the global teardown stops them.
 * Use topics and groups of your own (`uniqueTopic`), and do not hurt the brokers.
 */
export async function kafkaBrokers(nodes: 1 | 3): Promise<readonly string[]> {
  if (GIVEN !== undefined) {
    const seen = await askBrokers(GIVEN, 10_000);
    if (seen === undefined) throw new Error(`KAFKA_BROKERS=${GIVEN.join()} do not answer`);
    if (seen.length < nodes) throw new Error(`KAFKA_BROKERS=${GIVEN.join()} has ${seen.length} brokers, the spec needs ${nodes}`);
    return GIVEN;
  }
  const { audiences } = await sharedBrokers(nodes);
  return addresses(audiences[0]?.ports ?? []);
}

const addresses = (ports: readonly number[]): readonly string[] => ports.map((port) => `127.0.0.1:${port}`);

async function sharedBrokers(nodes: 1 | 3): Promise<Shared> {
  const dir = path.join(runFolder(), `kafka-shared-${nodes}`);
  const file = `${dir}.brokers.json`;
  const failure = `${dir}.failure.txt`;
  if (await isFirst(`${dir}.starting`)) {
    try {
      const shared = await startShared(dir, nodes);
      await writeFile(`${file}.new`, JSON.stringify(shared));
      await rename(`${file}.new`, file);
    } catch (error) {
      await writeFile(failure, String(error));
      throw error;
    }
  }
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!existsSync(file)) {
    if (existsSync(failure)) throw new Error(`The brokers could not be started: ${await readFile(failure, 'utf8')}`);
    if (Date.now() > deadline) throw new Error('The brokers were not started in time by the spec that began to.');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return JSON.parse(await readFile(file, 'utf8')) as Shared;
}

async function startShared(dir: string, nodes: 1 | 3): Promise<Shared> {
  let audiences: Shared['audiences'] = [];
  await startKafkaCluster({
    ...{ dir, nodes, audiences: nodes === 1 ? 1 : 1 + CLAIMS, properties: { 'num.network.threads': '2' } },
    advertise: async (ports) => {
      const reserve = (own: readonly number[], i: number): Promise<readonly number[]> =>
        i === 0 ? Promise.resolve(own) : Promise.all(own.map(() => freePort()));
      const advertised = await Promise.all(ports.map(reserve));
      audiences = ports.map((own, i) => ({ ports: own, advertised: advertised[i] as readonly number[] }));
      return advertised;
    },
  });
  return { audiences };
}

/** A way to the run's three brokers that nobody else uses: a proxy in front of each. `direct` goes past them. */
export interface ProxiedBrokers {
  readonly brokers: readonly string[];
  readonly proxies: readonly FaultProxy[];
  readonly direct: readonly string[];
  close(): Promise<void>;
}

/** Claims such a way; for brokers that are not to be hurt themselves. */
export async function claimProxiedBrokers(seed: number): Promise<ProxiedBrokers> {
  const { audiences } = await sharedBrokers(3);
  for (const [i, { advertised, ports }] of audiences.entries()) {
    if (i === 0) continue;
    const claim = path.join(runFolder(), `kafka-shared-3.claim-${i}`);
    if (!(await isFirst(claim))) continue;
    const proxies: FaultProxy[] = [];
    const close = async (): Promise<void> => {
      await Promise.all(proxies.map((proxy) => proxy.close()));
      await rm(claim);
    };
    try {
      for (const [node, port] of ports.entries()) {
        const options = { nameOf: kafkaRequestName, ...(advertised[node] === undefined ? {} : { port: advertised[node] }) };
        proxies.push(await FaultProxy.start(port, seed * 100 + node, options));
      }
    } catch (error) {
      // Another program has taken one of the ports since they were chosen: the claim stays, so that nobody tries again.
      if (errorCode(error) !== 'EADDRINUSE') throw error;
      await Promise.all(proxies.map((proxy) => proxy.close()));
      continue;
    }
    return { brokers: addresses(advertised), proxies, direct: addresses(audiences[0]?.ports ?? []), close };
  }
  throw new Error(`all ${CLAIMS} ways to the brokers of this run are taken`);
}

/** `produce` for requests that append records; kafkajs writes each request in one piece: size, API key, … */
function kafkaRequestName(bytes: Buffer): string | undefined {
  if (bytes.length < 12 || bytes.readInt32BE(0) !== bytes.length - 4) return undefined;
  return bytes.readInt16BE(4) === 0 ? 'produce' : undefined;
}

/** A name that no other spec uses, good for topics and groups. */
export function uniqueTopic(what = 'test'): string {
  return `${what}.${randomBytes(6).toString('hex')}`;
}

/** Brokers of one spec's own, which it may hurt. `destroy` them at the end; what is left the run's teardown kills. */
export async function startKafka(options: Omit<KafkaOptions, 'dir' | 'fresh'> = {}): Promise<KafkaCluster> {
  const dir = await mkdtemp(path.join(runFolder(), 'kafka-own-'));
  return startKafkaCluster({ quickFailover: true, ...options, dir });
}

/** Brokers with a proxy in front of each, for each audience; `proxies[audience][broker]`. */
export interface ProxiedKafka {
  readonly kafka: KafkaCluster;
  readonly proxies: readonly (readonly FaultProxy[])[];
  close(): Promise<void>;
}

/** Brokers of one spec's own that clients reach only through proxies; `kafka.direct` goes past them. */
export async function startProxiedKafka(
  seed: number,
  options: Omit<KafkaOptions, 'dir' | 'fresh' | 'advertise'> = {},
): Promise<ProxiedKafka> {
  let proxies: FaultProxy[][] = [];
  const closeProxies = (): Promise<void[]> => Promise.all(proxies.flat().map((proxy) => proxy.close()));
  const kafka = await startKafka({
    ...options,
    advertise: async (ports) => {
      await closeProxies();
      const start = (port: number, i: number): Promise<FaultProxy> => FaultProxy.start(port, seed * 100 + i, { nameOf: kafkaRequestName });
      proxies = await Promise.all(ports.map((one) => Promise.all(one.map(start))));
      return proxies.map((one) => one.map(({ port }) => port));
    },
  });
  return {
    ...{ kafka, proxies },
    close: async () => {
      await closeProxies();
      await kafka.destroy();
    },
  };
}

function runFolder(): string {
  const folder = process.env['FABULA_TEST_CLUSTER'];
  if (folder === undefined) throw new Error('FABULA_TEST_CLUSTER is not set: run this under jest, whose global setup makes the folder.');
  return folder;
}

async function isFirst(file: string): Promise<boolean> {
  try {
    await writeFile(file, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

function onPath(command: string): boolean {
  const endings = process.platform === 'win32' ? ['.exe', '.cmd', '.bat'] : [''];
  const folders = (process.env['PATH'] ?? '').split(path.delimiter);
  return folders.some((folder) => endings.some((ending) => existsSync(path.join(folder, command + ending))));
}
