import type { Verdict } from '#lib/decision';
import type { LogId, Offset } from '#lib/log';
import type { DeadLetterNotice, DeadLetterRow } from './dead-letter.js';
import type { Drift } from './drift.js';
import type { ReadModelRows, TableName } from './tables.js';

export type VerdictCounts = { readonly [verdict in Verdict]: number };
export const NO_VERDICTS: VerdictCounts = Object.freeze({ accepted: 0, duplicate: 0, reused: 0, conflict: 0, invalid: 0 });

export function addVerdicts(a: VerdictCounts, b: VerdictCounts): VerdictCounts {
  return {
    accepted: a.accepted + b.accepted,
    duplicate: a.duplicate + b.duplicate,
    reused: a.reused + b.reused,
    conflict: a.conflict + b.conflict,
    invalid: a.invalid + b.invalid,
  };
}

/** Everything one batch changes, several updates of a row folded into one; counters are increments. */
export interface BatchChanges {
  readonly partition: number;
  /** Position before and after. */
  readonly from: Offset;
  readonly to: Offset;
  readonly logId: LogId;
  /** The position's epoch on which this was folded. */
  readonly epoch: number;
  /** The log's time of the last record. */
  readonly lastTime: number;
  readonly verdicts: VerdictCounts;
  readonly rows: { readonly [table in TableName]: readonly ReadModelRows[table][] };
  /** Kept beside the generations: rows of theirs are compared, these are shared. */
  readonly deadLetters: readonly DeadLetterRow[];
  readonly drift: readonly Drift[];
}

/** What is told of a batch once it is committed. */
export interface CommittedBatch extends Pick<BatchChanges, 'partition' | 'from' | 'to' | 'lastTime' | 'verdicts' | 'drift'> {
  readonly parked: BatchChanges['rows']['parked'];
  readonly deadLetters: readonly DeadLetterNotice[];
}

export function summaryOf({ partition, from, to, lastTime, verdicts, rows, deadLetters, drift }: BatchChanges): CommittedBatch {
  return { partition, from, to, lastTime, verdicts, drift, parked: rows.parked, deadLetters: deadLetters.map(noticeOf) };
}

/** Without the bytes. */
export function noticeOf({ partition, offset, kind, stream, reason }: DeadLetterRow): DeadLetterNotice {
  return { partition, offset, kind, stream, reason };
}
