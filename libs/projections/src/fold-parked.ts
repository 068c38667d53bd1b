import { decodeRecord, type StreamId } from '#lib/decision';
import type { Offset } from '#lib/log';
import { BatchRows } from './batch-rows.js';
import { printable } from './dead-letter.js';
import { foldRecord } from './fold-batch.js';
import type { ParkedRecordRow } from './read-model.js';
import { kindOf, type StreamKinds } from './stream-kinds.js';

export interface ParkedStream {
  readonly stream: StreamId;
  readonly partition: number;
  /** State before the first retained record; null when there is none. */
  readonly state: string | null;
  /** In log order. */
  readonly records: readonly ParkedRecordRow[];
}

export type FoldedParked =
  | { readonly kind: 'folded'; readonly state: string | null; readonly rows: BatchRows }
  | { readonly kind: 'still-parked'; readonly reason: string; readonly offset: Offset };

/** Takes a parked stream up again: all of its retained records in order, or none of them. They were admitted when they were retained. */
export function foldParked({ stream, partition, state, records }: ParkedStream, kinds: StreamKinds): FoldedParked {
  const rows = new BatchRows(partition);
  let offset = records[0]?.offset ?? 0;
  try {
    let json = state;
    let live: unknown = state === null ? null : kindOf(kinds, stream).stateFromJson(state);
    for (const retained of records) {
      ({ offset } = retained);
      const decoded = decodeRecord(retained.bytes);
      if (decoded.kind !== 'record') throw new TypeError(`the retained record is ${decoded.kind}`);
      const folded = foldRecord(live, decoded.record, offset, rows, kinds);
      live = folded.after;
      json = folded.json;
    }
    return { kind: 'folded', state: json, rows };
  } catch (error) {
    return { kind: 'still-parked', reason: printable(error instanceof Error ? error.message : String(error)), offset };
  }
}
