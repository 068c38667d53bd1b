import { MAX_BATCH_BYTES, MAX_BATCH_RECORDS } from '#lib/log';

/** Every bound of the engine; per partition unless said otherwise. */
export interface EngineLimits {
  /** Commands accepted but not yet answered; one more is answered OVERLOADED at once. Higher rides out longer bursts, lower answers sooner. */
  readonly queueCommands: number;
  readonly queueBytes: number;
  readonly batchRecords: number;
  readonly batchBytes: number;
  /** Estimated bytes of hot states; at the cap, cold streams wait for the projector (OVERLOADED) and hot ones go on. */
  readonly hotBytes: number;
  /** Estimated bytes of records above the projector's position that belong to no hot stream. */
  readonly tailBytes: number;
  /** A cold stream whose row lies further behind the tail index than this many records is answered OVERLOADED instead of reading the log. */
  readonly catchUpRecords: number;
  /** Times that a command is decided again after a conflict. */
  readonly decideAgain: number;
  /** A caller without its own deadline is answered after this. */
  readonly deadlineMs: number;
  /** How long a retry or a rewind waits for the read model before NOT_YET_VISIBLE. */
  readonly visibleMs: number;
  /** How often projector position, deadlines of callers and overdue time-outs are looked at. */
  readonly tickMs: number;
  readonly sweepMs: number;
  /** Time-outs swept per partition and sweep. */
  readonly sweepCommands: number;
  /** Pauses between appends of the same bytes while their outcome is unknown: doubled from the first to the last. */
  readonly backoffMs: readonly [first: number, last: number];
  /** Estimated bytes of compiled stories; per process. */
  readonly contentBytes: number;
}

export const DEFAULT_LIMITS: EngineLimits = {
  queueCommands: 5_000,
  queueBytes: 16 * 1024 * 1024,
  batchRecords: MAX_BATCH_RECORDS,
  batchBytes: MAX_BATCH_BYTES,
  hotBytes: 64 * 1024 * 1024,
  tailBytes: 32 * 1024 * 1024,
  catchUpRecords: 10_000,
  decideAgain: 5,
  deadlineMs: 10_000,
  visibleMs: 2_000,
  tickMs: 100,
  sweepMs: 1_000,
  sweepCommands: 100,
  backoffMs: [20, 1_000],
  contentBytes: 256 * 1024 * 1024,
};
