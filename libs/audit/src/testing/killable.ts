import type { Pool } from 'pg';
import { history, random, type History } from './histories.js';
import { testSigner } from './audited.js';
import { AccessLog, type Access } from '../access/index.js';
import { Auditor } from '../auditor.js';
import type { AuditStore } from '../audit-store.js';
import type { LogName } from '../log-name.js';
import { announceKey } from '../keys/announce-key.js';
import { trustOf } from '../keys/kept-keys.js';
import { Notary } from '../notary.js';
import type { NoteKeeper } from '../note-keeper.js';
import { keepingTerms } from '../terms/keep-terms.js';
import { formatTrust, Frontier, generateSigner, leafHash, openTrustedNote, type NoteSigner, type TrustedKey } from '../tlog/index.js';
import { verifyStore } from '../verify-store.js';

const timers = { after: () => () => undefined };
const ROUNDS = 3;
const LOG_SEED = 90_210;

/** What `everyAwait` runs and kills (test/support/every-await.ts). */
interface Process {
  port<T extends object>(name: string, target: T): T;
  pool(pool: Pool): Pool;
}
interface Scenario<World> {
  begin(): Promise<World>;
  run(world: World, process: Process): Promise<void>;
  recover(world: World): Promise<void>;
  inspect(world: World): Promise<void>;
  verify(world: World): Promise<void>;
}

/** What survives a process: the log, the store, the notes that got out. */
export interface KillableWorld extends History {
  readonly store: AuditStore;
  /** The store as a process that may be killed uses it; default: each of its calls is a step. */
  readonly storeOf?: ((process: Process) => AuditStore) | undefined;
  readonly logId: string;
  /** Every note that was ever released, in order. */
  readonly released: { readonly log: LogName; readonly note: string }[];
  readonly keeper: NoteKeeper;
  /** Entries of the access log that were answered. */
  readonly told: number[];
  now: number;
}

/** A world whose log holds the same records every time. */
export async function killableWorld(
  store: AuditStore,
  options: { readonly partitions?: number; readonly storeOf?: (process: Process) => AuditStore } = {},
): Promise<KillableWorld> {
  const { partitions = 2, storeOf } = options;
  const made = history(LOG_SEED, partitions, 5);
  const next = random(LOG_SEED);
  for (let i = 0; i < 4; i++) await made.writer.batch(1 + next(4));
  const released: KillableWorld['released'] = [];
  const newest = new Map<LogName, string>();
  return {
    ...made,
    store,
    storeOf,
    logId: await made.log.id(),
    released,
    told: [],
    now: 1_800_000_000_000,
    keeper: {
      newest: (log) => Promise.resolve(newest.get(log)),
      keep: (log, note) => {
        newest.set(log, note);
        released.push({ log, note });
        return Promise.resolve();
      },
    },
  };
}

const access = (n: number): Access => ({
  event: 'sensitive_read',
  at: 1_800_000_000_000 + n,
  actor: 'actor-1',
  roles: ['compliance'],
  action: `look ${n}`,
  outcome: 'ok',
  correlationId: null,
});

export interface Worker {
  audit(): Promise<void>;
  sign(): Promise<void>;
  look(from: number, count: number): Promise<void>;
}

/** What one process of the audit does, over its own ports. */
export function worker(world: KillableWorld, process?: Process, signers: readonly NoteSigner[] = [testSigner]): Worker {
  const { logId } = world;
  const wrap = <T extends object>(name: string, target: T): T => process?.port(name, target) ?? target;
  const own = process === undefined ? undefined : world.storeOf?.(process);
  const [store, log, keeper] = [own ?? wrap('store', world.store), wrap('log', world.log), wrap('keeper', world.keeper)];
  const clock = { now: () => (world.now += 1) };
  const auditor = new Auditor({ log, store, timers });
  const notary = new Notary({
    store,
    logId,
    partitions: world.log.partitions,
    signers,
    clock,
    timers,
    keeper,
    terms: keepingTerms(store, logId),
  });
  const accessLog = new AccessLog({ store, logId, timers });
  return {
    audit: async () => {
      for (let partition = 0; partition < world.log.partitions; partition++) await auditor.catchUp(partition);
    },
    sign: async () => {
      await notary.sign();
      const problem = notary.status().find((status) => status.problem !== undefined)?.problem;
      if (problem !== undefined) throw new Error(problem.message);
    },
    look: async (from, count) => {
      for (let n = from; n < from + count; n++) {
        await accessLog.record(access(n));
        world.told.push(n);
      }
    },
  };
}

/** Everything that must hold of a world at rest: nothing lost, nothing contradicting what got out. */
export async function atRest(world: KillableWorld): Promise<void> {
  const { store, log, released } = world;
  const trust = formatTrust(await trusted(world));
  const report = await verifyStore({ store, vkey: trust, log, outsideNotes: released.map(({ note }) => note) });
  if (!report.ok) throw new Error(JSON.stringify(report.findings));
  for (let partition = 0; partition < log.partitions; partition++) {
    const leaves = report.trees.find((one) => one.log === `p${partition}`)?.leaves;
    const end = await log.end(partition);
    if (leaves !== end) throw new Error(`p${partition} has ${leaves} leaves of ${end}`);
  }
  await consistent(world);
}

