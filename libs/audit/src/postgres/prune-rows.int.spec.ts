import { createTestDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import { describePruning } from '../contract/prune-contract.js';
import { PostgresAuditStore } from './postgres-audit-store.js';

describe('pruning over Postgres', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  describePruning('Postgres', async () => {
    await database.pool.query(
      `truncate fabula.audit_heads, fabula.audit_leaves, fabula.audit_tiles, fabula.audit_term_blocks, fabula.audit_notes,
         fabula.audit_bases, fabula.audit_stream_bases, fabula.audit_pruned`,
    );
    return new PostgresAuditStore(database.pool);
  });
});
