import { randomBytes } from 'node:crypto';
import type { Pool } from 'pg';
import type { AuditStore } from '#lib/audit';
import type { PruneAction } from '#lib/compliance';
import { assertBegins, createMemoryLog, openKafkaLog, type EventLog, type LogId } from '#lib/log';
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
  withOwnPool,
  type BaseTaken,
  type ReadModelDigest,
  type ReadSide,
} from '#lib/projections';
import { writeRandomHistory } from '../../../../libs/projections/src/contract/random-history.js';
import { everyAwait, type Process } from '../../../../test/support/every-await.js';
import { describeWithKafka, kafkaBrokers, uniqueTopic } from '../../../../test/support/kafka.js';
import { createTestDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import { verified } from '../../../../test/support/verification.js';
import { runMigrations } from '../../../../migrations/index.js';
import { Hindered, type Proceed } from '../compliance/action-work.js';
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

const inMemory = (): EventLog => createMemoryLog({ partitions: PARTITIONS, clock: { now: () => 1_700_000_000_000 } });

async function cleaned(): Promise<void> {
  await forgetGenerations(database.pool, async (client) => {
    const { rows } = await client.query<{ id: number }>('delete from fabula.log_bases returning id');
    for (const { id } of rows) await client.query(`drop schema if exists log_base_${id} cascade`);
  });
}

async function begun(log: EventLog = inMemory()): Promise<World> {
  await cleaned();
  await writeRandomHistory(log, { seed: 3, partitions: PARTITIONS, playthroughs: 2, records: 260 });
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
    approvedRecords: () => Promise.resolve(true),
    record: async ({ id, partition, offset, digest }) =>
      void taken.push({ action: id, partition, offset, digest, recordPartition: 0, recordOffset: 0 }),
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
const prune = (pruning: LogPruning, world: World, offset?: number, proceed: Proceed = () => Promise.resolve()): Promise<unknown> =>
  pruning.prune(actionOf(world, offset), new AbortController().signal, proceed);
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
        begin: () => begun(),
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
          const [base] = await currentBases(database.pool, logId);
          const live = await side.reads.live.refresh();
          for (const table of ['turns', 'stream_commands']) {
            const count = async (schema: string) =>
              (await database.pool.query(`select from ${schema}.${table} where partition = 0 and "offset" < ${OFFSET}`)).rowCount;
            const kept = await count(`log_base_${base?.id}`);
            expect([table, await count(`projection_${live}`)]).toEqual([table, kept]);
            if (table === 'turns') expect(kept).toBeLessThan(40);
          }
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
    const figures = await verified('5.4 kills while the log is pruned, at statements and ports', () =>
      Promise.resolve({ steps, every: EVERY }),
    );
    expect(figures.steps).toBeGreaterThan(200);
  }, 600_000);
});

