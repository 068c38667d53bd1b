import { createTestDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import type { StoredLeaf } from '../audit-store.js';
import { verifyBundle } from '../bundle/verify-bundle.js';
import { audited, streamed, testSigner } from '../testing/audited.js';
import { describeAuditStore } from '../contract/audit-store-contract.js';
import { PostgresAuditStore } from './postgres-audit-store.js';
import { ACCEPTED } from './postgres-transaction.js';
import { searchStatement } from './search-leaves.js';

describe('the Postgres audit store', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  describeAuditStore('Postgres', async () => {
    await database.pool.query(
      'truncate fabula.audit_heads, fabula.audit_leaves, fabula.audit_tiles, fabula.audit_term_blocks, fabula.audit_notes, fabula.audit_exports, fabula.audit_signing_keys, fabula.audit_keys',
    );
    return new PostgresAuditStore(database.pool);
  });

  it('gives filtered exports that verify, by term and by time', async () => {
    const history = audited(25, { partitions: 1, store: new PostgresAuditStore(database.pool) });
    await history.store.forget('p0');
    await history.store.forget('root');
    await history.round(75);
    const all: StoredLeaf[] = [];
    for await (const page of history.store.leaves('p0', 0n, 10n ** 9n)) all.push(...page.leaves);
    expect(all.length).toBeGreaterThan(256);
    const time = String(all[200]?.time);
    for (const filter of [
      { kind: 'term', term: { type: 'actor', value: 'actor-3' } },
      { kind: 'time', from: time, to: String(Number(time) + 10) },
    ] as const) {
      const report = await verifyBundle(streamed(await history.bundle(undefined, testSigner, { filter })), {
        vkey: testSigner.verifier.vkey,
      });
      expect(report.findings).toEqual([]);
      const wanted = all.filter((leaf) =>
        filter.kind === 'term' ? leaf.actor === 'actor-3' : leaf.time >= Number(time) && leaf.time < Number(time) + 10,
      );
      const { shown = 0 } = report.trees[0] ?? {};
      expect(shown).toBe(wanted.length + (filter.kind === 'term' ? 0 : 2));
    }
  });

  it('does not let a head shrink, whoever updates it', async () => {
    const store = new PostgresAuditStore(database.pool);
    await store.forget('p7');
    await store.open('p7', 'log-a');
    await database.pool.query('update fabula.audit_heads set size = 5, next_offset = 5 where log = 7');
    for (const change of ['size = 4', 'next_offset = 4', `log_id = 'other'`, 'log = 8']) {
      await expect(database.pool.query(`update fabula.audit_heads set ${change} where log = 7`)).rejects.toThrow('only grows');
    }
  });

  it('answers its hot queries from indexes, without sorting', async () => {
    const client = await database.pool.connect();
    try {
      await client.query('truncate fabula.audit_leaves');
      await client.query(
        `insert into fabula.audit_leaves (log, leaf_index, log_offset, time, accepted, stream, correlation_id, actor, leaf)
         select n % 4, n, n, n, true, 'playthrough/' || n % 500, 'c' || n % 8, 'a' || n % 8, 'x' from generate_series(1, 20000) n`,
      );
      await client.query('analyze fabula.audit_leaves');
      const plan = async (text: string, values: unknown[]): Promise<string> => {
        const { rows } = await client.query<{ 'QUERY PLAN': string }>(`explain ${text}`, values);
        return rows.map((row) => row['QUERY PLAN']).join('\n');
      };
      for (const query of [{ correlationId: 'c5' }, { actor: 'a5' }, { from: 5000 }]) {
        const { text, values } = searchStatement({ ...query, limit: 10, after: { time: 6000, log: 'p1', index: 6000n } });
        expect(await plan(text, values)).not.toMatch(/Seq Scan|Sort/);
      }
      expect(await plan(ACCEPTED, [1, ['playthrough/5', 'playthrough/9'], 0])).toMatch(/audit_leaves_stream/);
    } finally {
      client.release();
    }
  });
});
