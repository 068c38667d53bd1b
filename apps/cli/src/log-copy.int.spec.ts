import { randomUUID } from 'node:crypto';
import { Client, Pool } from 'pg';
import { encodeRecord, partitionOf } from '#lib/decision';
import { openPostgresLog } from '#lib/log';
import { freePort } from '#lib/platform';
import { createTestDatabase, testCluster, type TestDatabase } from '../../../test/support/postgres.js';
import { startEventStoreDbMock, type EventStoreDbMock } from '../../../test/support/eventstoredb-mock.js';
import { recorded } from './testing/recorded.js';

const STREAMS = 30;

/** One accepted record in each of some streams. */
async function fill(pool: Pool, partitions: number): Promise<void> {
  const log = await openPostgresLog({ pool, partitions });
  for (let index = 0; index < STREAMS; index++) {
    const stream = `playthrough/${index}`;
    const value = encodeRecord({
      v: 1,
      stream,
      expectedVersion: 0,
      previous: null,
      commandId: `c:${randomUUID()}`,
      commandDigest: '0'.repeat(64),
      eventCount: 1,
      correlationId: randomUUID(),
      causationId: null,
      actor: { id: 'r-somebody', role: 'reader' },
      at: 1,
      events: [{ type: 'X', v: 1 }],
    });
    await log.append(partitionOf(stream, partitions), [{ key: stream, value }]);
  }
  await log.close();
}

describe('fabula log copy', () => {
  let database: TestDatabase;
  let mock: EventStoreDbMock;
  let administrator: Client;
  const copies: string[] = [];
  beforeAll(async () => {
    database = await createTestDatabase();
    await fill(database.pool, 2);
    mock = await startEventStoreDbMock();
    administrator = new Client({ connectionString: (await testCluster()).url('postgres') });
    await administrator.connect();
  });
  afterAll(async () => {
    for (const name of copies) await administrator.query(`drop database if exists ${name} with (force)`);
    await administrator.end();
    await mock.stop();
    await database.drop();
  });

  const fabula = (line: string, env: Record<string, string> = {}) =>
    recorded(['log', 'copy', ...line.split(' ')], {
      env: { DATABASE_URL: database.url, EVENTSTOREDB_URL: mock.url, FABULA_DATA_DIR: '/nonexistent', ...env },
      live: true,
    });

  test('says what it did and how to start on the new log', async () => {
    const { code, out, err } = await fabula('--from postgres --to eventstoredb --to-name said --to-partitions 5');
    expect([code, err.split('\n').map((line) => line.split(':')[0])]).toEqual([0, ['copying', 'checking', '']]);
    expect(out).toMatch(
      /30 records of 30 streams stand in log \S+, byte for byte, in 5 partitions instead of 2; the heads of both logs agree/,
    );
    expect(out).toContain('no signed note was sealed');
    expect(out).toMatch(/FABULA_LOG=eventstoredb\n +FABULA_EVENTSTOREDB_PREFIX=said\n +FABULA_PARTITIONS=5\n +FABULA_ADOPT_LOG=\S{36}\n/);
  });

  test('copies into another database, made as the guide says', async () => {
    const name = `copy_${randomUUID().replaceAll('-', '')}`;
    copies.push(name);
    const source = new URL(database.url).pathname.slice(1);
    // A template must not be in use; the spec's own pool opens new connections when it needs them.
    await administrator.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [source]);
    await administrator.query(`create database ${name} template ${source}`);
    const url = (await testCluster()).url(name);
    const pool = new Pool({ connectionString: url, max: 2 });
    pool.on('error', () => {});
    await pool.query('truncate fabula.log_records, fabula.log_partitions, fabula.log_identity');
    const { code, out } = await fabula(`--from postgres --to postgres --to-url ${url} --to-partitions 8 --json`);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ records: STREAMS, partitions: { from: 2, to: 8 }, settings: { FABULA_LOG: 'postgres' } });
    // Where the new log is, but not the password that it was reached with.
    const led = new URL((JSON.parse(out) as { settings: Record<string, string> }).settings['DATABASE_URL'] ?? '');
    expect([led.host, led.pathname, decodeURIComponent(led.password)]).toEqual([new URL(url).host, `/${name}`, '…']);
    const log = await openPostgresLog({ pool, partitions: 8 });
    let records = 0;
    for (let partition = 0; partition < 8; partition++) records += await log.end(partition);
    expect(records).toBe(STREAMS + 2);
    await log.close();
    await pool.end();
  });

  test('refuses what cannot be meant, and copies nothing then', async () => {
    expect(await fabula('--from postgres --to postgres')).toMatchObject({
      code: 2,
      err: expect.stringContaining('Both ends are the same') as string,
    });
    expect(await fabula('--from postgres --to postgres --to-name other')).toMatchObject({
      code: 2,
      err: expect.stringContaining('--to-url instead of --to-name') as string,
    });
    expect(await fabula('--from postgres --to file')).toMatchObject({ code: 2 });
    expect(await fabula('--from eventstoredb --to postgres --from-name nothing')).toMatchObject({
      code: 1,
      err: expect.stringContaining('There is no log in the streams nothing-…') as string,
    });
    expect(await fabula('--from kafka --to postgres')).toMatchObject({ code: 2, err: expect.stringContaining('KAFKA_BROKERS') as string });
    // The database of the servers holds a log already, and that is no copy.
    await fabula('--from postgres --to eventstoredb --to-name source');
    expect(await fabula('--from eventstoredb --from-name source --to postgres --to-partitions 2')).toMatchObject({
      code: 1,
      err: expect.stringContaining('holds records already') as string,
    });
    expect(await fabula('--from postgres --to eventstoredb --to-name said --to-partitions 6')).toMatchObject({
      code: 1,
      err: expect.stringContaining('created with 5 partitions') as string,
    });
  });

  test('says when the other end cannot be reached', async () => {
    const env = { EVENTSTOREDB_URL: `esdb://127.0.0.1:${await freePort()}?tls=false` };
    expect(await fabula('--from postgres --to eventstoredb --to-name unreached', env)).toMatchObject({ code: 3 });
  });
});