describe('a pruning of the log', () => {
  it('goes on from base to base, and takes up where another process stands', async () => {
    const world = await begun();
    await prune(new LogPruning(hostOf(world, database.pool)), world, 40);
    const { digest } = (await currentBases(database.pool, world.logId))[0] ?? {};
    // The same action again: nothing changes, not even what was recorded.
    await prune(new LogPruning(hostOf(world, database.pool)), world, 40);
    expect((await currentBases(database.pool, world.logId)).map((base) => base.digest)).toEqual([digest]);
    expect(world.taken).toHaveLength(1);
    const next = { ...world, id: 'a-0000000000000002' };
    // Two at once, by a lock that was lost unawares: one of them may fail, nothing is lost, and the next try ends it.
    await Promise.allSettled([1, 2].map(() => prune(new LogPruning(hostOf(next, database.pool)), next, 100)));
    await nothingLost(next);
    await once(() => prune(new LogPruning(hostOf(next, database.pool)), next, 100));
    expect([await world.log.begin(0), world.taken.at(-1)?.action]).toEqual([100, next.id]);
    expect(await new LogPruning(hostOf(next, database.pool)).check()).toEqual([{ partition: 0, offset: 100, problem: null }]);
    const never = { ...hostOf(next, database.pool), approvedRecords: () => Promise.resolve(false) };
    expect(await new LogPruning(never).check()).toMatchObject([
      { problem: expect.stringContaining('two people never approved it') as string },
    ]);
    expect((await once(() => rebuild(options(world)))).parity.kind).toBe('equal');
  });

  it('waits for what still needs the records: dead letters that may be mended, feeds, read models, leaves', async () => {
    const world = await begun();
    const { pool } = database;
    const blocked = () => new LogPruning(hostOf(world, pool)).blocked(actionOf(world), []);
    expect(await blocked()).toBeNull();
    await pool.query(
      `insert into fabula.dead_letters (log_id, partition, "offset", kind, reason, key, bytes, size, digest, time)
       values ($1, 0, 7, 'invalid', 'x', 'k', '', 0, 'd', 0), ($1, 0, 8, 'fold-failed', 'x', 'k', '', 0, 'd', 0) on conflict (log_id, partition, "offset") do update set kind = excluded.kind`,
      [world.logId],
    );
    expect(await blocked()).toMatch(/the record at 8 is a dead letter \(fold-failed\) that may still be mended/);
    await pool.query('delete from fabula.dead_letters where "offset" = 8');
    expect(await blocked()).toBeNull();
    const live = (await pool.query<{ n: number }>(`select n from fabula.projection_generations where state = 'live'`)).rows[0]?.n;
    await pool.query(`update projection_${live}.positions set next_offset = 50 where partition = 0`);
    expect(await blocked()).toMatch(/the read models are at 50 only/);
    await pool.query(`update projection_${live}.positions set next_offset = $1 where partition = 0`, [await world.log.end(0)]);
    expect(await new LogPruning(hostOf(world, pool)).blocked(actionOf(world, 1_001), [])).toMatch(/the log ends at/);
    const none = { ...hostOf(world, pool), store: { bases: () => Promise.resolve([]) } };
    expect(await new LogPruning(none).blocked(actionOf(world), [])).toMatch(
      /the audit still begins at offset 0; have the leaves pruned first/,
    );
    const longer = RULES.map((rule) => ({ ...rule, keepDays: 36_500 }));
    const kept = { ...hostOf(world, pool), rules: () => Promise.resolve(longer) };
    expect(await new LogPruning(kept).blocked(actionOf(world), [])).toMatch(/the record at 89 is not 36500 days old/);
    const unsigned = { ...hostOf(world, pool), record: () => Promise.reject(new Error('the log is down')) };
    await expect(prune(new LogPruning(unsigned), world)).rejects.toThrow('the log is down');
    expect([await world.log.begin(0), await currentBases(pool, world.logId)]).toEqual([0, []]);
  });

  it('stops for a hold that came meanwhile at any step before the base is switched, and ends what was switched', async () => {
    for (const asked of [1, 2]) {
      const world = await begun();
      let left = asked;
      const hold: Proceed = () => (--left <= 0 ? Promise.reject(new Hindered('hold h-1 came')) : Promise.resolve());
      await expect(prune(new LogPruning(hostOf(world, database.pool)), world, OFFSET, hold)).rejects.toThrow(Hindered);
      expect([await world.log.begin(0), await currentBases(database.pool, world.logId), world.taken.length]).toEqual([0, [], asked - 1]);
      const broken = new LogPruning(hostOf(world, database.pool));
      broken.at = (step) => (step === 'forget' ? Promise.reject(new Error('killed')) : Promise.resolve());
      await expect(once(() => prune(broken, world))).rejects.toThrow('killed');
      expect([await world.log.begin(0), (await currentBases(database.pool, world.logId)).length]).toEqual([0, 1]);
      await once(() => prune(new LogPruning(hostOf(world, database.pool)), world, OFFSET, hold));
      expect(await world.log.begin(0)).toBe(OFFSET);
    }
  });

  it('forgets again what brokers that failed brought back, but not when its base was changed', async () => {
    const world = await begun();
    await prune(new LogPruning(hostOf(world, database.pool)), world);
    let begin = 30;
    const forgotten: number[] = [];
    const back: EventLog = {
      ...world.log,
      partitions: PARTITIONS,
      end: (partition) => world.log.end(partition),
      begin: (partition) => Promise.resolve(partition === 0 ? begin : 0),
      forget: (_, before) => {
        forgotten.push((begin = before));
        return Promise.resolve();
      },
    };
    const pruning = new LogPruning(hostOf(world, database.pool, () => back));
    const [base] = await currentBases(database.pool, world.logId);
    await database.pool.query(`update log_base_${base?.id}.positions set accepted = accepted + 1 where partition = 0`);
    await expect(pruning.finish(new AbortController().signal)).rejects.toThrow(/its base has the digest/);
    await database.pool.query(`update log_base_${base?.id}.positions set accepted = accepted - 1 where partition = 0`);
    await pruning.finish(new AbortController().signal);
    await pruning.finish(new AbortController().signal);
    expect(forgotten).toEqual([OFFSET]);
  });
});

