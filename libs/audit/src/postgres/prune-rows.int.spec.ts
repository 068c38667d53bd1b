import { createTestDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import { describePruning } from '../contract/prune-contract.js';
import { pruneLeaves } from '../retention/prune-leaves.js';
import { audited } from '../testing/audited.js';
import { AuditVerdicts } from './audit-verdicts.js';
import { PostgresAuditStore } from './postgres-audit-store.js';

describe('pruning over Postgres', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  const emptied = async (): Promise<void> => {
    await database.pool.query(
      `truncate fabula.audit_heads, fabula.audit_leaves, fabula.audit_tiles, fabula.audit_term_blocks, fabula.audit_notes,
         fabula.audit_bases, fabula.audit_stream_bases, fabula.audit_pruned`,
    );
  };

  describePruning('Postgres', async () => {
    await emptied();
    return new PostgresAuditStore(database.pool);
  });

  it('leaves what feeds ask of streams: where they begin, and which version they named last', async () => {
    await emptied();
    const { store, logId, log, round } = audited(73, { partitions: 1, store: new PostgresAuditStore(database.pool) });
    while ((await store.open('p0', logId)).size < 700n) await round(40);
    const streams = Array.from({ length: 14 }, (_, n) => `playthrough/reader-${n}`);
    const verdicts = new AuditVerdicts(database.pool);
    const asked = async (before: number) => [...(await verdicts.beginnings(0, streams, before))].toSorted(([a], [b]) => (a < b ? -1 : 1));
    const [end, was] = [await log.end(0), await asked(10 ** 6)];
    const known = await verdicts.read(logId, 0, 512, end);
    expect(was.length).toBeGreaterThan(8);
    await pruneLeaves({
      ...{ store, logId, log: 'p0', retention: 'play', action: 'a-1', beforeOffset: 520 },
      ofClass: () => true,
      expired: () => true,
    });
    expect((await store.bases(logId)).map(({ size }) => size)).toEqual([512n]);
    expect(await asked(10 ** 6)).toEqual(was);
    expect(await verdicts.read(logId, 0, 512, end)).toEqual(known);
    expect((await verdicts.read(logId, 0, 500, end)).accepted.size).toBe(end - 512);
  });
});
