import type { Pool } from 'pg';
import type { BytesPage } from '../audit-store.js';
import { errorCode } from '#lib/platform';

/*
 * Leaves are JSON of one line, so runs of them travel as one text each: a third of the work of a row each with its bytes as hexadecimal digits.
 * A run is short of the 128 KiB from which on V8 puts a text among its large objects, which it only collects after hundreds of megabytes.
 * Whoever asks hashes what it gets, so a text that were not the stored bytes could pass for them nowhere; bytes that are no such text travel one by one.
 */

const PAGE = 512;
const RUN = 64;

export const PAGE_OF_BYTES = `
  select count(*)::int as count, min(leaf_index) as first, max(leaf_index) as last,
         string_agg(convert_from(leaf, 'UTF8'), e'\\n' order by leaf_index) as leaves
  from (
    select leaf_index, leaf from fabula.audit_leaves
    where log = $1 and leaf_index >= $2 and leaf_index < $3 order by leaf_index limit ${PAGE}
  ) page group by leaf_index / ${RUN} order by min(leaf_index)`;
const ONE_BY_ONE = `
  select leaf_index, leaf from fabula.audit_leaves
  where log = $1 and leaf_index >= $2 and leaf_index < $3 order by leaf_index limit ${PAGE}`;

interface RunRow {
  readonly count: number;
  readonly first: string;
  readonly last: string;
  leaves: string;
}
interface Page {
  readonly from: bigint;
  readonly leaves: Buffer[];
}

/** As `AuditStore.leafBytes`. */
export async function* leafBytesOf(pool: Pool, log: number, from: bigint, to: bigint): AsyncGenerator<BytesPage> {
  for (let at = from; at < to;) {
    const pages = (await asText(pool, log, at, to)) ?? (await oneByOne(pool, log, at, to));
    const last = pages.at(-1);
    if (last === undefined) return;
    yield* pages;
    at = last.from + BigInt(last.leaves.length);
  }
}

/** As `AuditStore.leafBytesAt`. */
export async function leafBytesAt(pool: Pool, log: number, indexes: readonly bigint[]): Promise<ReadonlyMap<bigint, Buffer>> {
  const { rows } = await pool.query<{ leaf_index: string; leaf: Buffer | undefined }>({
    name: 'audit-leaf-bytes-at',
    text: 'select leaf_index, leaf from fabula.audit_leaves where log = $1 and leaf_index = any($2::bigint[])',
    values: [log, indexes],
  });
  const found = new Map<bigint, Buffer>();
  for (const row of rows) {
    if (row.leaf !== undefined) found.set(BigInt(row.leaf_index), row.leaf);
    row.leaf = undefined;
  }
  return found;
}

/** Undefined: there is a hole, or something that is no line of text. */
async function asText(pool: Pool, log: number, from: bigint, to: bigint): Promise<readonly BytesPage[] | undefined> {
  let rows: readonly RunRow[];
  try {
    ({ rows } = await pool.query<RunRow>({ name: 'audit-leaf-bytes', text: PAGE_OF_BYTES, values: [log, from, to] }));
  } catch (error) {
    // Class 22, data exceptions: bytes that are no UTF-8, or have no place in the database's encoding.
    if (errorCode(error)?.startsWith('22') === true) return undefined;
    throw error;
  }
  const pages: Page[] = [];
  for (const row of rows) {
    const { count, first, last } = row;
    const leaves = lines(Buffer.from(row.leaves, 'utf8'));
    // Measured: results of queries that are over hold one another in V8 until it looks through its whole memory, and their texts with them,
    // hundreds of megabytes; an emptied row holds nothing.
    row.leaves = '';
    if (leaves.length !== count || BigInt(last) - BigInt(first) + 1n !== BigInt(count)) return undefined;
    add(pages, BigInt(first), leaves);
  }
  return pages;
}

/** To the last page, or to a new one behind a hole. */
function add(pages: Page[], from: bigint, leaves: Buffer[]): void {
  const page = pages.at(-1);
  if (page !== undefined && page.from + BigInt(page.leaves.length) === from) page.leaves.push(...leaves);
  else pages.push({ from, leaves });
}

const NEWLINE = 0x0a;

function lines(bytes: Buffer): Buffer[] {
  const found: Buffer[] = [];
  let start = 0;
  for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
    found.push(bytes.subarray(start, end));
    start = end + 1;
  }
  found.push(bytes.subarray(start));
  return found;
}

/** A page for each run without holes. */
async function oneByOne(pool: Pool, log: number, from: bigint, to: bigint): Promise<readonly BytesPage[]> {
  const { rows } = await pool.query<{ leaf_index: string; leaf: Buffer }>(ONE_BY_ONE, [log, from, to]);
  const pages: Page[] = [];
  for (const { leaf_index, leaf } of rows) add(pages, BigInt(leaf_index), [leaf]);
  return pages;
}
