import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { PostgresAuditStore } from './postgres/postgres-audit-store.js';
import { audited } from './testing/audited.js';
import { describeTampering, type Attacker } from './testing/tamper-suite.js';
import { leafHash } from './tlog/index.js';
import { TreeGrowth } from './tree-growth.js';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

describeTampering('a store in Postgres', async (seed) => {
  const { pool } = database;
  await pool.query('truncate fabula.audit_heads, fabula.audit_leaves, fabula.audit_tiles, fabula.audit_notes');
  // Who owns the database can switch its guards off.
  await pool.query('alter table fabula.audit_heads disable trigger audit_head_only_grows');
  const history = audited(seed, { partitions: 1, store: new PostgresAuditStore(pool) });
  await history.round(4);
  await history.round(4);
  const { size } = await history.store.open('p0', history.logId);
  const number = (log: 'p0' | 'root'): number => (log === 'root' ? -1 : 0);
  const attacker: Attacker = {
    leaf: async (index) =>
      (await pool.query<{ leaf: Buffer }>('select leaf from fabula.audit_leaves where log = 0 and leaf_index = $1', [index])).rows[0]!.leaf,
    put: async (index, bytes) => {
      await pool.query(
        `insert into fabula.audit_leaves (log, leaf_index, log_offset, time, accepted, leaf) values (0, $1::bigint, $1::bigint + 1000000, 0, false, $2)
         on conflict (log, leaf_index) do update set leaf = excluded.leaf`,
        [index, bytes],
      );
    },
    remove: async (index) => {
      await pool.query('delete from fabula.audit_leaves where log = 0 and leaf_index = $1', [index]);
    },
    cut: async (index, head) => {
      await pool.query('delete from fabula.audit_leaves where log = 0 and leaf_index >= $1', [index]);
      await pool.query('update fabula.audit_heads set size = $1, next_offset = $2, frontier = $3, previous_leaf = $4 where log = 0', [
        index,
        head.nextOffset,
        Buffer.concat(head.frontier),
        head.previousLeaf,
      ]);
    },
    rewriteTree: async (leaves) => {
      const growth = new TreeGrowth({ size: 0n, frontier: [] }, []);
      for (const leaf of leaves) growth.append(leafHash(leaf));
      for (const { level, index, hashes } of growth.takeChanged()) {
        await pool.query('update fabula.audit_tiles set hashes = $3 where log = 0 and level = $1 and tile = $2', [level, index, hashes]);
      }
      const frontier = Buffer.concat(growth.hashes);
      await pool.query('update fabula.audit_heads set frontier = $1, previous_leaf = $2 where log = 0', [
        frontier,
        leafHash(leaves.at(-1)!),
      ]);
    },
    putNote: async (log, noteSize, note, root) => {
      await pool.query('update fabula.audit_notes set note = $3, root = $4 where log = $1 and size = $2', [
        number(log),
        noteSize,
        note,
        root,
      ]);
    },
    removeNotes: async (log, above) => {
      await pool.query('delete from fabula.audit_notes where log = $1 and size > $2', [number(log), above]);
    },
    refile: async (index, actor) => {
      await pool.query('update fabula.audit_leaves set actor = $2 where log = 0 and leaf_index = $1', [index, actor]);
    },
  };
  return { history, attacker, size: Number(size) };
});
