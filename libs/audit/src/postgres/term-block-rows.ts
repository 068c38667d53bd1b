import type { Pool, PoolClient } from 'pg';
import type { TermBlock } from '../terms/index.js';
import { hashes } from './rows.js';

interface TermBlockRow {
  readonly block: string;
  summary: Buffer;
  readonly frontier: Buffer;
}
const NOTHING = Buffer.alloc(0);
const blockOf = (row: TermBlockRow): TermBlock => ({ block: BigInt(row.block), summary: row.summary, frontier: hashes(row.frontier) });

/** Blocks in one statement. A summary has kilobytes, so the text form of a bytea array, twice its size, is bearable. */
export async function saveTermBlocks(client: PoolClient, log: number, blocks: readonly TermBlock[]): Promise<void> {
  if (blocks.length === 0) return;
  await client.query(
    `insert into fabula.audit_term_blocks (log, block, summary, frontier)
     select $1::smallint, block, summary, frontier from unnest($2::bigint[], $3::bytea[], $4::bytea[]) as given (block, summary, frontier)
     on conflict (log, block) do update set summary = excluded.summary, frontier = excluded.frontier`,
    [log, blocks.map(({ block }) => block), blocks.map(({ summary }) => summary), blocks.map(({ frontier }) => Buffer.concat(frontier))],
  );
}

export async function readTermBlocks(pool: Pool, log: number, blocks: readonly bigint[]): Promise<readonly (TermBlock | undefined)[]> {
  if (blocks.length === 0) return [];
  const { rows } = await pool.query<TermBlockRow>(
    'select block, summary, frontier from fabula.audit_term_blocks where log = $1 and block = any($2::bigint[])',
    [log, blocks],
  );
  const found = new Map(rows.map((row) => [BigInt(row.block), blockOf(row)]));
  // As in leaf-bytes.ts: rows of queries that are over stay for long.
  for (const row of rows) row.summary = NOTHING;
  return blocks.map((block) => found.get(block));
}

export async function lastTermBlock(pool: Pool, log: number, below: bigint): Promise<TermBlock | undefined> {
  const { rows } = await pool.query<TermBlockRow>(
    'select block, summary, frontier from fabula.audit_term_blocks where log = $1 and block < $2 order by block desc limit 1',
    [log, below],
  );
  return rows[0] === undefined ? undefined : blockOf(rows[0]);
}
