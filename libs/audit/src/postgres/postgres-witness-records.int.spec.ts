import { createTestDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import { MAX_COSIGNATURES, type Cosignature, type ForkReport } from '../witness/witness-records.js';
import { PostgresTimestamps } from './postgres-timestamps.js';
import { PostgresWitnessRecords } from './postgres-witness-records.js';

const cosignature = (size: bigint, cosignedAt: number, witness = 'one'): Cosignature => ({
  logId: 'log-1',
  log: 'root',
  size,
  witness,
  line: `\u2014 ${witness} ${String(cosignedAt)}\n`,
  cosignedAt,
});
const fork: ForkReport = {
  logId: 'log-1',
  log: 'root',
  kind: 'FORK',
  witness: 'one',
  foundAt: 5_000,
  ours: 'ours\n\nsigned\n',
  theirs: 'theirs\n\nsigned\ncosigned\n',
  oldSize: 2n ** 62n,
  proof: ['AA==', 'AQ=='],
};

describe('what others said, in Postgres', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  it('keeps the newest cosignature of each size and witness, and so many of each witness as are of use', async () => {
    const records = new PostgresWitnessRecords(database.pool);
    await records.keepCosignature(cosignature(7n, 2_000));
    await records.keepCosignature(cosignature(7n, 1_000));
    await records.keepCosignature(cosignature(7n, 3_000, 'two'));
    expect(await records.cosignatures('log-1', 'root', 7n)).toEqual([cosignature(7n, 2_000), cosignature(7n, 3_000, 'two')]);
    await records.keepCosignature(cosignature(7n, 4_000));
    await records.keepCosignature(cosignature(9n, 5_000));
    expect(await records.newestCosignatures('log-1', 'root')).toEqual([cosignature(9n, 5_000), cosignature(7n, 3_000, 'two')]);
    expect(await records.newestCosignatures('log-2', 'root')).toEqual([]);
    await database.pool.query(
      `insert into fabula.audit_cosignatures (log_id, log, witness, size, line, cosigned_at)
       select 'log-1', -1, 'one', n, 'line', n from generate_series(100, 100 + $1::int) n`,
      [MAX_COSIGNATURES],
    );
    await records.keepCosignature(cosignature(5_000n, 6_000));
    const { rows } = await database.pool.query(
      `select witness, count(*)::int as kept, min(size)::text as least from fabula.audit_cosignatures group by witness order by witness`,
    );
    expect(rows).toEqual([
      { witness: 'one', kept: MAX_COSIGNATURES, least: '102' },
      { witness: 'two', kept: 1, least: '7' },
    ]);
  });

  it('keeps a contradiction once, however often a witness cosigned the same note', async () => {
    const records = new PostgresWitnessRecords(database.pool);
    expect(await records.keepFork(fork)).toBe(true);
    expect(await records.keepFork({ ...fork, theirs: 'theirs\n\nsigned\ncosigned again\n', foundAt: 6_000 })).toBe(false);
    const other: ForkReport = { ...fork, theirs: 'others\n\nsigned\n', foundAt: 7_000, kind: 'SET_BACK' };
    expect(await records.keepFork(other)).toBe(true);
    expect(await records.forks('log-1', 10)).toEqual([other, fork]);
    expect(await records.forks('log-1', 1)).toEqual([other]);
    expect(await records.forks('log-2', 10)).toEqual([]);
  });

  it('keeps timestamps byte for byte, the newest first', async () => {
    const records = new PostgresTimestamps(database.pool);
    const stamp = (stampedAt: number) => ({
      logId: 'log-1',
      log: 'root' as const,
      size: 12n,
      note: 'note\n\nsigned\n',
      authority: 'http://tsa.test',
      stampedAt,
      response: Buffer.from([0x30, 0x00, 0xff]),
    });
    for (const at of [1_000, 3_000, 2_000]) await records.keepTimestamp(stamp(at));
    expect(await records.timestamps('log-1', 'root', 2)).toEqual([stamp(3_000), stamp(2_000)]);
  });
});
