import type { Pool } from 'pg';
import type { AcceptedCommand, RecordedEvent, StreamId } from '#lib/decision';
import type { Offset } from '#lib/log';
import type { Clock } from '#lib/platform';
import { binaryArray } from './binary-arrays.js';
import { LiveGeneration } from './generations.js';
import { STREAM_COLUMNS, storedStream, streamJoins, type StoredStreamRecord } from './postgres-projection.js';
import type { ColdReads, ColdStream, PastState } from './projection-store.js';
import { SNAPSHOT_EVERY } from './fold-playthrough.js';

/** What the engine reads from the live generation. Every answer is one statement, so one snapshot. */
export class PostgresColdSource implements ColdReads {
  readonly live: LiveGeneration;

  /** @param live the process's pointer, to be shared with projector and queries */
  constructor(pool: Pool, clock: Clock, live?: LiveGeneration) {
    this.live = live ?? new LiveGeneration(pool, clock);
  }

  async load(partition: number, streams: readonly StreamId[]): ReturnType<ColdReads['load']> {
    const { rows, generation } = await this.live.query<LoadedRecord>('cold_load', coldLoadText, [partition, binaryArray('text', streams)]);
    const [first] = rows;
    if (first === undefined) throw new RangeError(`the read models have no partition ${partition}`);
    const found = new Map<StreamId, ColdStream>();
    for (const row of rows) {
      if (row.stream === null) continue;
      const { version, previous, window, state, parked } = storedStream(row as StoredStreamRecord);
      found.set(row.stream, { head: { version, previous, window }, state: state ?? 'null', parked });
    }
    return { generation: String(generation), position: Number(first.next_offset), streams: found };
  }

  /** @param fresh looks first which generation is live now */
  async position(partition: number, fresh = false): Promise<Offset> {
    if (fresh) await this.live.refresh();
    const { rows } = await this.live.query<{ next_offset: string }>(
      'position',
      (schema) => `select next_offset from ${schema}.positions where partition = $1`,
      [partition],
    );
    const [row] = rows;
    if (row === undefined) throw new RangeError(`the read models have no partition ${partition}`);
    return Number(row.next_offset);
  }

  async past(stream: StreamId, turn: number): Promise<PastState | undefined> {
    const { rows } = await this.live.query<{ turn: string; events: string; snapshot: string | null; state_hash: string }>(
      'past',
      (schema) => `select turn, events, snapshot, state_hash from ${schema}.turns
        where playthrough_id = $1 and turn between $2::bigint - ${SNAPSHOT_EVERY} and $2 order by turn, "offset"`,
      [stream.slice(stream.indexOf('/') + 1), turn],
    );
    const last = rows[rows.length - 1];
    if (last === undefined || Number(last.turn) !== turn) return undefined;
    const from = rows.findLastIndex((row) => row.snapshot !== null);
    const snapshot = rows[from]?.snapshot;
    if (snapshot === undefined || snapshot === null) return undefined;
    const events = rows.slice(from + 1).flatMap((row) => JSON.parse(row.events) as RecordedEvent[]);
    return { snapshot, events, stateHash: last.state_hash };
  }

  async accepted(stream: StreamId, commandId: string): Promise<AcceptedCommand | undefined> {
    const { rows } = await this.live.query<{ command_id: string; command_digest: string; version: string; offset: string }>(
      'accepted',
      (schema) => `select command_id, command_digest, version, "offset" from ${schema}.stream_commands
        where stream = $1 and command_id = $2 order by version limit 1`,
      [stream, commandId],
    );
    const [row] = rows;
    if (row === undefined) return undefined;
    return { commandId: row.command_id, commandDigest: row.command_digest, version: Number(row.version), offset: Number(row.offset) };
  }

  async kept(stream: StreamId, offset: Offset): ReturnType<ColdReads['kept']> {
    const { rows } = await this.live.query<{ first: string | null; at: string | null }>(
      'kept_turns',
      (schema) => `select min(turn) as first, max(turn) filter (where "offset" = $2) as at from ${schema}.turns where playthrough_id = $1`,
      [stream.slice(stream.indexOf('/') + 1), offset],
    );
    const number = (text: string | null | undefined): number | undefined => (text == null ? undefined : Number(text));
    return { first: number(rows[0]?.first), at: number(rows[0]?.at) };
  }

  async overdue(partition: number, before: number, limit: number): ReturnType<ColdReads['overdue']> {
    const { rows } = await this.live.query<{ stream: string; turn: string }>('overdue', overdueText, [partition, before, limit]);
    return rows.map((row) => ({ stream: row.stream, turn: Number(row.turn) }));
  }
}

type LoadedRecord = { readonly next_offset: string } & (StoredStreamRecord | { readonly stream: null });

/** Exported for the tests that EXPLAIN them. */
export function coldLoadText(schema: string): string {
  return `select p.next_offset, ${STREAM_COLUMNS}
    from ${schema}.positions p
    left join ${schema}.stream_heads s on s.stream = any($2::text[]) and s.partition = p.partition
    ${streamJoins(schema)}
    where p.partition = $1`;
}

export function overdueText(schema: string): string {
  return `select 'playthrough/' || t.id as stream, t.turn from ${schema}.playthroughs t
    where t.partition = $1 and t.deadline is not null and t.deadline < $2
      and not exists (select 1 from ${schema}.parked k where k.stream = 'playthrough/' || t.id)
    order by t.deadline, t.id limit $3`;
}
