import { MAX_BATCH_BYTES, MAX_BATCH_RECORDS } from '#lib/log';

/** Every bound of the engine; per partition unless said otherwise. */
export interface EngineLimits {
  /** Commands accepted but not yet answered; one more is answered OVERLOADED at once. Higher rides out longer bursts, lower answers sooner. */
  readonly queueCommands: number;
  readonly queueBytes: number;
  /** The part of the queue that the commands of one stream may take; more of them are RATE_LIMITED while other streams go on. */
  readonly streamShare: number;
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
  /** Failed tries to append, one after the other, that open the circuit breaker: commands are then LOG_UNAVAILABLE at once. */
  readonly breakerFailures: number;
  /** An append that takes longer opens it too. Longer than a change of leaders in the log should take. */
  readonly breakerStallMs: number;
  /** Pause before one command may try the log again; as much again by chance. */
  readonly breakerPauseMs: number;
  /** Estimated bytes of compiled stories; per process. */
  readonly contentBytes: number;
}

export const DEFAULT_LIMITS: EngineLimits = {
  queueCommands: 5_000,
  queueBytes: 16 * 1024 * 1024,
  streamShare: 0.1,
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
  breakerFailures: 8,
  breakerStallMs: 5_000,
  breakerPauseMs: 1_000,
  contentBytes: 256 * 1024 * 1024,
};