async function trusted({ store, logId }: KillableWorld): Promise<readonly TrustedKey[]> {
  const kept = trustOf(await store.signingKeys(logId));
  return kept.length > 0 ? kept : [{ verifier: testSigner.verifier }];
}

/** No note that got out is smaller than one before it, or has another root than the tree's leaves give. */
export async function consistent(world: KillableWorld): Promise<void> {
  const { store, released } = world;
  const keys = await trusted(world);
  const sizes = new Map<LogName, bigint>();
  for (const { log, note } of released) {
    const { size, root } = openTrustedNote(note, keys);
    if (size < (sizes.get(log) ?? 0n)) throw new Error(`${log}: a note of ${size} was released after one of ${sizes.get(log)}`);
    sizes.set(log, size);
    const frontier = new Frontier();
    for await (const { leaves } of store.leaves(log, 0n, size)) for (const { bytes } of leaves) frontier.append(leafHash(bytes));
    if (frontier.size !== size || !frontier.root().equals(root))
      throw new Error(`${log}: the released note of ${size} is not of its leaves`);
  }
}

type Begin = () => Promise<KillableWorld>;
const inspect = (world: KillableWorld): Promise<void> => consistent(world);
const verify = (world: KillableWorld): Promise<void> => atRest(world);

/** Leaves are appended; killed anywhere, another auditor builds the very same tree. */
export const appending = (begin: Begin): Scenario<KillableWorld> => ({
  begin,
  run: (world, process) => worker(world, process).audit(),
  recover: async (world) => {
    await worker(world).audit();
    await worker(world).sign();
  },
  inspect,
  verify,
});

/** Notes are signed and released while trees grow. */
export const signing = (begin: Begin): Scenario<KillableWorld> => ({
  begin,
  run: async (world, process) => {
    const { audit, sign } = worker(world, process);
    for (let round = 0; round < ROUNDS; round++) {
      await audit();
      await sign();
      await world.writer.batch(3);
    }
  },
  recover: async (world) => {
    const { audit, sign } = worker(world);
    await audit();
    await sign();
    // A tree without news is looked at once more: what was kept but not released yet is not forgotten by that.
    await worker(world).sign();
  },
  inspect,
  verify,
});

/** Staff is told of; what was answered is in the tree, once, in order. */
export const looking = (begin: Begin): Scenario<KillableWorld> => ({
  begin,
  run: async (world, process) => {
    const { look, audit, sign } = worker(world, process);
    await look(0, 3);
    await audit();
    await sign();
    await look(3, 2);
    await sign();
  },
  recover: async (world) => {
    const { look, audit, sign } = worker(world);
    await audit();
    await look(100, 1);
    await sign();
  },
  inspect,
  verify: async (world) => {
    await atRest(world);
    const looked: string[] = [];
    for await (const { leaves } of world.store.leaves('access', 0n, 1_000n))
      for (const { bytes } of leaves) looked.push((JSON.parse(bytes.toString()) as { readonly action: string }).action);
    const answered = world.told.map((n) => `look ${n}`);
    const kept = looked.filter((action) => answered.includes(action));
    if (kept.join() !== answered.join()) throw new Error(`answered ${answered.join()}, kept ${looked.join()}`);
    // One that nobody was answered may stand there: the answer was lost, not the entry.
    if (looked.length > answered.length + 1) throw new Error(`kept ${looked.join()}, answered ${answered.join()}`);
  },
});

const newSigner = generateSigner(testSigner.name);

/** Another key signs from now on; whenever it is killed, every note that got out verifies by the trust policy that is kept. */
export const rotating = (begin: Begin): Scenario<KillableWorld> => {
  const announce = (world: KillableWorld, process?: Process): Promise<unknown> => {
    const store = process === undefined ? world.store : (world.storeOf?.(process) ?? process.port('store', world.store));
    return announceKey({ store, logId: world.logId, vkey: newSigner.verifier.vkey, now: (world.now += 1) });
  };
  const both = [newSigner, testSigner];
  return {
    begin: async () => {
      const world = await begin();
      await worker(world).audit();
      await worker(world).sign();
      await world.writer.batch(3);
      return world;
    },
    run: async (world, process) => {
      const { audit, sign } = worker(world, process, both);
      await announce(world, process);
      await sign();
      await audit();
      await sign();
    },
    recover: async (world) => {
      await announce(world);
      const { audit, sign } = worker(world, undefined, both);
      await audit();
      await sign();
      await world.writer.batch(2);
      await audit();
      await sign();
    },
    inspect,
    verify: async (world) => {
      await atRest(world);
      const keys = await world.store.signingKeys(world.logId);
      const names = keys.map(({ vkey, until }) => [vkey, until === null]);
      const expected = [
        [testSigner.verifier.vkey, false],
        [newSigner.verifier.vkey, true],
      ];
      if (JSON.stringify(names) !== JSON.stringify(expected)) throw new Error(`the kept keys are ${JSON.stringify(names)}`);
    },
  };
};
