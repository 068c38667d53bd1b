import * as fc from 'fast-check';
import { createTestDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import type { StoredLeaf } from '../audit-store.js';
import { verifyBundle } from '../bundle/verify-bundle.js';
import { audited, streamed, testSigner } from '../testing/audited.js';
import { describeAuditStore } from '../contract/audit-store-contract.js';
import { booleanArray, numberArray, textArray } from './array-literals.js';
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

  it('reads whatever bytes stand in the place of leaves, and shows where one is missing', async () => {
    const stored = ['{"a":"ä€𝄞"}', 'two\nlines', '', '\n', '\ufeff{}', 'x'].map((text) => Buffer.from(text));
    const odd = [...stored, Buffer.from([0xff, 0xfe]), Buffer.from([0x61, 0]), Buffer.from([0xed, 0xa0, 0x80])];
    const store = new PostgresAuditStore(database.pool);
    for (const leaves of [stored.slice(4), stored, odd, odd.slice(6)]) {
      await database.pool.query('delete from fabula.audit_leaves where log = 9');
      await database.pool.query(
        `insert into fabula.audit_leaves (log, leaf_index, log_offset, time, accepted, leaf)
         select 9, n - 1, n, n, true, leaf from unnest($1::bytea[]) with ordinality as given (leaf, n)`,
        [leaves],
      );
      const pages = async (): Promise<[bigint, string[]][]> => {
        const found: [bigint, string[]][] = [];
        for await (const { from, leaves: bytes } of store.leafBytes('p9', 0n, 100n))
          found.push([from, bytes.map((one) => one.toString('hex'))]);
        return found;
      };
      const hex = leaves.map((one) => one.toString('hex'));
      expect(await pages()).toEqual([[0n, hex]]);
      await database.pool.query('delete from fabula.audit_leaves where log = 9 and leaf_index = 1');
      expect(await pages()).toEqual([[0n, hex.slice(0, 1)], ...(hex.length > 2 ? [[2n, hex.slice(2)]] : [])]);
    }
    await database.pool.query('delete from fabula.audit_leaves where log = 9');
  });

  it('writes arrays that Postgres reads as they were', async () => {
    const texts = fc.array(
      fc.option(fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('NULL', 'null', 'Null', '', ' ', '{', '"', '\\', ','))),
    );
    await fc.assert(
      fc.asyncProperty(texts, fc.array(fc.maxSafeInteger()), fc.array(fc.boolean()), async (names, numbers, booleans) => {
        const storable = names.map((name) => name?.replaceAll('\0', '').toWellFormed() ?? null);
        const { rows } = await database.pool.query<{ texts: string[]; numbers: string[]; booleans: boolean[] }>(
          'select $1::text[] as texts, $2::bigint[] as numbers, $3::boolean[] as booleans',
          [textArray(storable), numberArray(numbers), booleanArray(booleans)],
        );
        expect(rows).toEqual([{ texts: storable, numbers: numbers.map(String), booleans }]);
      }),
    );
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
