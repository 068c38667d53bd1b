/** Position of a record in its partition: dense, from 0. */
export type Offset = number;
/** Random identity written when the log is created; positions of another log mean nothing. */
export type LogId = string;

/** A record to append. `key` is the stream id (Kafka's key); `headers` carry trace context only. */
export interface LogRecord {
  readonly key: string;
  readonly value: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface StoredRecord extends LogRecord {
  readonly offset: Offset;
  /** When the log took it, ms since the epoch: fixed by the log, the same for every reader. */
  readonly time: number;
}

/** Consecutive records of one partition; never empty. */
export interface Batch {
  readonly partition: number;
  readonly records: readonly StoredRecord[];
}

export const MAX_BATCH_RECORDS = 1000;
export const MAX_BATCH_BYTES = 768 * 1024;

/**
 * The whole port. Laws: one total order per partition; records of one append are contiguous and all-or-nothing;
 * what `read` returned once never changes: it is there, or it was forgotten and all before it too. An offset is given once.
 */
export interface EventLog {
  /** How many partitions, written once when the log is created. */
  readonly partitions: number;
  /**
   * Appends 1…1,000 records (≤ 768 KiB) and answers the offset of the first.
   * @throws LogUnavailable when no byte left this process; OutcomeUnknown when they may or may not be stored;
   *         LogRefused when this can never succeed (size, authorisation).
   */
  append(partition: number, records: readonly LogRecord[]): Promise<Offset>;
  /**
   * Records from `from` on, in order; at the end it waits for more until `signal` aborts (then it ends without error).
   * With `upTo` it ends before that offset instead of following the tail.
   * @throws LogUnavailable when the log cannot be read; the caller starts again from its own position.
   *         RecordsForgotten when the next record lies below `begin`, before the first batch or, when records are forgotten meanwhile,
   *         after any: never a gap. Starting again cannot help.
   */
  read(partition: number, from: Offset, options?: ReadOptions): AsyncIterable<Batch>;
  /** Offset that the next record will get. */
  end(partition: number): Promise<Offset>;
  /** First offset that can be read: 0 until something is forgotten, `end` when everything is. Never goes back. */
  begin(partition: number): Promise<Offset>;
  /**
   * Forgets for good the records of smaller offsets. `end` and all offsets stay; what is forgotten already stays so, so it may be repeated.
   * When it ends nobody reads them again; a store may free their space later.
   * @throws RangeError when `before` is no offset, or lies beyond the end; LogUnavailable: it may have happened or not, ask again;
   *         LogRefused when the store does not let us
   */
  forget(partition: number, before: Offset): Promise<void>;
  id(): Promise<LogId>;
  close(): Promise<void>;
}

export interface ReadOptions {
  readonly signal?: AbortSignal;
  readonly maxRecords?: number;
  readonly upTo?: Offset;
}

/** Nothing left this process: safe to answer the caller and to try again. */
export class LogUnavailable extends Error {
  override readonly name = 'LogUnavailable';
}
/** The records may be stored or not: append the same bytes again until a verdict is read. */
export class OutcomeUnknown extends Error {
  override readonly name = 'OutcomeUnknown';
}
/** The log will never take these records. */
export class LogRefused extends Error {
  override readonly name = 'LogRefused';
}
/** Records that were asked for were forgotten on purpose: what derives from them begins at a base instead. Asking again does not help. */
export class RecordsForgotten extends Error {
  override readonly name = 'RecordsForgotten';
  constructor(
    readonly partition: number,
    /** The first record that was asked for. */
    readonly from: Offset,
    /** The first record that is there, at least. */
    readonly begin: Offset,
  ) {
    super(`Partition ${partition} begins at offset ${begin}, but offset ${from} was asked for: what came before was forgotten.`);
  }
}
/** A reader found a hole or a record of another place: the store was damaged from outside, and nothing may be skipped. */
export class LogDamaged extends Error {
  override readonly name = 'LogDamaged';
}
