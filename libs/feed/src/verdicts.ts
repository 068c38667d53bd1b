import type { StreamId } from '#lib/decision';
import type { LogId, Offset } from '#lib/log';

/** Verdicts that somebody else has derived by `admit` and keeps: the publisher has no stream heads of its own (docs/decisions/0015). */
export interface Verdicts {
  /** What is known of the records from `from` to before `to`, as of one moment. */
  read(logId: LogId, partition: number, from: Offset, to: Offset): Promise<KnownVerdicts>;
  /**
   * Where these streams begin, and what version of the story their records before `before` named last.
   * A stream without an accepted record is left out.
   */
  beginnings(partition: number, streams: readonly StreamId[], before: Offset): Promise<ReadonlyMap<StreamId, Beginning>>;
}

export interface KnownVerdicts {
  /** Every record before this offset has its verdict; at least `from`. */
  readonly upTo: Offset;
  /** Offset of every record from `from` to before `upTo`, and whether it was accepted. */
  readonly accepted: ReadonlyMap<Offset, boolean>;
}

export interface Beginning {
  /** Of the stream's first accepted record. */
  readonly offset: Offset;
  readonly versionHash: string | null;
}
