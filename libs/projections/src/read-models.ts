import type { Pool } from 'pg';
import type { RecordedEvent } from '#lib/decision';
import type { EventLog, LogId, Offset, OldestWaiting } from '#lib/log';
import type { Clock } from '#lib/platform';
import { LiveGeneration, listGenerations, type Generation } from './generations.js';
import { decodeCursor, pageLimit, pageOf, type Page } from './page.js';
import * as sql from './read-model-queries.js';
import type { PlaythroughRow, StoryRow, StoryVersionRow } from './read-model.js';

/** How far the answer goes: everything below `nextOffset` of each partition is in it. */
export interface AsOf {
  readonly generation: number;
  readonly logId: LogId;
  readonly partitions: readonly { readonly partition: number; readonly nextOffset: Offset; readonly lastTime: number }[];
}

/** An answer and the positions it holds at: one statement, one snapshot. */
export interface Answer<T> {
  readonly value: T;
  readonly asOf: AsOf;
}

export interface PageRequest {
  /** 1…100. */
  readonly first: number;
  /** Cursor of the last row seen. */
  readonly after?: string | null | undefined;
}

export type PlaythroughSummary = PlaythroughRow & { readonly partition: number };

export interface PlaythroughView extends PlaythroughSummary {
  /** Canonical JSON of the state: see `stateFromJson`. */
  readonly state: string;
  readonly version: number;
  /** Why the stream is parked; then `state` is the last one before that. */
  readonly parked: string | null;
}

export interface TurnView {
  readonly turn: number;
  readonly offset: Offset;
  readonly kind: string;
  readonly passageId: string;
  readonly choiceId: string | null;
  readonly correlationId: string;
  readonly at: number;
  readonly stateHash: string;
  /** As stored: bring them up to date with `upcast` before reading fields. */
  readonly events: readonly RecordedEvent[];
}

export interface CheckpointView {
  readonly turn: number;
  readonly mark: string;
  /** JSON of the sealed name. */
  readonly name: string;
  readonly at: number;
}

export interface VersionStats {
  readonly choices: readonly {
    readonly passageId: string;
    readonly choiceId: string;
    readonly offered: number;
    readonly visible: number;
    readonly enabled: number;
    readonly picked: number;
  }[];
  /** `dropOff`: readers' runs that came here, and neither went on, ended nor rewound away. */
  readonly passages: readonly {
    readonly passageId: string;
    readonly entered: number;
    readonly left: number;
    readonly ended: number;
    readonly rewoundTo: number;
    readonly rewoundFrom: number;
    readonly standing: number;
    readonly dropOff: number;
  }[];
  readonly endings: readonly { readonly ending: string; readonly reached: number }[];
}

export interface ParkedView {
  readonly stream: string;
  readonly partition: number;
  readonly code: string;
  readonly reason: string;
  readonly fromOffset: Offset;
  readonly parkedAt: number;
  /** Accepted records held back. */
  readonly records: number;
  readonly attempts: number;
  readonly lastError: string | null;
}

export interface PartitionProgress {
  readonly partition: number;
  readonly nextOffset: Offset;
  readonly end: Offset;
  readonly lagRecords: number;
  /** Age of the oldest record that is not folded; 0 when there is none. At least so much while the log does not show it. */
  readonly lagMs: number;
}

/** Queries of the API and the operators against the live generation. */
export class ReadModels {
  readonly live: LiveGeneration;

  constructor(
    private readonly pool: Pool,
    clock: Clock,
    /** Share the projector's and the cold source's, so that a switch is seen by all at once. */
    live?: LiveGeneration,
  ) {
    this.live = live ?? new LiveGeneration(pool, clock);
  }

  async asOf(): Promise<AsOf> {
    return (await this.ask('as_of', () => 'select 1 as one', [])).asOf;
  }

