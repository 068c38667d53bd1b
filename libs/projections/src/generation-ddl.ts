/*
 * The tables of one generation. Column names follow tables.ts; types say more than it does only where size matters.
 * Rows that change with every turn keep room on their page (fillfactor) and carry no index on what changes, so updates stay in place (HOT).
 */

/**
 * Raised with every change below: parity between generations is only asked for at equal layouts. A base of the log is a generation that cannot be
 * folded again: whoever raises this says in log-base.ts how one of an older layout is read.
 */
export const LAYOUT = 2;

/** Schema of generation n; of -n: of the log's base n, which has the same tables. */
export function schemaOf(generation: number): string {
  if (Number.isSafeInteger(generation) && generation < 0) return `log_base_${-generation}`;
  if (!Number.isSafeInteger(generation) || generation < 1) throw new RangeError(`generation ${generation}`);
  return `projection_${generation}`;
}

/** Statements that create an empty generation; positions for `partitions` partitions of `logId` at 0. */
export function generationDdl(generation: number): string {
  const schema = schemaOf(generation);
  return `
create schema ${schema};
create table ${schema}.positions (
  partition integer primary key,
  log_id text not null,
  next_offset bigint not null,
  last_time bigint not null,
  accepted bigint not null, duplicate bigint not null, reused bigint not null, conflict bigint not null, invalid bigint not null,
  epoch bigint not null
) with (fillfactor = 10);
create table ${schema}.stream_heads (
  stream text primary key,
  partition integer not null,
  version bigint not null,
  previous text,
  state text,
  updated_offset bigint not null
) with (fillfactor = 70);
create table ${schema}.stream_commands (
  stream text not null,
  partition integer not null,
  version bigint not null,
  command_id text not null,
  command_digest text not null,
  "offset" bigint not null,
  primary key (stream, version)
);
create table ${schema}.playthroughs (
  id text primary key,
  partition integer not null,
  story_id text not null,
  version_hash text not null,
  reader text not null,
  status text not null,
  turn bigint not null,
  passage_id text not null,
  ending text,
  deadline bigint,
  preview boolean not null,
  forked_from_id text,
  forked_from_turn bigint,
  started_at bigint,
  updated_at bigint not null
) with (fillfactor = 70);
create index playthroughs_of_reader on ${schema}.playthroughs (reader, started_at desc, id desc);
create index playthroughs_of_story on ${schema}.playthroughs (story_id, started_at desc, id desc);
create index playthroughs_newest on ${schema}.playthroughs (started_at desc, id desc);
create index playthroughs_overdue on ${schema}.playthroughs (partition, deadline, id) where deadline is not null;
create table ${schema}.turns (
  playthrough_id text not null,
  partition integer not null,
  turn bigint not null,
  "offset" bigint not null,
  kind text not null,
  passage_id text not null,
  choice_id text,
  correlation_id text not null,
  at bigint not null,
  state_hash text not null,
  events text not null,
  snapshot text,
  primary key (playthrough_id, turn, "offset")
);
create table ${schema}.checkpoints (
  playthrough_id text not null,
  partition integer not null,
  turn bigint not null,
  mark text not null,
  name text not null,
  at bigint not null,
  primary key (playthrough_id, turn, mark)
);
create table ${schema}.stories (
  id text primary key,
  partition integer not null,
  current_version text,
  title text not null,
  updated_at bigint not null
);
create table ${schema}.story_versions (
  story_id text not null,
  partition integer not null,
  version_hash text not null,
  title text not null,
  status text not null,
  lint_errors bigint not null,
  lint_warnings bigint,
  format text,
  passages bigint,
  drafted_at bigint,
  published_at bigint,
  retired_at bigint,
  updated_at bigint not null,
  primary key (story_id, version_hash)
);
create table ${schema}.choice_stats (
  story_id text not null,
  version_hash text not null,
  passage_id text not null,
  choice_id text not null,
  partition integer not null,
  offered bigint not null,
  visible bigint not null,
  enabled bigint not null,
  picked bigint not null,
  primary key (story_id, version_hash, passage_id, choice_id, partition)
) with (fillfactor = 50);
create table ${schema}.passage_stats (
  story_id text not null,
  version_hash text not null,
  passage_id text not null,
  partition integer not null,
  entered bigint not null,
  "left" bigint not null,
  ended bigint not null,
  rewound_to bigint not null,
  rewound_from bigint not null,
  standing bigint not null,
  primary key (story_id, version_hash, passage_id, partition)
) with (fillfactor = 50);
create table ${schema}.ending_stats (
  story_id text not null,
  version_hash text not null,
  ending text not null,
  partition integer not null,
  reached bigint not null,
  primary key (story_id, version_hash, ending, partition)
) with (fillfactor = 50);
${complianceDdl(schema)};
create table ${schema}.parked (
  stream text primary key,
  partition integer not null,
  code text not null,
  reason text not null,
  from_offset bigint not null,
  parked_at bigint not null
);
create table ${schema}.parked_records (
  stream text not null,
  partition integer not null,
  "offset" bigint not null,
  bytes bytea not null,
  time bigint not null,
  primary key (stream, "offset")
);
select fabula.share_generation('${schema}')`;
}

/**
 * What a live generation of an older layout lacks, so that it can be gone on with: new tables only. Nodes of the last release go on with it
 * too, they do not know these tables.
 */
export function additionsSince(layout: number, generation: number): readonly string[] {
  const schema = schemaOf(generation);
  return layout < 2 ? [complianceDdl(schema), `select fabula.share_generation('${schema}')`] : [];
}

/** Layout 2. */
function complianceDdl(schema: string): string {
  return `
create table ${schema}.compliance_actions (
  id text primary key,
  partition integer not null,
  kind text,
  action text,
  stage text not null,
  reason text,
  proposed_by text,
  proposed_as text,
  proposed_at bigint,
  expires_at bigint,
  decided_by text,
  decided_as text,
  decided_at bigint,
  refusal text,
  begun_at bigint,
  ended_at bigint,
  result text
);
create index compliance_actions_newest on ${schema}.compliance_actions (proposed_at desc, id desc);
create table ${schema}.compliance_holds (
  id text primary key,
  partition integer not null,
  scope_kind text,
  scope_id text,
  matter text,
  placed_by text,
  placed_at bigint,
  until bigint,
  released_at bigint,
  released_by text
);
create index compliance_holds_newest on ${schema}.compliance_holds (placed_at desc, id desc);
create table ${schema}.compliance_events (
  sequence bigint primary key,
  partition integer not null,
  "offset" bigint not null,
  at bigint not null,
  type text not null,
  subject text not null,
  actor text not null,
  role text not null,
  correlation_id text not null,
  event text not null
)`;
}
