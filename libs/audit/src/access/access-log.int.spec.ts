import { Pool } from 'pg';
import { systemTimers } from '#lib/platform';
import { createTestDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import { PostgresAuditStore } from '../postgres/postgres-audit-store.js';
import { leafHash } from '../tlog/index.js';
import { edgeTiles, TreeGrowth } from '../tree-growth.js';
import { accessEntryOf, type Access } from './access-entry.js';
import { listAccess, type AccessKey } from './access-listing.js';
import { AccessLog } from './access-log.js';

const LOG_ID = 'a-log';
const NOW = 1_800_000_000_000;
const ENTRIES = 600;

const accessOf = (n: number): Access => ({
  event: n % 10 === 0 ? 'authz_fail' : 'sensitive_read',
  at: NOW + Math.floor(n / 3),
  actor: `actor-${n % 7}`,
  roles: ['compliance'],
  action: 'GET /audit/search',
  target: { name: 'naïve ✓' },
  outcome: n % 10 === 0 ? 'FORBIDDEN' : 'ok',
  correlationId: `c-${n}`,
  ...(n % 5 === 0 ? { stream: 'playthrough/p1' } : {}),
});

describe('the access log in Postgres', () => {
  let database: TestDatabase;
  const pools: Pool[] = [];
  beforeAll(async () => {
    database = await createTestDatabase();
    // As many processes, each with its own connections and its own memory of the tree.
    pools.push(...[1, 2, 3].map(() => new Pool({ connectionString: database.url, max: 2 })));
    const logs = pools.map((pool) => new AccessLog({ store: new PostgresAuditStore(pool), logId: LOG_ID, timers: systemTimers }));
    for (let from = 0; from < ENTRIES; from += 60)
      await Promise.all(Array.from({ length: 60 }, (_, i) => (logs[i % 3] as AccessLog).record(accessOf(from + i))));
  });
  afterAll(async () => {
    await Promise.all(pools.map((pool) => pool.end()));
    await database.drop();
  });

  test('is one chain and one tree, whichever process appended', async () => {
    const store = new PostgresAuditStore(database.pool);
    const growth = new TreeGrowth({ size: 0n, frontier: [] }, []);
    const seen = new Set<string | null>();
    let previous: string | null = null;
    for await (const { leaves } of store.leaves('access', 0n, 10_000n))
      for (const { bytes, index } of leaves) {
        const entry = accessEntryOf(bytes);
        expect([entry.index, entry.previousLeaf]).toEqual([String(index), previous]);
        const hash = leafHash(bytes);
        previous = hash.toString('hex');
        growth.append(hash);
        seen.add(entry.correlationId);
      }
    expect(seen.size).toBe(ENTRIES);
    const head = await store.open('access', LOG_ID);
    expect(head.size).toBe(BigInt(ENTRIES));
    const tiles = await store.tiles('access', edgeTiles(head.size));
    expect(new TreeGrowth(head, tiles).root()).toEqual(growth.root());
  });

  test('is found by person, event, stream, outcome and time, page by page and each entry once', async () => {
    const all = Array.from({ length: ENTRIES }, (_, n) => accessOf(n));
    const found = async (query: Partial<Parameters<typeof listAccess>[1]>): Promise<(string | null)[]> => {
      const ids: (string | null)[] = [];
      let after: AccessKey | undefined;
      do {
        const page = await listAccess(database.pool, { ...query, limit: 7, after });
        ids.push(...page.entries.map(({ correlationId }) => correlationId));
        after = page.next;
      } while (after !== undefined);
      return ids;
    };
    const cases: readonly [Partial<Parameters<typeof listAccess>[1]>, (access: Access) => boolean][] = [
      [{ actor: 'actor-3' }, ({ actor }) => actor === 'actor-3'],
      [{ event: 'authz_fail' }, ({ event }) => event === 'authz_fail'],
      [{ stream: 'playthrough/p1', outcome: 'ok' }, ({ stream, outcome }) => stream !== undefined && outcome === 'ok'],
      [{ from: NOW + 50, to: NOW + 60 }, ({ at }) => at >= NOW + 50 && at < NOW + 60],
      [{ correlationId: 'c-77' }, ({ correlationId }) => correlationId === 'c-77'],
    ];
    for (const [query, fits] of cases)
      expect((await found(query)).toSorted()).toEqual(
        all
          .filter(fits)
          .map(({ correlationId }) => correlationId)
          .toSorted(),
      );
  });

  test('is looked up by an index for every way of asking', async () => {
    await database.pool.query('analyze fabula.audit_leaves');
    const client = await database.pool.connect();
    try {
      await client.query('begin; set local enable_seqscan = off');
      for (const where of [`fabula.access_event(leaf) = 'authz_fail'`, `time >= ${NOW}`]) {
        const { rows } = await client.query<{ 'QUERY PLAN': string }>(
          `explain select leaf from fabula.audit_leaves where log = -2 and ${where} order by time desc, leaf_index desc limit 10`,
        );
        const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
        expect(plan).toMatch(/access_log_(event|time)/);
        expect(plan).not.toContain('Sort');
      }
    } finally {
      await client.query('rollback');
      client.release();
    }
  });
});
