import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { describePseudonymTable } from './contract/pseudonym-table-contract.js';
import { describeSubjectKeyStore } from './contract/subject-key-store-contract.js';
import { PostgresSubjectKeys } from './postgres-subject-keys.js';
import { PostgresPseudonyms } from './pseudonyms.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
}, 90_000);
afterAll(() => database.drop());

describeSubjectKeyStore('Postgres', () => new PostgresSubjectKeys(database.pool));
describePseudonymTable('Postgres', () => new PostgresPseudonyms(database.pool));

describe('a destroyed key in Postgres', () => {
  it('leaves no byte of itself in the table', async () => {
    const keys = new PostgresSubjectKeys(database.pool);
    await keys.keyOf('r-gone', { create: true });
    await keys.destroy('r-gone');
    const { rows } = await database.pool.query(
      'select key, destroyed_at is not null as marked from fabula.subject_keys where subject = $1',
      ['r-gone'],
    );
    expect(rows).toEqual([{ key: null, marked: true }]);
  });
});
