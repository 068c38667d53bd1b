import type { Pool } from 'pg';
import type { AuditStore } from '#lib/audit';
import type { ActiveHold } from '#lib/compliance';
import type { EventLog, LogId } from '#lib/log';
import { currentBases, type LiveGeneration } from '#lib/projections';
import { DAY_MS, ofClass } from './leaf-classes.js';
import type { RetentionRule } from './retention-policy.js';

export interface LogObstacleHost {
  readonly pool: Pool;
  readonly log: EventLog;
  readonly logId: LogId;
  readonly store: Pick<AuditStore, 'bases'>;
  readonly live: LiveGeneration;
}

type Place = { readonly partition: number; readonly offset: number };

/**
 * Why the records before that offset cannot be forgotten now, in words for people; null: nothing that derives from them still needs them. Holds
 * are judged apart.
 */
export async function logObstacle(
  host: LogObstacleHost,
  { partition, offset }: Place,
  rules: readonly RetentionRule[],
  retention: string,
  now: number,
): Promise<string | null> {
  const { pool, log, logId, store } = host;
  const which = `partition ${partition} before offset ${offset}`;
  const end = await log.end(partition);
  if (offset > end) return `${which}: the log ends at ${end}`;
  const tree = (await store.bases(logId)).find((one) => one.log === `p${partition}`);
  if ((tree?.nextOffset ?? 0) < offset)
    return `${which}: the audit still begins at offset ${tree?.nextOffset ?? 0}; have the leaves pruned first`;
  const rule = rules.find(({ name }) => name === retention);
  if (rule === undefined || rule.keepDays === null) return `${retention} is kept without an end: nothing of it expires`;
  // The last of them, by the log itself: their leaves may have gone by an earlier rule.
  const last = await timeAt(log, partition, offset - 1);
  if (last === undefined || last > now - rule.keepDays * DAY_MS)
    return `${which}: the record at ${offset - 1} is not ${rule.keepDays} days old, so long is ${retention} kept`;
  const kept = await keptLeaf(pool, { partition, offset }, rules, retention, now);
  if (kept !== null) return `${which}: ${kept}`;
  const { rows: feeds } = await pool.query<{ topic: string; offset: string }>(
    `select topic, next_offset as "offset" from fabula.feed_positions where log_id = $1 and partition = $2 and next_offset < $3 limit 1`,
    [logId, partition, offset],
  );
  if (feeds[0] !== undefined) return `${which}: the feed ${feeds[0].topic} has published it only up to offset ${feeds[0].offset}`;
  const { rows: letters } = await pool.query<{ kind: string; offset: string }>(
    `select kind, "offset" from fabula.dead_letters
     where log_id = $1 and partition = $2 and "offset" < $3 and status = 'open' and kind <> 'invalid' order by "offset" limit 1`,
    [logId, partition, offset],
  );
  if (letters[0] !== undefined)
    return `${which}: the record at ${letters[0].offset} is a dead letter (${letters[0].kind}) that may still be mended`;
  return behind(host, { partition, offset }, which);
}

async function timeAt(log: EventLog, partition: number, offset: number): Promise<number | undefined> {
  for await (const { records } of log.read(partition, offset, { upTo: offset + 1, maxRecords: 1 })) return records[0]?.time;
  return undefined;
}

/** A leaf before that offset that says its record is kept still: of the class that is pruned any, of others one whose time is not over. */
async function keptLeaf(
  pool: Pool,
  { partition, offset }: Place,
  rules: readonly RetentionRule[],
  retention: string,
  now: number,
): Promise<string | null> {
  for (const { name, keepDays, ...rule } of rules) {
    if (keepDays === null) continue;
    const { rows } = await pool.query<{ log_offset: string }>(
      `select leaf.log_offset from fabula.audit_leaves leaf
       where leaf.log = $1 and leaf.log_offset < $2 and leaf.time > $3 and ${ofClass(rule)} order by leaf.leaf_index limit 1`,
      [partition, offset, name === retention ? -1 : now - keepDays * DAY_MS],
    );
    if (rows[0] === undefined) continue;
    return name === retention
      ? `leaves of ${name} are still there from offset ${rows[0].log_offset} on; have them pruned first`
      : `the record at ${rows[0].log_offset} is of the class ${name} and not expired`;
  }
  return null;
}

async function behind({ live }: LogObstacleHost, { partition, offset }: Place, which: string): Promise<string | null> {
  const { rows } = await live.query<{ next_offset: string; parked: string | null }>(
    'log_obstacle',
    (
      schema,
    ) => `select p.next_offset, (select k.stream from ${schema}.parked k where k.partition = p.partition and k.from_offset < $2 limit 1) as parked
      from ${schema}.positions p where p.partition = $1`,
    [partition, offset],
  );
  if (Number(rows[0]?.next_offset ?? 0) < offset) return `${which}: the read models are at ${rows[0]?.next_offset ?? 0} only`;
  return rows[0]?.parked == null ? null : `${which}: ${rows[0].parked} is parked, and its records are needed to mend it`;
}

/** Whether the user of the database may do it; null: yes. */
export async function missingRight(pool: Pool): Promise<string | null> {
  const { rows } = await pool.query<{ may: boolean }>(
    `select has_database_privilege(current_database(), 'create') and
       (to_regrole('fabula_projector') is null or pg_has_role('fabula_projector', 'usage')) as may`,
  );
  return rows[0]?.may === true
    ? null
    : 'the database user of this process may not make schemas or change read models: it needs the role fabula_projector too';
}

/** The holds that records of these partitions stand under, which would go: from where the log begins to there. */
export async function holdsOnRecords(
  { pool, logId, live }: LogObstacleHost,
  before: readonly Place[],
  holds: readonly ActiveHold[],
): Promise<readonly ActiveHold[]> {
  if (holds.length === 0 || before.length === 0) return [];
  const bases = await currentBases(pool, logId);
  const { rows } = await live.query<{ n: string }>('held_records', held, [
    holds.map(({ scope }) => scope.kind),
    holds.map(({ scope }) => scope.id),
    before.map(({ partition }) => partition),
    before.map(({ partition }) => bases.find((base) => base.partition === partition)?.offset ?? 0),
    before.map(({ offset }) => offset),
  ]);
  const touched = new Set(rows.map(({ n }) => Number(n) - 1));
  return holds.filter((_, i) => touched.has(i));
}

/** By the commands that were accepted, which the read models have of all records that the log has; and by leaves of staff, which stay. */
function held(schema: string): string {
  const records = `select from ${schema}.stream_commands c join unnest($3::int[], $4::bigint[], $5::bigint[]) b(partition, from_offset, before)
      on c.partition = b.partition and c."offset" >= b.from_offset and c."offset" < b.before`;
  const leaves = `select from fabula.audit_leaves leaf join unnest($3::int[], $4::bigint[], $5::bigint[]) b(partition, from_offset, before)
      on leaf.log = b.partition and leaf.log_offset >= b.from_offset and leaf.log_offset < b.before`;
  const own = (which: string): string =>
    `exists (select from ${schema}.playthroughs t where ${which} and exists (${records} where c.stream = 'playthrough/' || t.id))`;
  return `select h.n from unnest($1::text[], $2::text[]) with ordinality h(kind, id, n)
    where h.kind = 'everything'
      or (h.kind = 'subject' and (${own('t.reader = h.id')} or exists (${leaves} where leaf.actor = h.id)))
      or (h.kind = 'playthrough' and exists (${records} where c.stream = 'playthrough/' || h.id))
      or (h.kind = 'story' and (${own('t.story_id = h.id')} or exists (${records} where c.stream = 'story/' || h.id)))`;
}
