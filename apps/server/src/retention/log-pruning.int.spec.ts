import type { Pool } from 'pg';
import type { AuditStore } from '#lib/audit';
import type { PruneAction } from '#lib/compliance';
import { createMemoryLog, type EventLog, type LogId } from '#lib/log';
import { systemClock, systemTimers } from '#lib/platform';
import {
  baseDigest,
  createReadSide,
  currentBases,
  forgetGenerations,
  Projector,
  readModelDigest,
  rebuild,
  RebuildRunning,
  type BaseTaken,
  type ReadModelDigest,
  type ReadSide,
} from '#lib/projections';
import { writeRandomHistory } from '../../../../libs/projections/src/contract/random-history.js';
import { everyAwait, type Process } from '../../../../test/support/every-await.js';
import { createTestDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import { LogPruning, type LogPruningHost } from './log-pruning.js';
import type { RetentionRule } from './retention-policy.js';

/** Each so many-th call is one that a process is killed at; all of them in the long form. */
const EVERY = process.env['FABULA_TEST_LONG'] === undefined ? 37 : 1;
const PARTITIONS = 2;
const OFFSET = 90;

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database?.drop());

/** Read models of a log, and of compliance only what pruning asks. */
interface World {
  readonly log: EventLog;
  readonly logId: LogId;
  readonly side: ReadSide;
  readonly taken: BaseTaken[];
  readonly id: string;
}

async function begun(): Promise<World> {
  await forgetGenerations(database.pool, async (client) => {
    const { rows } = await client.query<{ id: number }>('delete from fabula.log_bases returning id');
    for (const { id } of rows) await client.query(`drop schema if exists log_base_${id} cascade`);
  });
  const log = createMemoryLog({ partitions: PARTITIONS, clock: { now: () => 1_700_000_000_000 } });
  await writeRandomHistory(log, { seed: 3, partitions: PARTITIONS, playthroughs: 5, records: 260 });
  const logId = await log.id();
  const side = createReadSide({ pool: database.pool, logId, partitions: PARTITIONS, clock: systemClock, timers: systemTimers });
  const projector = await Projector.open({ log, store: side.projection, timers: systemTimers });
  for (let partition = 0; partition < PARTITIONS; partition++) await projector.catchUp(partition);
  return { log, logId, side, taken: [], id: 'a-0000000000000001' };
}

const RULES = [{ name: 'play', keepDays: 1, streams: 'playthrough' }] as unknown as readonly RetentionRule[];

function hostOf({ log, logId, side, taken }: World, pool: Pool, over: (log: EventLog) => EventLog = (one) => one): LogPruningHost {
  const nextOffset = 1_000;
  return {
    pool,
    log: over(log),
    logId,
    store: {
      bases: () =>
        Promise.resolve([
          { log: 'p0', nextOffset },
          { log: 'p1', nextOffset },
        ] as never),
    } satisfies Pick<AuditStore, 'bases'>,
    live: side.reads.live,
    reads: { basesTaken: () => Promise.resolve(taken) },
    rules: () => Promise.resolve(RULES),
    record: async ({ id, partition, offset, digest }) =>
      void taken.push({ action: id, partition, offset, digest, recordPartition: 1, recordOffset: 0 }),
    signed: () => Promise.resolve(true),
    patient: (work) => work(pool),
    alone: (work) => work(),
  };
}
const actionOf = ({ id }: World, offset = OFFSET): PruneAction => ({
  id,
  kind: 'prune',
  retention: 'play',
  what: 'log',
  before: [{ partition: 0, offset }],
});
const prune = (pruning: LogPruning, world: World, offset?: number): Promise<unknown> =>
  pruning.prune(actionOf(world, offset), new AbortController().signal);
const options = ({ log }: World) => ({ databaseUrl: database.url, log, clock: systemClock, timers: systemTimers });

/** A killed process's sessions end a moment after it. */
async function once<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof RebuildRunning) || tries > 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** Whatever happened: what the log has no longer, a base has whole. */
async function nothingLost({ log, logId }: World): Promise<void> {
  const begin = await log.begin(0);
  const [base] = await currentBases(database.pool, logId);
  if (begin > (base?.offset ?? 0)) throw new Error(`the log begins at ${begin}, its base ends at ${base?.offset ?? 0}`);
  if (base !== undefined && (await baseDigest(database.pool, base)) !== base.digest) throw new Error('the base is not what was recorded');
}

describe('a pruning of the log that is killed', () => {
  it('at any call that it awaits has lost nothing, is taken up where it ended, and read models are built from the base alone', async () => {
    let expected: ReadModelDigest | undefined;
    const steps = await everyAwait<World>(
      {
        begin: begun,
        run: async (world, process: Process) => {
          const host = hostOf(world, process.pool(database.pool), (log) => process.port('log', log));
          await prune(
            new LogPruning({
              ...process.port('host', { record: host.record }),
              ...host,
              record: process.port('host', { record: host.record }).record,
            }),
            world,
          );
        },
        inspect: nothingLost,
        recover: (world) => once(() => prune(new LogPruning(hostOf(world, database.pool)), world)).then(() => undefined),
        verify: async (world) => {
          const { log, logId, side } = world;
          await nothingLost(world);
          if ((await log.begin(0)) !== OFFSET) throw new Error('records are still there');
          const { rows: schemas } = await database.pool.query<{ n: string }>(
            `select count(*) as n from pg_namespace where nspname ~ '^log_base_'`,
          );
          const { rows: bases } = await database.pool.query<{ state: string }>('select state from fabula.log_bases where log_id = $1', [
            logId,
          ]);
          if (Number(schemas[0]?.n) !== 1 || bases.map(({ state }) => state).join() !== 'current') throw new Error('bases are left over');
          const now = await readModelDigest(side.projection);
          expected ??= now;
          expect(now).toEqual(expected);
          const { parity } = await once(() => rebuild(options(world)));
          if (parity.kind !== 'equal') throw new Error(`built anew they differ: ${JSON.stringify(parity)}`);
        },
      },
      EVERY,
      3,
    );
    expect(steps).toBeGreaterThan(200);
  }, 600_000);
});
