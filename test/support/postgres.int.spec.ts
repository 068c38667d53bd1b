import { createTestDatabase, type TestDatabase } from './postgres.js';
import { runMigrations } from '../../migrations/index.js';

describe('a test database', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  test('has every migration, and running them again changes nothing, also from several processes at once', async () => {
    const { rows } = await database.pool.query<{ name: string }>('select name from fabula.migrations order by id');
    expect(rows.map((row) => row.name)).toContain('Log1795000000000');
    expect(await Promise.all([runMigrations(database.url), runMigrations(database.url)])).toEqual([[], []]);
  });
});
