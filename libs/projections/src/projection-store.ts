import type { AcceptedCommand, RecordedEvent, StreamId } from '#lib/decision';
import type { LogId, Offset } from '#lib/log';
import type { StreamKinds } from './stream-kinds.js';
import type { BatchChanges, VerdictCounts } from './batch-changes.js';
import type { DeadLetterRow } from './dead-letter.js';
import type { StoredStreamRow } from './read-model.js';

/** How far a generation has come in one partition. */
export interface ProjectionPosition {
  readonly partition: number;
  readonly logId: LogId;
  /** Offset of the next record to fold. */
  readonly nextOffset: Offset;
  /** The log's time of the last folded record, 0 before the first. */
  readonly lastTime: number;
  readonly verdicts: VerdictCounts;
  /** Raised by everything that changes rows beside the projector (a parked stream taken up again): what it holds in memory is then void. */
  readonly epoch: number;
}

/** Where a projector keeps the read models: memory (tests, simulation) or one generation in Postgres. */
export interface ProjectionStore {
  /**
   * Creates what is missing and says how far every partition has come.
   * @throws PositionRefused when the stored positions belong to another log or to another number of partitions.
   */
  open(logId: LogId, partitions: number): Promise<readonly ProjectionPosition[]>;
  /** As stored now; after a `fenced` commit the projector goes on from here. */
  readPosition(partition: number): Promise<ProjectionPosition>;
  /** The stored ones of these streams, in one round trip. */
  loadStreams(partition: number, streams: readonly StreamId[]): Promise<ReadonlyMap<StreamId, StoredStreamRow>>;
  /**
   * All of a batch and the position, or nothing: `fenced` when the position is no longer `changes.from`, because another projector
   * was there first, rows were changed beside it (epoch), or the generation was retired.
   * @throws DataRefused when these very rows can never be stored; anything else is worth a retry.
   */
  commit(changes: BatchChanges): Promise<'committed' | 'fenced'>;
  /** Keeps a record that its partition stands before; `known`: it was kept and open already. A batch's own dead letters come with the batch. */
  keepDeadLetter(logId: LogId, letter: DeadLetterRow): Promise<'new' | 'known'>;
  /** Folds a parked stream's retained records, in order, in one transaction; or leaves it parked as it was and says why. */
  retryParked(stream: StreamId, kinds?: StreamKinds): Promise<RetryOutcome>;
}

export type RetryOutcome =
  | { readonly kind: 'applied'; readonly records: number }
  | { readonly kind: 'still-parked'; readonly reason: string; readonly offset: Offset }
  | { readonly kind: 'not-parked' };

/** The rows themselves are at fault (SQLSTATE class 22, 23, 54): the batch is split until the stream is found. */
export class DataRefused extends Error {
  override readonly name = 'DataRefused';
}

export type PositionProblem = 'ANOTHER_LOG' | 'BEYOND_END' | 'ANOTHER_PARTITION_COUNT';

/** Positions that cannot belong to this log: the projector refuses to start rather than derive nonsense. */
export class PositionRefused extends Error {
  override readonly name = 'PositionRefused';
  constructor(
    readonly code: PositionProblem,
    detail: string,
  ) {
    super(`the read models do not belong to this log: ${detail}; start once with FABULA_ADOPT_LOG set to the log's id to build them anew`);
  }
}

/** @throws PositionRefused unless these are the positions of that log. */
export function checkPositions(positions: readonly ProjectionPosition[], logId: LogId, partitions: number): void {
  const other = positions.find((position) => position.logId !== logId);
  if (other !== undefined) throw new PositionRefused('ANOTHER_LOG', `they were derived from log ${other.logId}, this is log ${logId}`);
  if (positions.length !== partitions) {
    throw new PositionRefused('ANOTHER_PARTITION_COUNT', `they have ${positions.length} partitions, the log has ${partitions}`);
  }
}

/** A position as digests compare it: without the log's id, which a copied log changes. */
export function positionText({ partition, nextOffset, lastTime, verdicts }: ProjectionPosition): string {
  const { accepted, duplicate, reused, conflict, invalid } = verdicts;
  return `${partition} ${nextOffset} ${lastTime} ${accepted}/${duplicate}/${reused}/${conflict}/${invalid}`;
}

/** A past state to fold from: see `ColdReads.past`. */
export interface PastState {
  readonly snapshot: string;
  readonly events: readonly RecordedEvent[];
  readonly stateHash: string;
}

/** What the engine reads from the live read models. Satisfies the engine's `ColdSource` by its shape: rooms do not import each other. */
export interface ColdReads {
  load(
    partition: number,
    streams: readonly StreamId[],
  ): Promise<{
    readonly generation: string;
    readonly position: Offset;
    readonly streams: ReadonlyMap<StreamId, ColdStream>;
  }>;
  position(partition: number): Promise<Offset>;
  past(stream: StreamId, turn: number): Promise<PastState | undefined>;
  accepted(stream: StreamId, commandId: string): Promise<AcceptedCommand | undefined>;
  kept(stream: StreamId, offset: Offset): Promise<{ readonly first: number | undefined; readonly at: number | undefined }>;
  overdue(partition: number, before: number, limit: number): Promise<readonly { readonly stream: StreamId; readonly turn: number }[]>;
}

export interface ColdStream {
  readonly head: { readonly version: number; readonly previous: string | null; readonly window: readonly AcceptedCommand[] };
  readonly state: string;
  readonly parked: string | null;
}
