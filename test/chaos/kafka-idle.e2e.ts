import { existsSync } from 'node:fs';
import type { KafkaCluster } from '../../scripts/kafka/cluster.mjs';
import { ApiClient } from '../support/api-client.js';
import { describeWithOwnKafka, startKafka } from '../support/kafka.js';
import { describeWith, isLong } from '../support/requirement.js';
import { progress, verified } from '../support/verification.js';
import { Arena } from './arena.js';
import { KafkaArenaLog } from './arena-log.js';
import { chaosStory } from './chaos-story.js';
import { pause } from './crowd.js';
import { checkDerived, settle } from './derived-checks.js';
import { connectionsTo, cpuMs, rssMb } from './process-figures.js';

const SERVERS = 2;
const PARTITIONS = 12;
const PLAYTHROUGHS = 12;
const ROW = 'Kafka 10 idle';
/** Brokers close a connection that was silent for so long; the long run leaves them their own 10 minutes. */
const BROKERS_CLOSE_AFTER_MS = isLong ? 600_000 : 8_000;
const IDLE_MS = isLong ? 900_000 : 11_000;
/** Broker listeners look for silent connections as they go, one at a time. */
const BLOCKS = isLong ? 5 : 1;
const BLOCK = isLong ? 200 : 36;
const MAX_RATIO = 2;
const MAX_IDLE_PERCENT = 2;
const SOAK_MS = 1_200_000;
const SOAK_EVERY_MS = 100;
/** Between the second quarter of the soak, when caches have filled, and the last. */
const MAX_GROWTH_PERCENT = 10;

