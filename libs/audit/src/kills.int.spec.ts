import { everyAwait } from '../../../test/support/every-await.js';
import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { isLong } from '../../../test/support/requirement.js';
import { PostgresAuditStore } from './postgres/postgres-audit-store.js';
import { appending, killableWorld, looking, rotating, signing, type KillableWorld } from './testing/killable.js';

/** Of all statements; every one in the long form. */
const sample = (every: number): number => (isLong ? 1 : every);

describe('an audit process killed at a statement to Postgres, its session ending with it', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  const begin = async (): Promise<KillableWorld> => {
    const { pool } = database;
    // Not `truncate`: that waits for sessions that just end.
    await pool.query('alter table fabula.audit_leaves disable trigger access_log_only_grows');
    for (const table of ['heads', 'leaves', 'tiles', 'term_blocks', 'notes', 'signing_keys', 'keys'])
      await pool.query(`delete from fabula.audit_${table}`);
    await pool.query('alter table fabula.audit_leaves enable trigger access_log_only_grows');
    return killableWorld(new PostgresAuditStore(pool), { storeOf: (process) => new PostgresAuditStore(process.pool(pool)) });
  };

  it('while it appends leaves: another one builds the very tree that the log gives', async () => {
    expect(await everyAwait(appending(begin), sample(5))).toBeGreaterThan(30);
  });

  it('while it signs and releases notes: no note is ever smaller or inconsistent, and signing goes on', async () => {
    expect(await everyAwait(signing(begin), sample(23))).toBeGreaterThan(150);
  });

  it('while it tells of accesses: what was answered is kept, once and in order', async () => {
    expect(await everyAwait(looking(begin), sample(17))).toBeGreaterThan(80);
  });

  it('while it replaces the signing key: every note that got out verifies by the policy that is kept', async () => {
    expect(await everyAwait(rotating(begin), sample(19))).toBeGreaterThan(60);
  });
});
