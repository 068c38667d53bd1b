import type { Pool } from 'pg';
import type { StreamId } from '#lib/decision';
import type { LogId, Offset } from '#lib/log';
import { versionNamed } from '../retention/tree-base.js';

/** One statement, so that a tree that is being rebuilt is seen before or after, never between. */
const READ = `
  select least(head.next_offset, $4::bigint) as up_to, leaf.log_offset, leaf.accepted
  from fabula.audit_heads head
  left join fabula.audit_leaves leaf on leaf.log = head.log and leaf.log_offset >= $3::bigint and leaf.log_offset < $4::bigint
  where head.log = $1::smallint and head.log_id = $2`;

/** The first accepted leaf of each stream (or what is kept of it when it was pruned), and the last one before an offset that names a version. */
const BEGINNINGS = `
  select wanted.stream, coalesce(pruned.first_offset, first.log_offset) as log_offset, latest.leaf, pruned.version_hash
  from unnest($2::text[]) as wanted (stream)
  left join fabula.audit_stream_bases pruned on pruned.stream = wanted.stream and pruned.log = $1::smallint
    and pruned.log_id = (select log_id from fabula.audit_heads where log = $1::smallint)
  left join lateral (
    select log_offset from fabula.audit_leaves
    where stream = wanted.stream and log = $1::smallint and accepted order by leaf_index limit 1
  ) first on true
  left join lateral (
    select leaf from fabula.audit_leaves
    where stream = wanted.stream and log = $1::smallint and accepted and log_offset < $3::bigint
      and position('"versionHash":"'::bytea in leaf) > 0
    order by leaf_index desc limit 1
  ) latest on true
  where coalesce(pruned.first_offset, first.log_offset) is not null`;

/** What the audit's leaves say became of the records: they hold every verdict, for everybody who must not derive them again. */
export class AuditVerdicts {
  constructor(private readonly pool: Pool) {}

  /** Verdicts of the records from `from` to before `to`, as far as the tree goes. */
  async read(
    logId: LogId,
    partition: number,
    from: Offset,
    to: Offset,
  ): Promise<{ readonly upTo: Offset; readonly accepted: ReadonlyMap<Offset, boolean> }> {
    const { rows } = await this.pool.query<{ up_to: string; log_offset: string | null; accepted: boolean | null }>({
      name: 'audit-verdicts',
      text: READ,
      values: [partition, logId, from, to],
    });
    const accepted = new Map<Offset, boolean>();
    for (const row of rows) if (row.log_offset !== null && row.accepted !== null) accepted.set(Number(row.log_offset), row.accepted);
    return { upTo: Math.max(from, Number(rows[0]?.up_to ?? from)), accepted };
  }

  /** Offset of each stream's first accepted record, and the version hash that its records before `before` named last. */
  async beginnings(
    partition: number,
    streams: readonly StreamId[],
    before: Offset,
  ): Promise<ReadonlyMap<StreamId, { readonly offset: Offset; readonly versionHash: string | null }>> {
    const { rows } = await this.pool.query<{ stream: string; log_offset: string; leaf: Buffer | null; version_hash: string | null }>({
      name: 'audit-beginnings',
      text: BEGINNINGS,
      values: [partition, streams, before],
    });
    return new Map(
      rows.map(({ stream, log_offset, leaf, version_hash: pruned }) => [
        stream,
        { offset: Number(log_offset), versionHash: leaf === null ? pruned : versionNamed(leaf) },
      ]),
    );
  }
}
