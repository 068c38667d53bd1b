import type { QueryConfig } from 'pg';
import type { LogId } from '#lib/log';
import { DEAD_LETTER_COLUMNS, type DeadLetterKind, type DeadLetterRow } from './dead-letter.js';
import { columnName } from './tables.js';

/*
 * fabula.dead_letters stands beside the generations: every one of them meets the same records, the first one keeps them. What the log says
 * of a record never changes; `status` follows the live generation; releases are a table of their own (primary data).
 */

const COLUMNS = Object.keys(DEAD_LETTER_COLUMNS).map(columnName).join(', ');

/** Kept once; one that was mended is open again when a generation meets it again, or meets another fault in it. */
export function keepDeadLetters(logId: string, source: string): string {
  return `insert into fabula.dead_letters as known (log_id, ${COLUMNS})
  select ${logId}, ${COLUMNS} from ${source} as arrived (${COLUMNS})
  on conflict (log_id, partition, "offset") do update
  set kind = excluded.kind, stream = excluded.stream, reason = excluded.reason, status = 'open', changed_at = now()
  where known.status = 'retried' or known.kind <> excluded.kind`;
}

const ONE_VALUES = Object.values(DEAD_LETTER_COLUMNS)
  .map((type, n) => `$${n + 2}::${type}`)
  .join(', ');

/** One row affected: it was not there, or not open. */
export function keepOne(logId: LogId, letter: DeadLetterRow): QueryConfig {
  const values = Object.keys(DEAD_LETTER_COLUMNS).map((column) => letter[column as keyof DeadLetterRow]);
  return { text: keepDeadLetters('$1', `(values (${ONE_VALUES}))`), values: [logId, ...values] };
}

const PARKED_KINDS = ['unknown-event', 'unknown-stream', 'fold-failed', 'store-refused'] as const satisfies readonly DeadLetterKind[];
const isParked = (alias: string): string => `${alias}.kind in (${PARKED_KINDS.map((kind) => `'${kind}'`).join(', ')})`;

/** Open ones that the live generation is over: its stream is no longer parked there, or a build that knows the envelope passed it. */
export function settleMended(schema: string): string {
  return `update fabula.dead_letters d set status = 'retried', changed_at = now()
  from ${schema}.positions p
  where d.status = 'open' and d.log_id = p.log_id and d.partition = p.partition and d."offset" < p.next_offset and (
    (${isParked('d')} and not exists (select 1 from ${schema}.parked k where k.stream = d.stream and k.from_offset = d."offset"))
    or (d.kind = 'unknown-envelope' and not exists (
      select 1 from fabula.releases r where r.log_id = d.log_id and r.partition = d.partition and r."offset" = d."offset"))
  )`;
}

/** Mended ones that the live generation holds back all the same. */
function reopen(schema: string): string {
  return `update fabula.dead_letters d set status = 'open', changed_at = now()
  from ${schema}.parked k join ${schema}.positions p on p.partition = k.partition
  where d.status = 'retried' and d.log_id = p.log_id and d.partition = k.partition and d."offset" = k.from_offset and d.stream = k.stream`;
}

/** Brings every status in step with a generation: when it becomes the live one, and now and then. */
export async function settleDeadLetters(client: { query(text: string): Promise<unknown> }, schema: string): Promise<void> {
  await client.query(settleMended(schema));
  await client.query(reopen(schema));
}
