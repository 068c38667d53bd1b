import type { AcceptedCommand, RecordedEvent, StreamHead, StreamId } from '#lib/decision';
import type { Offset } from '#lib/log';

/** A stream as the read models hold it at their position. */
export interface StoredStream {
  readonly head: StreamHead;
  /** Canonical JSON of the stream's state. */
  readonly state: string;
  /** Set when the stream is parked: the reason. */
  readonly parked: string | null;
}

/** Where the engine loads cold streams from: the read models of the live generation (cold load). */
export interface ColdSource {
  /** One statement, one snapshot: the projector's position in that partition and the rows of these streams (absent = not seen yet). */
  load(
    partition: number,
    streams: readonly StreamId[],
  ): Promise<{ readonly generation: string; readonly position: Offset; readonly streams: ReadonlyMap<StreamId, StoredStream> }>;
  /** Position of the live generation in that partition. */
  position(partition: number): Promise<Offset>;
  /** A playthrough as it was: nearest snapshot at or below the turn, and the events after it up to that turn; with the recorded state hash at that turn. */
  past(stream: StreamId, turn: number): Promise<PastState | undefined>;
  /** Whether that command was accepted, however long ago (older than the head's window). */
  accepted(stream: StreamId, commandId: string): Promise<AcceptedCommand | undefined>;
  /** Of a playthrough whose first records were pruned: the oldest turn that is kept, and the turn that the record at that offset led to. */
  kept(stream: StreamId, offset: Offset): Promise<KeptTurns>;
  /** Playthroughs of that partition whose deadline lies before `before`, oldest first. */
  overdue(partition: number, before: number, limit: number): Promise<readonly { readonly stream: StreamId; readonly turn: number }[]>;
}

/** Undefined: none. */
export interface KeptTurns {
  readonly first: number | undefined;
  readonly at: number | undefined;
}

export interface PastState {
  /** Canonical JSON of the playthrough's state at the snapshot. */
  readonly snapshot: string;
  readonly events: readonly RecordedEvent[];
  readonly stateHash: string;
}