describe('a pruning where each role has its own database user', () => {
  const name = `spec_prune_${randomBytes(4).toString('hex')}`;
  const users = {
    auditor: ['fabula_auditor', 'fabula_compliance'],
    both: ['fabula_auditor', 'fabula_compliance', 'fabula_projector'],
    projector: ['fabula_projector'],
  };
  const userOf = (user: keyof typeof users): string => {
    const url = new URL(database.url);
    url.username = `${name}_${user}`;
    url.password = name;
    return url.href;
  };
  beforeAll(async () => {
    await cleaned();
    // Tables come with a template, rights on the database do not.
    await database.pool.query('comment on schema fabula is null');
    await runMigrations(database.url);
    for (const [user, roles] of Object.entries(users))
      await database.pool.query(`create role ${name}_${user} login password '${name}' in role ${roles.join(', ')}`);
  });
  afterAll(async () => {
    await cleaned();
    for (const user of Object.keys(users)) await database.pool.query(`drop owned by ${name}_${user} cascade; drop role ${name}_${user}`);
  });

  it('asks for the right to change read models too, and with it is done; others build on the base then', async () => {
    const world = await begun();
    const as = <T>(user: keyof typeof users, work: (pool: Pool) => Promise<T>) => withOwnPool(userOf(user), 'spec', work);
    await expect(as('auditor', (pool) => prune(new LogPruning(hostOf(world, pool)), world))).rejects.toThrow(
      /needs the role fabula_projector too/,
    );
    expect(await world.log.begin(0)).toBe(0);
    await as('both', (pool) => prune(new LogPruning(hostOf(world, pool)), world));
    expect(await world.log.begin(0)).toBe(OFFSET);
    expect(await as('auditor', (pool) => new LogPruning(hostOf(world, pool)).check())).toMatchObject([{ problem: null }]);
    expect((await once(() => rebuild({ ...options(world), databaseUrl: userOf('projector') }))).parity.kind).toBe('equal');
    await as('both', (pool) => prune(new LogPruning(hostOf(world, pool)), { ...world, id: 'a-0000000000000002' }, OFFSET + 5));
    expect(await database.pool.query('select from fabula.log_bases')).toMatchObject({ rowCount: 1 });
  });
});

describeWithKafka('a pruning of a log in Kafka', () => {
  it('has the brokers forget, and another process begins with the base', async () => {
    const topic = uniqueTopic('pruned');
    const open = async () =>
      openKafkaLog({ connection: { brokers: await kafkaBrokers(1), clientId: 'spec' }, topic, partitions: PARTITIONS, allowUnsafe: true });
    const log = await open();
    const world = await begun(log);
    const again = await open();
    try {
      await prune(
        new LogPruning({ ...hostOf(world, database.pool), rules: () => Promise.resolve(RULES.map((rule) => ({ ...rule, keepDays: -1 }))) }),
        world,
      );
      expect(await again.begin(0)).toBe(OFFSET);
      const bases = await currentBases(database.pool, world.logId);
      expect(await assertBegins(again, (partition) => bases.find((base) => base.partition === partition)?.offset ?? 0)).toEqual([]);
      await expect(assertBegins(again, () => 0)).rejects.toThrow(/begins at offset 90, but nothing of it was pruned/);
      await writeRandomHistory(again, { seed: 4, partitions: PARTITIONS, playthroughs: 2, records: 40 });
      const report = await rebuild({ ...options(world), log: again });
      expect(report.parity.kind).toBe('equal');
      expect(report.records).toBe((await again.end(0)) - OFFSET + (await again.end(1)));
    } finally {
      await Promise.all([log.close(), again.close()]);
    }
  });
});
