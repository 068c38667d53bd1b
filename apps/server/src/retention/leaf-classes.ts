import type { Pool } from 'pg';
import { signedBlocks, PRUNE_BLOCK, type AuditStore } from '#lib/audit';
import type { ActiveHold } from '#lib/compliance';
import type { LogId } from '#lib/log';
import type { LiveGeneration } from '#lib/projections';
import type { RetentionRule } from './retention-policy.js';

export const DAY_MS = 86_400_000;
/** So many leaves are counted; more are said to be more. */
const COUNTED = 10_000;
/** So many leaves from the beginning of a tree are looked at for the oldest of a class. */
const LOOKED_AT = 10_000;

/** Leaves of a class in one tree whose time is over. */
export interface ExpiredLeaves {
  readonly partition: number;
  /** All records before this offset of the log may be pruned of them. */
  readonly offset: number;
  readonly leaves: number;
  /** There are more than were counted. */
  readonly atLeast: boolean;
}

/** Whether a row of leaves is of the class: by the kind of its stream, and whether it had an effect. */
export const ofClass = ({ streams }: Pick<RetentionRule, 'streams'>, leaf = 'leaf'): string =>
  streams === null ? `not ${leaf}.accepted` : `${leaf}.accepted and ${leaf}.stream like '${streams}/%'`;

export async function oldestLeaf(
  pool: Pool,
  partition: number,
  rule: Pick<RetentionRule, 'streams'>,
): Promise<{ readonly partition: number; readonly index: string; readonly time: number } | null> {
  const { rows } = await pool.query<{ leaf_index: string; time: string }>(
    `select leaf.leaf_index, leaf.time from (
       select leaf_index, time, accepted, stream from fabula.audit_leaves where log = $1 order by leaf_index limit ${LOOKED_AT}
     ) leaf where ${ofClass(rule)} order by leaf.leaf_index limit 1`,
    [partition],
  );
  const [first] = rows;
  return first === undefined ? null : { partition, index: first.leaf_index, time: Number(first.time) };
}

/** What of a class in one tree may be pruned as of `now`; null: nothing. */
export async function expiredLeaves(
  { pool, store, logId }: { readonly pool: Pool; readonly store: AuditStore; readonly logId: LogId },
  partition: number,
  { keepDays, streams, name }: Pick<RetentionRule, 'keepDays' | 'streams' | 'name'>,
  now: number,
): Promise<ExpiredLeaves | null> {
  if (keepDays === null) return null;
  const log = `p${partition}` as const;
  const limit = await signedBlocks(store, logId, log);
  const { rows: stays } = await pool.query<{ leaf_index: string }>(
    `select leaf.leaf_index from fabula.audit_leaves leaf where leaf.log = $1 and leaf.log >= 0 and leaf.time > $2 and ${ofClass({ streams })}
     order by leaf.leaf_index limit 1`,
    [partition, now - keepDays * DAY_MS],
  );
  const first = stays[0] === undefined ? limit : BigInt(stays[0].leaf_index);
  const end = first < limit ? first - (first % PRUNE_BLOCK) : limit;
  const from = (await store.pruned(logId)).find((one) => one.log === log && one.retention === name)?.below ?? 0n;
  if (end <= from) return null;
  const { rows: counted } = await pool.query<{ n: string }>(
    `select count(*) as n from (select 1 from fabula.audit_leaves leaf
       where leaf.log = $1 and leaf.leaf_index >= $2 and leaf.leaf_index < $3 and ${ofClass({ streams })} limit ${COUNTED + 1}) counted`,
    [partition, from, end],
  );
  const leaves = Number(counted[0]?.n ?? 0);
  if (leaves === 0) return null;
  const { rows: offsets } = await pool.query<{ log_offset: string }>(
    `select coalesce((select log_offset from fabula.audit_leaves where log = $1 and leaf_index = $2),
       (select next_offset from fabula.audit_heads where log = $1)) as log_offset`,
    [partition, end],
  );
  return { partition, offset: Number(offsets[0]?.log_offset ?? 0), leaves: Math.min(leaves, COUNTED), atLeast: leaves > COUNTED };
}

/** The holds that leaves of that class stand under, before these offsets. */
export async function holdsOnLeaves(
  live: LiveGeneration,
  rule: Pick<RetentionRule, 'streams' | 'name'>,
  before: readonly { readonly partition: number; readonly offset: number }[],
  holds: readonly ActiveHold[],
): Promise<readonly ActiveHold[]> {
  if (holds.length === 0 || before.length === 0) return [];
  const { rows } = await live.query<{ n: string }>(`held_leaves_${rule.name}`, (schema) => held(schema, rule), [
    holds.map(({ scope }) => scope.kind),
    holds.map(({ scope }) => scope.id),
    before.map(({ partition }) => partition),
    before.map(({ offset }) => offset),
  ]);
  const touched = new Set(rows.map(({ n }) => Number(n) - 1));
  return holds.filter((_, i) => touched.has(i));
}

/** Of a playthrough that was parked before it had a row nobody knows whose it is, nor of which story: its leaves stay for every such hold. */
function held(schema: string, rule: Pick<RetentionRule, 'streams'>): string {
  const leaves = `select from fabula.audit_leaves leaf join unnest($3::int[], $4::bigint[]) b(log, before)
      on leaf.log = b.log and leaf.log_offset < b.before where ${ofClass(rule)}`;
  const own = (which: string): string =>
    `exists (select from ${schema}.playthroughs t where ${which} and exists (${leaves} and leaf.stream = 'playthrough/' || t.id))`;
  const unknown = `exists (select from ${schema}.parked p where p.stream like 'playthrough/%' and exists (${leaves} and leaf.stream = p.stream)
      and not exists (select from ${schema}.playthroughs t where 'playthrough/' || t.id = p.stream))`;
  return `select h.n from unnest($1::text[], $2::text[]) with ordinality h(kind, id, n)
    where (h.kind = 'everything' and exists (${leaves}))
      or (h.kind = 'subject' and (exists (${leaves} and leaf.actor = h.id) or ${own('t.reader = h.id')}))
      or (h.kind = 'playthrough' and exists (${leaves} and leaf.stream = 'playthrough/' || h.id))
      or (h.kind = 'story' and (exists (${leaves} and leaf.stream = 'story/' || h.id) or ${own('t.story_id = h.id')}))
      or (h.kind in ('story', 'subject') and ${unknown})`;
}
