import { MAX_RECORD_BYTES, type StreamId } from '#lib/decision';
import type { Offset, StoredRecord } from '#lib/log';
import type { ParkCode } from './read-model.js';
import type { ColumnType } from './tables.js';

/**
 * Why a record could not be used. `invalid`: undecodable or of another partition, it counts for nothing. `unknown-envelope`: its partition
 * stands before it. All others: it was accepted, and its stream is parked from it on.
 */
export type DeadLetterKind = 'invalid' | 'unknown-envelope' | 'unknown-event' | 'unknown-stream' | 'fold-failed' | 'store-refused';
export const DEAD_LETTER_KINDS: readonly DeadLetterKind[] = [
  'invalid',
  'unknown-envelope',
  'unknown-event',
  'unknown-stream',
  'fold-failed',
  'store-refused',
];

/** A record that could not be used, as it is kept outside of generations: a pure function of the record and of why. */
export interface DeadLetterRow {
  readonly partition: number;
  readonly offset: Offset;
  readonly kind: DeadLetterKind;
  /** Null when the record does not say so legibly. */
  readonly stream: StreamId | null;
  readonly reason: string;
  readonly key: string;
  /** Whole up to the size of a decision record; of larger ones the beginning. */
  readonly bytes: Uint8Array;
  /** Of the whole record, in bytes. */
  readonly size: number;
  /** SHA-256 of the whole record. */
  readonly digest: string;
  /** JSON; null without any. */
  readonly headers: string | null;
  /** When the log took it. */
  readonly time: number;
}

/** What nothing of ours can have written is known by its beginning, size and digest; the log has the rest. */
export const KEPT_OF_OVERSIZED = 16 * 1024;
const MAX_KEY = 300;
const MAX_HEADERS = 4_096;

export interface DeadLetterCause {
  readonly kind: DeadLetterKind;
  readonly stream: StreamId | null;
  readonly reason: string;
  readonly digest: string;
}

export function deadLetter(partition: number, stored: StoredRecord, { kind, stream, reason, digest }: DeadLetterCause): DeadLetterRow {
  const { offset, key, value, headers, time } = stored;
  // Copied: a slice would hold on to the page it came with.
  const bytes = value.length <= MAX_RECORD_BYTES ? value : Uint8Array.prototype.slice.call(value, 0, KEPT_OF_OVERSIZED);
  return {
    partition,
    offset,
    kind,
    stream,
    reason: printable(reason),
    key: printable(key, MAX_KEY),
    bytes,
    size: value.length,
    digest,
    headers: headers === undefined ? null : printable(JSON.stringify(headers), MAX_HEADERS),
    time,
  };
}

const KIND_OF_CODE: { readonly [code in ParkCode]: DeadLetterKind } = {
  UNKNOWN_EVENT: 'unknown-event',
  UNKNOWN_STREAM: 'unknown-stream',
  STATE_DIFFERS: 'fold-failed',
  FOLD_FAILED: 'fold-failed',
  STATE_UNREADABLE: 'fold-failed',
  STORE_REFUSED: 'store-refused',
};

export function kindOfCode(code: ParkCode): DeadLetterKind {
  return KIND_OF_CODE[code];
}

/** Reasons, keys and headers are hostile input: bounded, and without what text columns cannot hold. */
export function printable(text: string, most = 500): string {
  return text
    .slice(0, most)
    .toWellFormed()
    .replace(/\p{Cc}/gu, '\ufffd');
}

/** Told of a dead letter once it is kept. */
export type DeadLetterNotice = Pick<DeadLetterRow, 'partition' | 'offset' | 'kind' | 'stream' | 'reason'>;

export const DEAD_LETTER_COLUMNS: { readonly [column in keyof DeadLetterRow]: ColumnType } = {
  partition: 'int4',
  offset: 'int8',
  kind: 'text',
  stream: 'text',
  reason: 'text',
  key: 'text',
  bytes: 'bytea',
  size: 'int8',
  digest: 'text',
  headers: 'text',
  time: 'int8',
};
