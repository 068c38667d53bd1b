import { createMemoryLog, openPostgresLog } from '#lib/log';
import { systemClock } from '#lib/platform';
import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { knownLog, LogDiffers, recogniseLog } from './known-log.js';

describe('a database that followed a log in Postgres', () => {
  const memory = { kind: 'memory', place: '' };
  const inMemory = () => createMemoryLog({ partitions: 2, clock: systemClock });
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    const log = await openPostgresLog({ pool: database.pool, partitions: 2 });
    expect(await recogniseLog(database.pool, log, { kind: 'postgres', place: '' }, undefined)).toBe(false);
    await log.close();
  });
  afterAll(() => database.drop());

  it('is not taken over by one in memory that somebody only tries, and is told how it can be', async () => {
    const refused = recogniseLog(database.pool, inMemory(), memory, undefined);
    await expect(refused).rejects.toThrow(LogDiffers);
    // The id of a log in memory is of no use: at the next start it is another one.
    await expect(refused).rejects.toThrow(/FABULA_ADOPT_LOG=new:/);
    expect(await knownLog(database.pool)).toMatchObject({ kind: 'postgres' });
  });

  it('follows logs in memory without a word once that was said to be meant', async () => {
    expect(await recogniseLog(database.pool, inMemory(), memory, 'new')).toBe(true);
    expect(await recogniseLog(database.pool, inMemory(), memory, undefined)).toBe(true);
  });
});

describe('a log that begins later than at its first record', () => {
  it('is refused unless what its forgotten records led to is kept here, whatever the settings adopt', async () => {
    const database = await createTestDatabase();
    try {
      const log = await openPostgresLog({ pool: database.pool, partitions: 2 });
      const place = { kind: 'postgres', place: '' };
      expect(await recogniseLog(database.pool, log, place, undefined)).toBe(false);
      await log.append(
        1,
        Array.from({ length: 5 }, () => ({ key: 'k', value: Buffer.from('{') })),
      );
      await log.forget(1, 3);
      for (const adopt of [undefined, 'new', await log.id()])
        await expect(recogniseLog(database.pool, log, place, adopt)).rejects.toThrow(/begins at offset 3, but nothing of it was pruned/);
      const logId = await log.id();
      const base = (offset: number) =>
        database.pool.query(
          `insert into fabula.log_bases (log_id, partition, "offset", layout, action, state, digest) values ($1, 1, $2, 2, 'a', 'current', repeat('0', 64))
           on conflict (log_id, partition) where state = 'current' do update set "offset" = excluded."offset"`,
          [logId, offset],
        );
      await base(2);
      await expect(recogniseLog(database.pool, log, place, undefined)).rejects.toThrow(/it was pruned up to offset 2 only/);
      await base(4);
      expect(await recogniseLog(database.pool, log, place, undefined)).toBe(false);
      await log.close();
    } finally {
      await database.drop();
    }
  });
});
