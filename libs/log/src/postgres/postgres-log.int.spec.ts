import { Client, Pool, type PoolConfig } from 'pg';
import { freePort } from '#lib/platform';
import { startCutOffProxy } from '../../../../test/support/cut-off-proxy.js';
import { createTestDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import { describeEventLog, readAll } from '../contract/event-log-contract.js';
import { LogRefused, LogUnavailable, OutcomeUnknown, RecordsForgotten, type EventLog } from '../event-log.js';
import { LogNotMigrated, NotDurable, PartitionCountDiffers } from './log-identity.js';
import { LogDamaged, openPostgresLog, PAGE } from './postgres-log.js';

const pools: Pool[] = [];
const databases: TestDatabase[] = [];

async function database(): Promise<TestDatabase> {
  const created = await createTestDatabase();
  databases.push(created);
  return created;
}

function poolOf(settings: PoolConfig): Pool {
  const pool = new Pool({ max: 3, ...settings });
  pool.on('error', () => {});
  pools.push(pool);
  return pool;
}

afterAll(async () => {
  await Promise.all(pools.map((pool) => pool.end()));
  await Promise.all(databases.map((one) => one.drop()));
});

const records = (...values: string[]) => values.map((value) => ({ key: 'playthrough/p', value: Buffer.from(value) }));

{
  const homes = new WeakMap<EventLog, TestDatabase>();
  describeEventLog('the Postgres log', () => ({
    async create(partitions) {
      const home = await database();
      const log = await openPostgresLog({ pool: home.pool, partitions });
      homes.set(log, home);
      return log;
    },
    reopen: (log) => openPostgresLog({ pool: poolOf({ connectionString: homes.get(log)?.url }), partitions: log.partitions }),
  }));
}

describe('opening a Postgres log', () => {
  let home: TestDatabase;
  beforeAll(async () => {
    home = await database();
  });

  test('creates it once, however many processes open it at the same moment', async () => {
    const opened = await Promise.all(
      [1, 2, 3, 4].map(() => openPostgresLog({ pool: poolOf({ connectionString: home.url }), partitions: 2 })),
    );
    expect(new Set(await Promise.all(opened.map((log) => log.id()))).size).toBe(1);
    expect(await opened[0]?.append(1, records('a'))).toBe(0);
    await Promise.all(opened.map((log) => log.close()));
  });

  test('with another partition count is refused, naming both', async () => {
    const refused = openPostgresLog({ pool: home.pool, partitions: 3 });
    await expect(refused).rejects.toThrow(PartitionCountDiffers);
    await expect(refused).rejects.toMatchObject({ written: 2, configured: 3 });
  });

  test('on a database that does not flush its commits is refused unless allowed', async () => {
    const pool = poolOf({ connectionString: home.url, options: '-c synchronous_commit=off' });
    await expect(openPostgresLog({ pool, partitions: 2 })).rejects.toThrow(NotDurable);
    await (await openPostgresLog({ pool, partitions: 2, allowNotDurable: true })).close();
  });

  test('without its tables says so', async () => {
    const bare = await database();
    await bare.pool.query('drop schema fabula cascade');
    await expect(openPostgresLog({ pool: bare.pool, partitions: 1 })).rejects.toThrow(LogNotMigrated);
  });
});

describe('an append that fails', () => {
  let home: TestDatabase;
  let log: EventLog;
  beforeEach(async () => {
    home = await database();
    log = await openPostgresLog({ pool: home.pool, partitions: 1 });
  });
  afterEach(() => log.close());

  /** Runs `during` while another transaction holds the partition's head row, so that an append waits. */
  async function whileHeadIsLocked(during: (waiting: () => Promise<number>) => Promise<void>): Promise<void> {
    const holder = new Client({ connectionString: home.url });
    await holder.connect();
    await holder.query('begin');
    await holder.query('update fabula.log_partitions set next_offset = next_offset');
    const waiting = async () => {
      for (;;) {
        const { rows } = await holder.query<{ pid: number }>(
          `select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
        );
        if (rows[0] !== undefined) return rows[0].pid;
      }
    };
    try {
      await during(waiting);
    } finally {
      await holder.query('rollback');
      await holder.end();
    }
  }

  test('because its session was ended has an unknown outcome; here nothing is stored, and the next append works', async () => {
    await whileHeadIsLocked(async (waiting) => {
      const append = log.append(0, records('a', 'b', 'c'));
      const outcome = expect(append).rejects.toThrow(OutcomeUnknown);
      const pid = await waiting();
      await home.pool.query('select pg_terminate_backend($1)', [pid]);
      await outcome;
    });
    expect(await log.end(0)).toBe(0);
    expect(await log.append(0, records('a'))).toBe(0);
  });

  test('because the answer was lost has an unknown outcome, and here all of it is stored', async () => {
    const target = new URL(home.url);
    const proxy = await startCutOffProxy(Number(target.port));
    target.port = String(proxy.port);
    const far = await openPostgresLog({ pool: poolOf({ connectionString: target.href, max: 1 }), partitions: 1 });
    await far.append(0, records('first'));
    proxy.swallowAnswers();
    const outcome = expect(far.append(0, records('a', 'b', 'c'))).rejects.toThrow(OutcomeUnknown);
    // Another handle sees that the server has committed; only then the connection breaks.
    await readAll(log, 0, 0, 4);
    proxy.cut();
    await outcome;
    expect(await far.append(0, records('again'))).toBe(4);
    await far.close();
    await proxy.close();
  });

  test('because nothing can be reached, or no connection is free, says that nothing was sent', async () => {
    const pool = poolOf({ connectionString: home.url, max: 1, connectionTimeoutMillis: 30 });
    const busy = await openPostgresLog({ pool, partitions: 1 });
    const held = await pool.connect();
    await expect(busy.append(0, records('a'))).rejects.toThrow(LogUnavailable);
    held.release();
    expect(await busy.append(0, records('a'))).toBe(0);
    const nowhere = new URL(home.url);
    nowhere.port = String(await freePort());
    pool.options.connectionString = nowhere.href;
    await pool.query('select pg_terminate_backend(pg_backend_pid())').catch(() => undefined);
    await expect(busy.append(0, records('b'))).rejects.toThrow(LogUnavailable);
    await expect(busy.end(0)).rejects.toThrow(LogUnavailable);
    await expect(readAll(busy, 0, 0, 1)).rejects.toThrow(LogUnavailable);
    await busy.close();
    expect(await log.end(0)).toBe(1);
  });

  test('because it waited too long for the partition was rolled back, so it may be sent again', async () => {
    const pool = poolOf({ connectionString: home.url, options: '-c lock_timeout=20ms' });
    const hasty = await openPostgresLog({ pool, partitions: 1 });
    await whileHeadIsLocked(() => expect(hasty.append(0, records('a'))).rejects.toThrow(LogUnavailable));
    expect(await hasty.append(0, records('a'))).toBe(0);
    await hasty.close();
  });

  test('because the database is read-only, or the role may not write, is refused for good', async () => {
    const pool = poolOf({ connectionString: home.url, max: 1 });
    const bound = await openPostgresLog({ pool, partitions: 1 });
    await pool.query('set default_transaction_read_only = on');
    await expect(bound.append(0, records('a'))).rejects.toThrow(LogRefused);
    // The refused session was given up; the next one is a role that may only read.
    const role = `reader_${process.pid}`;
    await home.pool.query(`create role ${role}`);
    await home.pool.query(`grant usage on schema fabula to ${role}; grant select on all tables in schema fabula to ${role}`);
    await pool.query(`set role ${role}`);
    await expect(bound.append(0, records('b'))).rejects.toThrow(LogRefused);
    await home.pool.query(`drop owned by ${role}; drop role ${role}`);
    expect(await bound.append(0, records('c'))).toBe(0);
    await bound.close();
  });
});

describe('forgetting in a Postgres log', () => {
  let home: TestDatabase;
  let log: EventLog;
  beforeAll(async () => {
    home = await database();
    log = await openPostgresLog({ pool: home.pool, partitions: 2 });
  });
  afterAll(() => log.close());
  const stored = async () => (await home.pool.query('select from fabula.log_records')).rowCount;

  test('deletes the rows, in as many transactions as it takes; cut off, it has gone some way and goes on', async () => {
    const batch = Array.from({ length: 1000 }, () => ({ key: 'k', value: Buffer.alloc(1) }));
    for (let count = 0; count < 12; count++) await log.append(0, batch);
    await log.append(1, records('other'));
    // Only so much at once: the third transaction meets somebody who changes its last row, and gives up.
    const hasty = await openPostgresLog({
      pool: poolOf({ connectionString: home.url, options: '-c lock_timeout=20ms' }),
      partitions: 2,
    });
    const holder = new Client({ connectionString: home.url });
    await holder.connect();
    await holder.query('begin');
    await holder.query('update fabula.log_records set time = time where partition = 0 and "offset" = 10500');
    await expect(hasty.forget(0, 11_000)).rejects.toThrow(LogUnavailable);
    await holder.end();
    expect([await hasty.begin(0), await stored()]).toEqual([10_000, 2_001]);
    await hasty.forget(0, 11_000);
    expect([await log.begin(0), await log.end(0), await stored()]).toEqual([11_000, 12_000, 1_001]);
    await hasty.close();
  });

  test('is refused to a role that may not, and leaves all as it was', async () => {
    const pool = poolOf({ connectionString: home.url, max: 1 });
    const bound = await openPostgresLog({ pool, partitions: 2 });
    await pool.query('set role fabula_engine');
    await expect(bound.forget(1, 1)).rejects.toThrow(LogRefused);
    await pool.query('set role fabula_compliance');
    expect([await bound.begin(1), await stored()]).toEqual([0, 1_001]);
    await bound.forget(1, 1);
    expect([await bound.begin(1), await stored()]).toEqual([1, 1_000]);
    await bound.close();
  });

  test('means nothing to another log that is made in the same database', async () => {
    await home.pool.query('truncate fabula.log_records, fabula.log_partitions, fabula.log_identity');
    const other = await openPostgresLog({ pool: poolOf({ connectionString: home.url }), partitions: 2 });
    expect(await other.append(0, records('a'))).toBe(0);
    expect([await other.begin(0), (await readAll(other, 0, 0, 1)).length]).toEqual([0, 1]);
    await other.close();
  });

  test('is unknown to the database of an earlier release: its log begins at 0', async () => {
    await home.pool.query('drop table fabula.log_begins');
    expect(await log.begin(0)).toBe(0);
  });
});

describe('reading a Postgres log', () => {
  let home: TestDatabase;
  let log: EventLog;
  beforeEach(async () => {
    home = await database();
    log = await openPostgresLog({ pool: home.pool, partitions: 2, pollMs: 600_000 });
  });
  afterEach(() => log.close());

  async function other(): Promise<EventLog> {
    return openPostgresLog({ pool: poolOf({ connectionString: home.url }), partitions: 2, pollMs: 600_000 });
  }

  test('follows what other processes append without polling', async () => {
    const writer = await other();
    const reading = readAll(log, 1, 0, 3);
    for (const value of ['a', 'b', 'c']) await writer.append(1, records(value));
    expect((await reading).map((one) => String(Buffer.from(one.value)))).toEqual(['a', 'b', 'c']);
    await writer.close();
  });

  test('goes on when the listening sessions are ended', async () => {
    const writer = await other();
    const reading = readAll(log, 0, 0, 2);
    await writer.append(0, records('a'));
    await home.pool.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'fabula-log-tail'`);
    await writer.append(0, records('b'));
    expect((await reading).length).toBe(2);
    await writer.close();
  });

  test('stops at a hole instead of skipping it', async () => {
    await log.append(0, records('a', 'b', 'c'));
    await home.pool.query('delete from fabula.log_records where "offset" = 1');
    await expect(readAll(log, 0, 0, 3)).rejects.toThrow(LogDamaged);
    await expect(readAll(log, 0, 1, 2)).rejects.toThrow(LogDamaged);
  });

  test('tells a hole from what was forgotten, on either side of where the partition begins', async () => {
    await log.append(0, records('a', 'b', 'c', 'd', 'e'));
    await log.forget(0, 2);
    await home.pool.query('delete from fabula.log_records where "offset" = 2');
    await expect(readAll(log, 0, 2, 5)).rejects.toThrow(LogDamaged);
    await expect(readAll(log, 0, 1, 5)).rejects.toThrow(RecordsForgotten);
    await home.pool.query('delete from fabula.log_records');
    await expect(readAll(log, 0, 4, 5)).rejects.toThrow(LogDamaged);
    await expect(readAll(log, 0, 1, 5)).rejects.toThrow(RecordsForgotten);
  });

  test('reads the page by its range of the primary key and nothing else, however long the log is', async () => {
    const batch = Array.from({ length: 1000 }, (_, index) => ({ key: `playthrough/${index}`, value: Buffer.alloc(120, 7) }));
    for (let count = 0; count < 10; count++) for (const partition of [0, 1]) await log.append(partition, batch);
    await home.pool.query('analyze fabula.log_records');
    const client = await home.pool.connect();
    try {
      await client.query(`prepare page as ${PAGE}`);
      for (const mode of ['force_generic_plan', 'force_custom_plan']) {
        await client.query(`set plan_cache_mode = ${mode}`);
        const { rows } = await client.query<{ 'QUERY PLAN': unknown }>('explain (format json) execute page(1, 9000, 500, 700000)');
        const plan = JSON.stringify(rows[0]?.['QUERY PLAN']);
        expect(plan).toContain('"Index Name":"log_records_pkey"');
        expect(plan).not.toContain('Seq Scan');
        // Both bounds are the index's own condition: whatever the plan does with the page, the page is all that it reads.
        expect(plan).toMatch(/"Index Cond":"[^}]*partition = [^}]*offset[^}]*>= [^}]*offset[^}]*< /);
      }
    } finally {
      client.release(true);
    }
  });
});
