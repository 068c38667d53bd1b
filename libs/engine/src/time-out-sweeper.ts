import { TIMEOUT_GRACE_MS } from '#lib/playthrough';
import { SYSTEM, systemDigestInput } from './batch-plan.js';
import type { CommandOutcome, CommandRequest } from './command.js';
import type { WriterContext } from './partition-writer.js';

/**
 * Takes timed choices that nobody came back for, at a bounded rate. Whoever comes first (this, a late reader, another node) records
 * the time-out; the derived command id makes the others' attempts duplicates.
 */
export class TimeOutSweeper {
  private cancel: (() => void) | undefined;
  private stopped = false;

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
      const overdue = await cold.overdue(this.partition, clock.now() - TIMEOUT_GRACE_MS, limits.sweepCommands);
      await Promise.all(overdue.map(({ stream, turn }) => this.timeOut(stream, turn)));
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
      await this.execute({ stream, commandId, digestInput, command, actor: SYSTEM, correlationId: ids.uuid(), causationId: null });
    } catch {
      // Tried again by the next sweep, with the same id.
      onMetric('time_out_failed', 1);
    }
  }
}
