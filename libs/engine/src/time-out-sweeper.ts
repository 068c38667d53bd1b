import { TIMEOUT_GRACE_MS } from '#lib/playthrough';
import { SYSTEM, systemDigestInput } from './batch-plan.js';
import type { CommandOutcome, CommandRequest } from './command.js';
import type { WriterContext } from './writer-context.js';

const MAX_REFUSED = 1_000;

/**
 * Takes timed choices that nobody came back for, at a bounded rate. Whoever comes first (this, a late reader, another node) records
 * the time-out; the derived command id makes the others' attempts duplicates.
 */
export class TimeOutSweeper {
  private cancel: (() => void) | undefined;
  private stopped = false;
  /** Time-outs that the story itself refuses (its effects fail), by stream: they stay overdue and must not starve the others. */
  private readonly refused = new Map<string, number>();

  constructor(
    private readonly partition: number,
    private readonly context: Pick<WriterContext, 'cold' | 'clock' | 'timers' | 'ids' | 'limits' | 'onMetric'>,
    private readonly execute: (request: CommandRequest) => Promise<CommandOutcome>,
  ) {}

  start(): void {
    this.cancel = this.context.timers.after(this.context.limits.sweepMs, () => {
      this.sweep().finally(() => {
        if (!this.stopped) this.start();
      });
    });
  }

  stop(): void {
    this.stopped = true;
    this.cancel?.();
  }

  private async sweep(): Promise<void> {
    const { cold, clock, limits, onMetric } = this.context;
    try {
      const overdue = await cold.overdue(this.partition, clock.now() - TIMEOUT_GRACE_MS, limits.sweepCommands + this.refused.size);
      const open = overdue.filter(({ stream, turn }) => this.refused.get(stream) !== turn).slice(0, limits.sweepCommands);
      await Promise.all(open.map(({ stream, turn }) => this.timeOut(stream, turn)));
    } catch {
      // The read models are down: the next sweep, or the late reader itself, finds the time-out.
      onMetric('sweep_failed', 1);
    }
  }

  private async timeOut(stream: string, turn: number): Promise<void> {
    if (this.stopped) return;
    const commandId = `s:timeout:${stream.slice(stream.indexOf('/') + 1)}:${turn}`;
    const { ids, onMetric } = this.context;
    try {
      const digestInput = systemDigestInput(commandId);
      const command = { type: 'timeOut', turn } as const;
      const outcome = await this.execute({
        stream,
        commandId,
        digestInput,
        command,
        actor: SYSTEM,
        correlationId: ids.uuid(),
        causationId: null,
      });
      if (outcome.kind === 'rejected' && outcome.code !== 'TURN_STALE') this.remember(stream, turn);
    } catch {
      // Tried again by the next sweep, with the same id.
      onMetric('time_out_failed', 1);
    }
  }
  private remember(stream: string, turn: number): void {
    this.refused.delete(stream);
    this.refused.set(stream, turn);
    const [oldest] = this.refused.keys();
    if (this.refused.size > MAX_REFUSED && oldest !== undefined) this.refused.delete(oldest);
  }
}
