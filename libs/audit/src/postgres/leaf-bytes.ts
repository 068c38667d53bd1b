import type { Pool } from 'pg';
import type { BytesPage } from '../audit-store.js';
import { errorCode } from '#lib/platform';

/*
 * Leaves are JSON of one line, so a page of them travels as one text: a third of the work of a row each with its bytes as hexadecimal digits.
 * Whoever asks hashes what it gets, so a text that were not the stored bytes could pass for them nowhere; bytes that are no such text travel one by one.
 */

const PAGE = 500;

export const PAGE_OF_BYTES = `
  select count(*)::int as count, min(leaf_index) as first, max(leaf_index) as last,
         string_agg(convert_from(leaf, 'UTF8'), e'\\n' order by leaf_index) as leaves
  from (
    select leaf_index, leaf from fabula.audit_leaves
    where log = $1 and leaf_index >= $2 and leaf_index < $3 order by leaf_index limit ${PAGE}
  ) page`;
const ONE_BY_ONE = `
  select leaf_index, leaf from fabula.audit_leaves
  where log = $1 and leaf_index >= $2 and leaf_index < $3 order by leaf_index limit ${PAGE}`;

interface PageRow {
  readonly count: number;
  readonly first: string | null;
  readonly last: string | null;
  readonly leaves: string | null;
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

/** Undefined: there is a hole, or something that is no line of text. */
async function asText(pool: Pool, log: number, from: bigint, to: bigint): Promise<readonly BytesPage[] | undefined> {
  let row: PageRow | undefined;
  try {
    row = (await pool.query<PageRow>({ name: 'audit-leaf-bytes', text: PAGE_OF_BYTES, values: [log, from, to] })).rows[0];
  } catch (error) {
    // Class 22, data exceptions: bytes that are no UTF-8, or have no place in the database's encoding.
    if (errorCode(error)?.startsWith('22') === true) return undefined;
    throw error;
  }
  if (row === undefined || row.count === 0) return [];
  const leaves = lines(Buffer.from(row.leaves ?? '', 'utf8'));
  const dense = BigInt(row.last ?? -1) - BigInt(row.first ?? 0) + 1n === BigInt(row.count);
  return dense && leaves.length === row.count ? [{ from: BigInt(row.first ?? 0), leaves }] : undefined;
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
  const pages: { from: bigint; leaves: Buffer[] }[] = [];
  for (const { leaf_index, leaf } of rows) {
    const index = BigInt(leaf_index);
    const page = pages.at(-1);
    if (page !== undefined && page.from + BigInt(page.leaves.length) === index) page.leaves.push(leaf);
    else pages.push({ from: index, leaves: [leaf] });
  }
  return pages;
}