  /** Stories that have a published version; all of them for authors. By id. */
  async stories(request: PageRequest & { readonly drafts: boolean }): Promise<Answer<Page<StoryRow>>> {
    const [after] = decodeCursor(request.after, ['string']) ?? [null];
    const values = [after, pageLimit(request.first), request.drafts];
    const { value, asOf } = await this.ask<StoryRow>('stories', sql.stories, values);
    return { value: pageOf(value, request.first, (row) => [row.id]), asOf };
  }

  /** A story with its versions, newest first. */
  async story(id: string): Promise<Answer<(StoryRow & { readonly versions: readonly StoryVersionRow[] }) | undefined>> {
    const { value, asOf } = await this.ask<StoryRow & { readonly versions: readonly StoryVersionRow[] }>('story', sql.story, [id]);
    return { value: value[0], asOf };
  }

  async playthrough(id: string): Promise<Answer<PlaythroughView | undefined>> {
    const { value, asOf } = await this.ask<PlaythroughView>('playthrough', sql.playthrough, [id]);
    return { value: value[0], asOf };
  }

  /** Versions of the streams of these playthroughs: those that have one. */
  async playthroughVersions(ids: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const { rows } = await this.live.query<{ id: string; version: string }>('versions', sql.playthroughVersions, [ids]);
    return new Map(rows.map(({ id, version }) => [id, Number(version)]));
  }

  /** A reader's own playthroughs, last started first; previews and what-ifs among them. */
  async myPlaythroughs(
    request: PageRequest & { readonly reader: string; readonly storyId?: string | null | undefined },
  ): Promise<Answer<Page<PlaythroughSummary>>> {
    const [at, id] = decodeCursor(request.after, ['number', 'string']) ?? [null, null];
    const values = [request.reader, at, id, pageLimit(request.first), request.storyId ?? null];
    const { value, asOf } = await this.ask<PlaythroughSummary>(
      at === null ? 'mine' : 'mine_after',
      sql.myPlaythroughs(at !== null),
      values,
    );
    return { value: pageOf(value, request.first, startedKey), asOf };
  }

  /** For support: everybody's playthroughs, last started first. */
  async playthroughs(
    request: PageRequest & { readonly storyId?: string | null | undefined; readonly status?: 'active' | 'ended' | null | undefined },
  ): Promise<Answer<Page<PlaythroughSummary>>> {
    const [at, id] = decodeCursor(request.after, ['number', 'string']) ?? [null, null];
    const { storyId = null } = request;
    const values = [at, id, pageLimit(request.first), request.status ?? null, ...(storyId === null ? [] : [storyId])];
    const name = `all${at === null ? '' : '_after'}${storyId === null ? '' : '_story'}`;
    const { value, asOf } = await this.ask<PlaythroughSummary>(name, sql.playthroughs(at !== null, storyId !== null), values);
    return { value: pageOf(value, request.first, startedKey), asOf };
  }

  /**
   * A playthrough's history, oldest first unless asked otherwise. Checkpoints are not turns; asked for, they stand between them, and then
   * the events are complete and can be folded. A cursor belongs to its order.
   */
  async turns(
    playthroughId: string,
    request: PageRequest & { readonly latestFirst?: boolean; readonly checkpoints?: boolean },
  ): Promise<Answer<Page<TurnView>>> {
    const { latestFirst = false, checkpoints = false } = request;
    const beyond = latestFirst ? Number.MAX_SAFE_INTEGER : -1;
    const [turn, offset] = decodeCursor(request.after, ['number', 'number']) ?? [beyond, beyond];
    const values = [playthroughId, turn, offset, pageLimit(request.first)];
    const { value, asOf } = await this.ask<Omit<TurnView, 'events'> & { readonly events: string }>(
      `turns${latestFirst ? '_latest_first' : ''}${checkpoints ? '_checkpoints' : ''}`,
      sql.turns(latestFirst, checkpoints),
      values,
    );
    const rows = value.map((row) => ({ ...row, events: JSON.parse(row.events) as RecordedEvent[] }));
    return { value: pageOf(rows, request.first, (row) => [row.turn, row.offset]), asOf };
  }