describeWith('proc', existsSync('/proc/self/stat'), 'it reads processor time and connections from /proc', ROW, () =>
  describeWithOwnKafka('Servers that nobody has asked for anything until brokers closed their connections', () => {
    let arena: Arena;
    let kafka: KafkaCluster;
    const playthroughs: { readonly id: string; turn: number; readonly token: string }[] = [];
    const pids = (): number[] => Array.from({ length: SERVERS }, (_, i) => arena.server(i).pid);
    const ports = (): number[] => kafka.brokers.map((address) => Number(address.split(':')[1]));

    beforeAll(async () => {
      arena = await Arena.open({
        ...{ servers: SERVERS, partitions: PARTITIONS, log: 'kafka' },
        kafka: async (partitions) => {
          kafka = await startKafka({ nodes: 3, properties: { 'connections.max.idle.ms': String(BROKERS_CLOSE_AFTER_MS) } });
          return KafkaArenaLog.over({ kafka, proxies: [[]], close: () => kafka.destroy() }, partitions);
        },
      });
      await arena.allOwn();
      for (const token of await arena.readers(PLAYTHROUGHS)) {
        const { playthrough } = await new ApiClient(arena.server(0).url, token).start(chaosStory.id);
        playthroughs.push({ id: playthrough.id, turn: 0, token });
      }
    }, 300_000);
    afterAll(() => arena?.close(), 60_000);

    /** One choice at server `i`, sent once. @returns ms. @throws Refused unless it is accepted at the first try */
    async function choose(n: number, i: number): Promise<number> {
      const one = playthroughs[n % PLAYTHROUGHS] as (typeof playthroughs)[number];
      const begun = performance.now();
      one.turn = (await new ApiClient(arena.server(i % SERVERS).url, one.token).choose(one.id, 'walk', one.turn)).turn;
      return performance.now() - begun;
    }

    /** Each playthrough at each server, in one block after the other; the p99 of each. */
    async function normalP99s(): Promise<number[]> {
      const p99s: number[] = [];
      for (let block = 0; block < BLOCKS; block++) {
        const took: number[] = [];
        for (let n = 0; n < BLOCK; n++) took.push(await choose(n, Math.floor(n / PLAYTHROUGHS)));
        p99s.push(quantile(took, 0.99));
      }
      return p99s;
    }

    it(
      'answer the first command at the first try, and cost next to nothing meanwhile',
      async () => {
        const figures = await verified(ROW, async () => {
          await normalP99s();
          const normal = quantile(await normalP99s(), 0.5);
          await settle(arena);
          const [before, cpuBefore] = [await openConnections(), await Promise.all(pids().map(cpuMs))];
          const begun = performance.now();
          const report = progress(ROW);
          while (performance.now() - begun < IDLE_MS) {
            await pause(Math.min(5_000, IDLE_MS));
            report(Math.round((performance.now() - begun) / 1_000), IDLE_MS / 1_000, 'idle seconds');
          }
          const idleMs = performance.now() - begun;
          const cpu = (await Promise.all(pids().map(cpuMs))).map((now, i) => ((now - (cpuBefore[i] as number)) / idleMs) * 100);
          const after = await openConnections();
          const closed = before.map((set, i) => [...set].filter((port) => !(after[i] as ReadonlySet<number>).has(port)).length);
          const first: number[] = [];
          // At each server; each playthrough, so that all leaders of partitions are written to.
          for (let i = 0; i < SERVERS; i++) first.push(await choose(i, i));
          const rest: number[] = [];
          for (let n = 0; n < PLAYTHROUGHS * SERVERS; n++) rest.push(await choose(n, Math.floor(n / PLAYTHROUGHS)));
          const soak = isLong ? await soaked() : {};
          await settle(arena);
          const { wrong, records } = await checkDerived(arena);
          expect(wrong).toEqual([]);
          return {
            ...{ servers: SERVERS, brokers: 3, brokersCloseAfterMs: BROKERS_CLOSE_AFTER_MS, idleMs: Math.round(idleMs) },
            ...{ closedPerServer: closed.map(String), openPerServer: before.map(({ size }) => String(size)) },
            ...{ normalP99Ms: round(normal), firstMs: first.map((ms) => String(round(ms))), nextSlowestMs: round(Math.max(...rest)) },
            ...{ ratio: round(Math.max(...first) / normal), idlePercent: round(Math.max(...cpu)), records },
            ...soak,
          };
        });
        // Else nothing was tried.
        expect(figures.closedPerServer.reduce((sum, closed) => sum + Number(closed), 0)).toBeGreaterThan(0);
        // Shares of processors and times are judged where there is time to measure them.
        if (!isLong) return;
        expect(figures.idlePercent).toBeLessThanOrEqual(MAX_IDLE_PERCENT);
        expect(figures.ratio).toBeLessThanOrEqual(MAX_RATIO);
        expect((figures as { growthPercent?: number }).growthPercent).toBeLessThanOrEqual(MAX_GROWTH_PERCENT);
      },
      isLong ? IDLE_MS + SOAK_MS + 900_000 : 180_000,
    );

    const openConnections = (): Promise<readonly ReadonlySet<number>[]> => Promise.all(pids().map((pid) => connectionsTo(pid, ports())));

    /** Plays on at a walking pace and watches the memory. */
    async function soaked(): Promise<Record<string, number | readonly string[]>> {
      const report = progress(`${ROW}, soak`);
      const samples: number[][] = pids().map(() => []);
      const begun = performance.now();
      let commands = 0;
      while (performance.now() - begun < SOAK_MS) {
        await choose(commands, commands);
        commands++;
        if (commands % 50 === 0) for (const [i, pid] of pids().entries()) samples[i]?.push(await rssMb(pid));
        report(Math.round((performance.now() - begun) / 1_000), SOAK_MS / 1_000, 'soaked seconds');
        await pause(SOAK_EVERY_MS);
      }
      const quarters = samples.map((all) => {
        const quarter = (n: number): number => quantile(all.slice((all.length * n) >> 2, (all.length * (n + 1)) >> 2), 0.5);
        return [quarter(1), quarter(3)] as const;
      });
      const growth = quarters.map(([second, last]) => (last / second - 1) * 100);
      return {
        ...{ soakMs: SOAK_MS, soakCommands: commands, growthPercent: round(Math.max(...growth)) },
        rssMb: quarters.map(([second, last]) => `${second} then ${last}`),
      };
    }
  }),
);

function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}
const round = (value: number): number => Math.round(value * 100) / 100;
