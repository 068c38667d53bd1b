import { errorText, type Clock, type Timers } from '#lib/platform';
import type { Access } from './access-entry.js';
import { MAX_BATCH, type AccessLog } from './access-log.js';
import { AccessSummaries } from './access-summaries.js';

export const SUMMARY_INTERVAL_MS = 60_000;
/** Reading the access log is itself an access: told once per person and ten minutes, then counted, so that it does not feed itself. */
export const QUIET_INTERVAL_MS = 600_000;

export interface AccessRecorderOptions {
  readonly log: AccessLog;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly onProblem?: (message: string) => void;
  readonly intervalMs?: number;
  readonly quietMs?: number;
  readonly mostSummaries?: number;
}

/** What the server tells of accesses: at once, or counted up per interval. It has no switch. */
export class AccessRecorder {
  private readonly summaries: AccessSummaries;
  private readonly quiet: AccessSummaries;
  private readonly cancels = new Map<AccessSummaries, () => void>();
  /** First readings that are being kept. */
  private readonly opening = new Map<string, Promise<void>>();
  private flushing: Promise<void> = Promise.resolve();

  constructor(private readonly options: AccessRecorderOptions) {
    this.summaries = new AccessSummaries(options.mostSummaries);
    this.quiet = new AccessSummaries(options.mostSummaries, true);
  }

  /** Ends when the entries are kept. @throws AccessNotRecorded */
  record(...accesses: readonly Access[]): Promise<void> {
    return this.options.log.record(...accesses);
  }

  /** Counts it; written within the interval. A crash loses the counts of at most one interval. */
  summarise(access: Access): void {
    this.summaries.add(access);
    this.arm(this.summaries, this.options.intervalMs ?? SUMMARY_INTERVAL_MS);
  }

  /** The first of its kind, and of its tree, in ten minutes is kept before this ends, those that follow are counted. @throws AccessNotRecorded */
  async recordOnce(access: Access): Promise<void> {
    const key = this.quiet.keyOf(access);
    // It may fail: then whoever asked meanwhile sees nothing either.
    const before = this.opening.get(key);
    if (before !== undefined) await before;
    const first = this.quiet.add(access, { count: 0, to: access.at });
    this.arm(this.quiet, this.options.quietMs ?? QUIET_INTERVAL_MS);
    if (!first) return void this.quiet.add(access);
    const opening = this.record(access);
    this.opening.set(key, opening);
    try {
      await opening;
    } catch (error) {
      this.quiet.drop(access);
      throw error;
    } finally {
      this.opening.delete(key);
    }
  }

  /** Rows that wait to be written. */
  get counted(): number {
    return this.summaries.size + this.quiet.size;
  }

  /** Writes what was counted so far. */
  flush(): Promise<void> {
    return this.write(this.summaries);
  }

  /** Writes everything that was counted; what the store does not take now is lost, and said so. */
  async stop(): Promise<void> {
    for (const cancel of this.cancels.values()) cancel();
    this.cancels.clear();
    await this.write(this.summaries);
    await this.write(this.quiet);
    for (const cancel of this.cancels.values()) cancel();
    const lost = this.counted;
    if (lost > 0) this.options.onProblem?.(`${lost} summaries of the access log could not be written before the end`);
    await this.options.log.idle();
  }

  private arm(table: AccessSummaries, ms: number): void {
    if (this.cancels.has(table)) return;
    const cancel = this.options.timers.after(ms, () => {
      this.cancels.delete(table);
      void this.write(table);
    });
    this.cancels.set(table, cancel);
  }

  /** One after the other: two writers of one table could put back what the other has just taken. */
  private write(table: AccessSummaries): Promise<void> {
    this.flushing = this.flushing.then(async () => {
      const taken = table.take(this.options.clock.now());
      for (let from = 0; from < taken.length; from += MAX_BATCH)
        try {
          await this.options.log.record(...taken.slice(from, from + MAX_BATCH));
        } catch (error) {
          table.putBack(taken.slice(from));
          this.arm(table, this.options.intervalMs ?? SUMMARY_INTERVAL_MS);
          this.options.onProblem?.(`summaries of the access log could not be written: ${errorText(error)}`);
          return;
        }
    });
    return this.flushing;
  }
}
