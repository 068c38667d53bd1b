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
 * what `read` returned once never changes.
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
   */
  read(partition: number, from: Offset, options?: ReadOptions): AsyncIterable<Batch>;
  /** Offset that the next record will get. */
  end(partition: number): Promise<Offset>;
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
/** A reader found a hole or a record of another place: the store was damaged from outside, and nothing may be skipped. */
export class LogDamaged extends Error {
  override readonly name = 'LogDamaged';
}
