import { LogRefused, LogUnavailable, type EventLog, type Offset } from '#lib/log';
import type { Timers } from '#lib/platform';
import type { BatchPlan } from './batch-plan.js';
import type { CircuitBreaker } from './circuit-breaker.js';
import { EngineFailure, messageOf } from './engine-failure.js';
import type { EngineLimits } from './limits.js';
import { PartitionHalted } from './partition-state.js';

interface AppenderContext {
  readonly log: EventLog;
  readonly timers: Timers;
  readonly limits: EngineLimits;
  onMetric(name: string, value: number): void;
  onAlarm(message: string): void;
}

/** Brings a batch into the log: the same bytes again and again while nobody can say whether they are stored. */
export class BatchAppender {
  /** Ends the current pause. */
  private proceed: (() => void) | undefined;

  constructor(
    private readonly partition: number,
    private readonly context: AppenderContext,
    private readonly stopped: AbortSignal,
    private readonly breaker: CircuitBreaker,
  ) {}

  /** Base offset of the batch; undefined when it will get none and its callers were told. */
  async append({ records, dependents }: BatchPlan): Promise<Offset | undefined> {
    const { log, onMetric, onAlarm } = this.context;
    const batch = records.map((planned) => planned.log);
    const callers = [...records.flatMap(({ command }) => command ?? []), ...dependents.map(({ command }) => command)];
    for (const command of callers) command.sent = true;
    let uncertain = false;
    this.breaker.appending();
    for (let attempt = 0; ; attempt++) {
      try {
        const base = await log.append(this.partition, batch);
        this.breaker.succeeded();
        onMetric('batch_records', batch.length);
        return base;
      } catch (error) {
        const permanent = error instanceof LogRefused;
        if (permanent) onAlarm(`the log refuses records of partition ${this.partition}: ${messageOf(error)}`);
        if (!uncertain && (permanent || error instanceof LogUnavailable)) {
          if (permanent) this.breaker.ended();
          else this.breaker.failed(false);
          // Nothing of it is in the log: confirmed state stands, what was decided is forgotten.
          for (const command of callers) {
            command.fail(new EngineFailure('LOG_UNAVAILABLE', `the log took nothing: ${messageOf(error)}`, { cause: error }));
          }
          return undefined;
        }
        // The bytes may be in the log or arrive late: only appending the same bytes again brings a verdict.
        uncertain = true;
        onMetric('append_unknown', batch.length);
        this.breaker.failed(true);
        if (!permanent) await this.pause(attempt);
        if (permanent || this.stopped.aborted) {
          this.breaker.ended();
          for (const command of callers) command.expire();
          return undefined;
        }
      }
    }
  }

  /** Reads a verdict back however often reading fails: until it is known nothing new may be decided. */
  async insist(read: () => Promise<void>): Promise<void> {
    this.breaker.appending();
    for (let attempt = 0; ; attempt++) {
      try {
        await read();
        return this.breaker.succeeded();
      } catch (error) {
        if (error instanceof PartitionHalted || this.stopped.aborted) throw error;
        this.context.onMetric('read_back_failed', 1);
        this.breaker.failed(true);
      }
      await this.pause(attempt);
    }
  }

  /** The writer stops: no more pauses. */
  interrupt(): void {
    this.proceed?.();
  }

  private async pause(attempt: number): Promise<void> {
    if (this.stopped.aborted) return;
    const [first, last] = this.context.limits.backoffMs;
    const ms = Math.min(last, first * 2 ** Math.min(attempt, 16));
    let cancel: (() => void) | undefined;
    await new Promise<void>((resolve) => {
      this.proceed = resolve;
      cancel = this.context.timers.after(ms, resolve);
    });
    cancel?.();
    this.proceed = undefined;
  }
}
