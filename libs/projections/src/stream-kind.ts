import type { DecisionRecord, EventSchema, RecordedEvent, StreamId } from '#lib/decision';
import type { Offset } from '#lib/log';
import type { BatchRows } from './batch-rows.js';

/** How streams of one type fold, and which rows they leave in the read models. One per stream type. */
export interface StreamKind<State> {
  readonly catalogue: ReadonlyMap<string, EventSchema>;
  stateFromJson(text: string): State;
  /**
   * Folds one accepted record. Nothing is kept until `keep` is called, so a failure leaves nothing half done. Pure.
   * @param events the record's events, brought to their current versions
   * @throws whatever a damaged event brings about: the stream is then parked.
   */
  fold(before: State | null, record: DecisionRecord, events: readonly RecordedEvent[], offset: Offset): FoldedRecord<State>;
}

export interface FoldedRecord<State> {
  readonly after: State;
  /** Canonical JSON of `after`. */
  readonly json: string;
  keep(rows: BatchRows): void;
}

/** A record whose events do not lead to the state that was recorded with them. */
export class StateDiffers extends Error {
  override readonly name = 'StateDiffers';
}

/** A stream of a type that this build does not know. */
export class UnknownStreamType extends Error {
  override readonly name = 'UnknownStreamType';
}

/** `playthrough` of `playthrough/<id>`. */
export function streamType(stream: StreamId): string {
  return stream.slice(0, stream.indexOf('/'));
}
