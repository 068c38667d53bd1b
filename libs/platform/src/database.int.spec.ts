import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { createPool } from './database.js';

describe('a pool on a Postgres that goes away', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  it('keeps the process alive when a connection is cut between two statements of its holder, who hears of it next', async () => {
    const pool = createPool({ url: database.url, max: 2, statementTimeoutMs: 5_000 });
    const held = await pool.connect();
    try {
      const { rows } = await held.query<{ pid: number }>('select pg_backend_pid() as pid');
      const ended = new Promise((resolve) => held.once('end', resolve));
      await database.pool.query('select pg_terminate_backend($1)', [rows[0]?.pid]);
      await ended;
      await expect(held.query('select 1')).rejects.toThrow();
    } finally {
      held.release(true);
    }
    expect((await pool.query<{ one: number }>('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await pool.end();
  });
});