  /** At most 50 of one playthrough (the engine's bound), oldest first. */
  async checkpoints(playthroughId: string): Promise<Answer<readonly CheckpointView[]>> {
    return this.ask<CheckpointView>('checkpoints', sql.checkpoints, [playthroughId]);
  }

  /** Counters of one version over all partitions; previews and what-ifs only in `standing`. */
  async versionStats(storyId: string, versionHash: string): Promise<Answer<VersionStats>> {
    const { value, asOf } = await this.ask<VersionStats>('stats', sql.versionStats, [storyId, versionHash]);
    return { value: value[0] ?? { choices: [], passages: [], endings: [] }, asOf };
  }

  /** How many active playthroughs of a version stand on each passage now: whom a new version would touch. */
  async standing(storyId: string, versionHash: string): Promise<Answer<ReadonlyMap<string, number>>> {
    const { value, asOf } = await this.versionStats(storyId, versionHash);
    return { value: new Map(value.passages.filter((row) => row.standing > 0).map((row) => [row.passageId, row.standing])), asOf };
  }

  /** Longest parked first. */
  async parked(request: PageRequest): Promise<Answer<Page<ParkedView>>> {
    const [at, stream] = decodeCursor(request.after, ['number', 'string']) ?? [-1, ''];
    const { value, asOf } = await this.ask<ParkedView>('parked', sql.parked, [at, stream, pageLimit(request.first)]);
    return { value: pageOf(value, request.first, (row) => [row.parkedAt, row.stream]), asOf };
  }

  /** Content hashes that authors drafted or readers play, each once; found by jumps through the index, not by reading the statistics. */
  async versionsSpokenOf(): Promise<readonly string[]> {
    const { rows } = await this.live.query<{ hash: string }>('versions_spoken_of', sql.versionsSpokenOf, []);
    return rows.map(({ hash }) => hash);
  }

  async parkedCount(): Promise<number> {
    const { rows } = await this.live.query<{ count: string }>('parked_count', (schema) => `select count(*) from ${schema}.parked`, []);
    return Number(rows[0]?.count ?? 0);
  }

  /** How far the live generation is behind the log, and which generations there are. */
  async status(
    log: EventLog,
    oldest: OldestWaiting,
  ): Promise<{ readonly partitions: readonly PartitionProgress[]; readonly generations: readonly Generation[] }> {
    const asOf = await this.asOf();
    const partitions = asOf.partitions.map(async ({ partition, nextOffset }): Promise<PartitionProgress> => {
      const end = await log.end(partition);
      const lagMs = await oldest.lagMs(partition, nextOffset, end);
      return { partition, nextOffset, end, lagRecords: Math.max(0, end - nextOffset), lagMs };
    });
    return { partitions: await Promise.all(partitions), generations: await listGenerations(this.pool) };
  }

  private ask<Row>(name: string, rows: (schema: string) => string, values: readonly unknown[]): Promise<Answer<readonly Row[]>> {
    return askLive(this.live, name, rows, values);
  }
}

/** Runs one query against the live generation, and says as of when its answer is. */
export async function askLive<Row>(
  live: LiveGeneration,
  name: string,
  rows: (schema: string) => string,
  values: readonly unknown[],
): Promise<Answer<readonly Row[]>> {
  const answer = await live.query<sql.AnswerRecord<Row>>(`read_${name}`, (schema) => sql.answer(schema, rows(schema)), values);
  const [record] = answer.rows;
  if (record === undefined) throw new Error('a statement without FROM answered no row');
  const positions = record.positions ?? [];
  return {
    value: record.rows,
    asOf: {
      generation: answer.generation,
      logId: positions[0]?.logId ?? '',
      partitions: positions.map(({ partition, nextOffset, lastTime }) => ({ partition, nextOffset, lastTime })),
    },
  };
}

function startedKey(row: PlaythroughSummary): readonly [number, string] {
  return [row.startedAt ?? 0, row.id];
}
