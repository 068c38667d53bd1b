import type { Pool } from 'pg';
import { playthroughStream, type SearchHit, type SearchPage, type SearchQuery } from '../search.js';
import { leafOf, logOf, numberOf, type LeafRow } from './rows.js';

/** One page by the index that fits the query; one row more than asked for tells whether there is another page. */
export async function searchLeaves(pool: Pool, query: SearchQuery): Promise<SearchPage> {
  const { text, values } = searchStatement(query);
  const { rows } = await pool.query<LeafRow & { log: number }>(text, values);
  const hits = rows.slice(0, query.limit).map((row): SearchHit => {
    const { time, index, offset, bytes } = leafOf(row);
    return { time, log: logOf(row.log), index, offset, bytes };
  });
  const last = hits.at(-1);
  const more = rows.length > query.limit && last !== undefined;
  return { hits, next: more ? { time: last.time, log: last.log, index: last.index } : undefined };
}

export function searchStatement(query: SearchQuery): { readonly text: string; readonly values: unknown[] } {
  const values: unknown[] = [];
  const wheres = ['log >= 0'];
  const where = (condition: (...places: string[]) => string, ...given: unknown[]): void => {
    wheres.push(condition(...given.map((value) => `$${values.push(value)}`)));
  };
  if (query.correlationId !== undefined) where((id) => `correlation_id = ${id}`, query.correlationId);
  if (query.playthroughId !== undefined) where((stream) => `stream = ${stream}`, playthroughStream(query.playthroughId));
  if (query.actor !== undefined) where((actor) => `actor = ${actor}`, query.actor);
  if (query.from !== undefined) where((from) => `time >= ${from}`, query.from);
  if (query.to !== undefined) where((to) => `time < ${to}`, query.to);
  if (query.after !== undefined) {
    const { time, log, index } = query.after;
    where((t, l, i) => `(time, log, leaf_index) > (${t}, ${l}, ${i})`, time, numberOf(log), index);
  }
  const text = `
    select log, leaf_index, log_offset, time, leaf, stream, correlation_id, actor, accepted from fabula.audit_leaves
    where ${wheres.join(' and ')} order by time, log, leaf_index limit $${values.push(query.limit + 1)}`;
  return { text, values };
}

/** Reads the index by time alone: as many entries as leaves of all trees lie in that time, which is what an export of it reads too. */
export async function timeSpan(
  pool: Pool,
  log: number,
  from: number,
  to: number,
): Promise<{ readonly from: bigint; readonly to: bigint } | undefined> {
  const { rows } = await pool.query<{ first: string | null; last: string | null }>(
    'select min(leaf_index) as first, max(leaf_index) as last from fabula.audit_leaves where log = $1 and log >= 0 and time >= $2 and time < $3',
    [log, from, to],
  );
  const { first = null, last = null } = rows[0] ?? {};
  return first === null || last === null ? undefined : { from: BigInt(first), to: BigInt(last) + 1n };
}
