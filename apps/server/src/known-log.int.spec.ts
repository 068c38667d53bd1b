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
