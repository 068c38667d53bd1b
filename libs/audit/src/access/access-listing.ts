import type { Pool } from 'pg';
import { accessEntryOf, type AccessEntry, type AccessEvent } from './access-entry.js';

/** At least one index fits every combination; times in ms, `to` is not in. */
export interface AccessQuery {
  readonly actor?: string | undefined;
  readonly event?: AccessEvent | undefined;
  readonly correlationId?: string | undefined;
  /** The stream that was looked at, as `playthrough/<id>`. */
  readonly stream?: string | undefined;
  readonly outcome?: string | undefined;
  /** What became of one export: ordered, finished, handed over, removed. */
  readonly exportId?: string | undefined;
  readonly from?: number | undefined;
  readonly to?: number | undefined;
  /** The last entry of the page before. */
  readonly after?: AccessKey | undefined;
  readonly limit: number;
}

export interface AccessKey {
  readonly time: number;
  readonly index: bigint;
}

export interface AccessPage {
  /** Newest first. */
  readonly entries: readonly AccessEntry[];
  readonly next: AccessKey | undefined;
}

/** Entries of the access log, newest first; one more than asked for tells whether there is another page. */
export async function listAccess(pool: Pool, query: AccessQuery): Promise<AccessPage> {
  const values: unknown[] = [];
  const wheres = ['log = -2'];
  const where = (condition: (...places: string[]) => string, ...given: unknown[]): void => {
    if (given[0] !== undefined) wheres.push(condition(...given.map((value) => `$${values.push(value)}`)));
  };
  where((actor) => `actor = ${actor}`, query.actor);
  where((id) => `correlation_id = ${id}`, query.correlationId);
  where((stream) => `stream = ${stream}`, query.stream);
  where((event) => `fabula.access_event(leaf) = ${event}`, query.event);
  // Beside the events, which an index knows.
  if (query.exportId !== undefined) wheres.push("fabula.access_event(leaf) in ('sensitive_export', 'sensitive_delete')");
  where((id) => `convert_from(leaf, 'UTF8')::jsonb -> 'target' ->> 'exportId' = ${id}`, query.exportId);
  where((outcome) => `convert_from(leaf, 'UTF8')::jsonb ->> 'outcome' = ${outcome}`, query.outcome);
  where((from) => `time >= ${from}`, query.from);
  where((to) => `time < ${to}`, query.to);
  where((time, index) => `(time, leaf_index) < (${time}, ${index})`, query.after?.time, query.after?.index);
  const { rows } = await pool.query<{ readonly leaf: Buffer; readonly time: string; readonly leaf_index: string }>(
    `select leaf, time, leaf_index from fabula.audit_leaves where ${wheres.join(' and ')}
     order by time desc, leaf_index desc limit $${values.push(query.limit + 1)}`,
    values,
  );
  const page = rows.slice(0, query.limit);
  const last = page.at(-1);
  return {
    entries: page.map(({ leaf }) => accessEntryOf(leaf)),
    next: rows.length > query.limit && last !== undefined ? { time: Number(last.time), index: BigInt(last.leaf_index) } : undefined,
  };
}

/** A page's cursor, `<time>.<index>`. */
export const formatAccessKey = ({ time, index }: AccessKey): string => `${time}.${index}`;
export function parseAccessKey(text: string): AccessKey | undefined {
  const parts = /^(0|[1-9][0-9]{0,15})\.(0|[1-9][0-9]{0,17})$/.exec(text);
  return parts === null ? undefined : { time: Number(parts[1]), index: BigInt(parts[2] as string) };
}
