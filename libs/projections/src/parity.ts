import type { PoolClient } from 'pg';
import { schemaOf } from './generation-ddl.js';
import { TABLE_NAMES, TABLES, type TableName } from './tables.js';

/** Rows and an order-independent hash of one table in both generations. */
export interface TableParity {
  readonly table: TableName | 'positions';
  readonly liveRows: number;
  readonly newRows: number;
  readonly equal: boolean;
}

export type Parity =
  | { readonly kind: 'equal' | 'different'; readonly tables: readonly TableParity[] }
  /** Nothing to compare with: no live generation of this log and layout. */
  | { readonly kind: 'incomparable'; readonly reason: string };

/**
 * Compares two generations inside the client's transaction, which must be a snapshot in which both stand at the same positions.
 * Hashing happens in Postgres: one pass over each table, nothing travels.
 */
export async function compareGenerations(client: PoolClient, live: number, other: number): Promise<Parity> {
  const tables: TableParity[] = [await compareTable(client, 'positions', positionsOf(live), positionsOf(other))];
  for (const name of TABLE_NAMES) {
    tables.push(await compareTable(client, name, rowsOf(name, live), rowsOf(name, other)));
  }
  return { kind: tables.every(({ equal }) => equal) ? 'equal' : 'different', tables };
}

interface Fingerprint {
  readonly rows: string;
  readonly hash: string;
}

async function compareTable(client: PoolClient, table: TableParity['table'], live: string, other: string): Promise<TableParity> {
  const a = await fingerprint(client, live);
  const b = await fingerprint(client, other);
  const equal = a.rows === b.rows && a.hash === b.hash;
  return { table, liveRows: Number(a.rows), newRows: Number(b.rows), equal };
}

/** Sums of a 64-bit hash, so that order does not count; equal sums of unequal tables need a collision that nobody makes by mistake. */
async function fingerprint(client: PoolClient, rows: string): Promise<Fingerprint> {
  const { rows: found } = await client.query<Fingerprint>(
    `select count(*) as rows, coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text as hash from (${rows}) t`,
  );
  return found[0] ?? { rows: '0', hash: '0' };
}

function rowsOf(name: TableName, generation: number): string {
  return `select * from ${schemaOf(generation)}.${TABLES[name].sql}`;
}

/** Without the epoch, which counts interventions, not records. */
function positionsOf(generation: number): string {
  return `select partition, log_id, next_offset, last_time, accepted, duplicate, reused, conflict, invalid from ${schemaOf(generation)}.positions`;
}
