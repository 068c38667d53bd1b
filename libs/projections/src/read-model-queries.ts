import { columnName, TABLES, type TableName } from './tables.js';

/*
 * The statements behind ReadModels; functions of the generation's schema. Pages are keyset pages: the row comparison is the index condition.
 * Answers travel as JSON: 64-bit counts arrive as numbers, and rows and positions come from one snapshot.
 */

export interface AnswerRecord<Row> {
  readonly positions:
    readonly { readonly partition: number; readonly logId: string; readonly nextOffset: number; readonly lastTime: number }[] | null;
  readonly rows: readonly Row[];
}

export function answer(schema: string, rows: string): string {
  return `select
    (select json_agg(json_build_object('partition', partition, 'logId', log_id, 'nextOffset', next_offset, 'lastTime', last_time) order by partition)
      from ${schema}.positions) as positions,
    (select coalesce(json_agg(found), '[]') from (${rows}) found) as rows`;
}

/** Columns of a table under their property names. */
export function columns(table: TableName, alias: string, without: readonly string[] = []): string {
  return Object.keys(TABLES[table].columns)
    .filter((property) => !without.includes(property))
    .map((property) => `${alias}.${columnName(property)} as "${property}"`)
    .join(', ');
}

export function stories(schema: string): string {
  return `select ${columns('stories', 's', ['partition'])} from ${schema}.stories s
    where ($1::text is null or s.id > $1) and ($3::boolean or s.current_version is not null) order by s.id limit $2`;
}

export function story(schema: string): string {
  return `select ${columns('stories', 's', ['partition'])},
    (select coalesce(json_agg(v), '[]') from (
      select ${columns('storyVersions', 'w', ['partition'])} from ${schema}.story_versions w
      where w.story_id = s.id order by w.updated_at desc, w.version_hash) v) as versions
    from ${schema}.stories s where s.id = $1`;
}

export function playthrough(schema: string): string {
  return `select ${columns('playthroughs', 't')}, h.state, h.version, k.reason as parked
    from ${schema}.playthroughs t join ${schema}.stream_heads h on h.stream = 'playthrough/' || t.id
    left join ${schema}.parked k on k.stream = h.stream where t.id = $1`;
}

export function playthroughVersions(schema: string): string {
  return `select i.id, h.version from unnest($1::text[]) i(id) join ${schema}.stream_heads h on h.stream = 'playthrough/' || i.id`;
}

export function myPlaythroughs(after: boolean): (schema: string) => string {
  return (schema) => `select ${columns('playthroughs', 't')} from ${schema}.playthroughs t
    where t.reader = $1 and ${newestAfter(after, 2)} and ($5::text is null or t.story_id = $5)
    order by t.started_at desc, t.id desc limit $4`;
}

export function playthroughs(after: boolean, ofStory: boolean): (schema: string) => string {
  return (schema) => `select ${columns('playthroughs', 't')} from ${schema}.playthroughs t
    where ${newestAfter(after, 1)} and ($4::text is null or t.status = $4)${ofStory ? ' and t.story_id = $5' : ''}
    order by t.started_at desc, t.id desc limit $3`;
}

/** The first page must not carry a comparison with null, and its parameters still need a type. */
function newestAfter(after: boolean, parameter: number): string {
  const [at, id] = [`$${parameter}::bigint`, `$${parameter + 1}::text`];
  return after ? `(t.started_at, t.id) < (${at}, ${id})` : `coalesce(${at}::text, ${id}) is null`;
}

export function turns(latestFirst: boolean, checkpoints = false): (schema: string) => string {
  const [beyond, order] = latestFirst ? ['<', 'desc'] : ['>', 'asc'];
  return (schema) => `select ${columns('turns', 't', ['partition', 'playthroughId', 'snapshot'])} from ${schema}.turns t
    where t.playthrough_id = $1 and (t.turn, t."offset") ${beyond} ($2::bigint, $3::bigint)${checkpoints ? '' : " and t.kind <> 'CheckpointSet'"}
    order by t.turn ${order}, t."offset" ${order} limit $4`;
}

export function checkpoints(schema: string): string {
  return `select ${columns('checkpoints', 'c', ['partition', 'playthroughId'])} from ${schema}.checkpoints c
    where c.playthrough_id = $1 order by c.at, c.turn, c.mark limit 50`;
}

export function versionStats(schema: string): string {
  const of = 'where story_id = $1 and version_hash = $2';
  return `select
    (select coalesce(json_agg(c), '[]') from (
      select passage_id as "passageId", choice_id as "choiceId", sum(offered)::bigint as offered, sum(visible)::bigint as visible,
        sum(enabled)::bigint as enabled, sum(picked)::bigint as picked
      from ${schema}.choice_stats ${of} group by 1, 2 order by 1, 2) c) as choices,
    (select coalesce(json_agg(p), '[]') from (
      select passage_id as "passageId", sum(entered)::bigint as entered, sum("left")::bigint as "left", sum(ended)::bigint as ended,
        sum(rewound_to)::bigint as "rewoundTo", sum(rewound_from)::bigint as "rewoundFrom", sum(standing)::bigint as standing,
        sum(entered + rewound_to - "left" - ended - rewound_from)::bigint as "dropOff"
      from ${schema}.passage_stats ${of} group by 1 order by 1) p) as passages,
    (select coalesce(json_agg(e), '[]') from (
      select ending, sum(reached)::bigint as reached from ${schema}.ending_stats ${of} group by 1 order by 1) e) as endings`;
}

export function parked(schema: string): string {
  return `select ${columns('parked', 'k')},
    (select count(*) from ${schema}.parked_records r where r.stream = k.stream) as records,
    coalesce(a.attempts, 0) as attempts, a.last_error as "lastError"
    from ${schema}.parked k left join fabula.parked_retries a on a.stream = k.stream
    where (k.parked_at, k.stream) > ($1::bigint, $2::text) order by k.parked_at, k.stream limit $3`;
}

/** A loose index scan: one probe of the primary key for each version. */
export const versionsSpokenOf = (schema: string): string => `
  with recursive played as (
    (select story_id, version_hash from ${schema}.passage_stats order by story_id, version_hash limit 1)
    union all
    select next.* from played, lateral (
      select s.story_id, s.version_hash from ${schema}.passage_stats s
      where (s.story_id, s.version_hash) > (played.story_id, played.version_hash)
      order by s.story_id, s.version_hash limit 1
    ) next
  )
  select version_hash as hash from played union select version_hash from ${schema}.story_versions`;
