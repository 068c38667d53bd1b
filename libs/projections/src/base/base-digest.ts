import { createHash } from 'node:crypto';
import type { PoolClient } from 'pg';
import { canonicalJson, sha256Hex, type Json } from '#lib/canonical';
import type { LogId, Offset } from '#lib/log';
import { positionText, type ProjectionPosition } from '../projection-store.js';
import { columnName, fromSql, rowText, TABLE_NAMES, type AnyRow, type ColumnType, type Table, type TableName } from '../tables.js';
import { inKeyOrder, tableOf, type Rows } from './base-rows.js';

/** Rows fetched at once: what is held is bounded, whatever the base's size. */
const PAGE = 1_000;

type Tables = { [name in TableName]?: { readonly rows: number; readonly sha256: string } };

/**
 * SHA-256 over everything that a base holds, whatever keeps it: where it ends, verdicts counted so far, and of each table that has rows their
 * number and the hash of their texts (`rowText`), a line each, in the order of their keys. docs/reference/log-base.md
 */
function digestOf(logId: LogId, position: ProjectionPosition, tables: Tables): string {
  const { partition, nextOffset: offset } = position;
  const said: Json = { kind: 'fabula-log-base-1', logId, partition, offset, position: positionText(position), tables: tables as Json };
  return sha256Hex(canonicalJson(said));
}

/** Of a base in a schema of Postgres, in one snapshot of the client's transaction. */
export async function schemaDigest(client: PoolClient, schema: string, logId: LogId, position: ProjectionPosition): Promise<string> {
  const tables: Tables = {};
  for (const name of TABLE_NAMES) {
    const found = await tableDigest(client, schema, tableOf(name));
    if (found.rows > 0) tables[name] = found;
  }
  return digestOf(logId, position, tables);
}

async function tableDigest(client: PoolClient, schema: string, table: Table<never>): Promise<{ rows: number; sha256: string }> {
  const columns = Object.entries(table.columns) as [string, ColumnType][];
  const types = new Map(columns);
  const key = (table.key as readonly string[]).map((name) => `${columnName(name)}${types.get(name) === 'text' ? ' collate "C"' : ''}`);
  await client.query(
    `declare base_rows no scroll cursor for select ${columns.map(([name]) => `${columnName(name)} as "${name}"`).join(', ')}
     from ${schema}.${table.sql} order by ${key.join(', ')}`,
  );
  const hash = createHash('sha256');
  let rows = 0;
  for (;;) {
    const { rows: page } = await client.query<AnyRow>(`fetch ${PAGE} from base_rows`);
    for (const row of page) hash.update(`${rowText(table, read(columns, row))}\n`);
    rows += page.length;
    if (page.length < PAGE) break;
  }
  await client.query('close base_rows');
  return { rows, sha256: hash.digest('hex') };
}

const read = (columns: readonly (readonly [string, ColumnType])[], row: AnyRow): AnyRow =>
  Object.fromEntries(columns.map(([name, type]) => [name, fromSql(type, row[name])]));

/** Of rows in memory: what the one in Postgres is compared with. */
export function rowsDigest(rows: Rows, logId: LogId, position: ProjectionPosition): string {
  const tables: Tables = {};
  for (const name of TABLE_NAMES) {
    const table = tableOf(name);
    const own = inKeyOrder(table, rows[name] as readonly unknown[] as readonly AnyRow[]);
    if (own.length > 0) tables[name] = { rows: own.length, sha256: sha256Hex(own.map((row) => `${rowText(table, row)}\n`).join('')) };
  }
  return digestOf(logId, position, tables);
}

/** What a base of that partition ends at. */
export interface BaseEnd {
  readonly partition: number;
  readonly offset: Offset;
}
