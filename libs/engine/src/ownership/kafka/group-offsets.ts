import type { Timers } from '#lib/platform';

export interface GroupOffsetsOptions {
  /** Resolves to false when now is not the time. */
  commit(positions: ReadonlyMap<number, number>): Promise<boolean>;
  readonly timers: Timers;
  /** At most one commit in so long, ms. */
  readonly everyMs: number;
}

/**
 * Positions as offsets of the group, so that tools for Kafka see the lag. They are read by nobody of ours and committed after the position in
 * Postgres has moved; losing some only makes the lag look older.
 */
export class GroupOffsets {
  private waiting = new Map<number, number>();
  private cancelTimer: (() => void) | undefined;

  constructor(private readonly options: GroupOffsetsOptions) {}

  /** Next offset per partition; never waits. */
  commitLag(positions: ReadonlyMap<number, number>): void {
    for (const [partition, next] of positions) this.waiting.set(partition, next);
    if (this.waiting.size > 0) this.cancelTimer ??= this.options.timers.after(this.options.everyMs, () => void this.flush());
  }

  /** Those of a partition that is somebody else's now. */
  forget(partition: number): void {
    this.waiting.delete(partition);
  }

  stop(): void {
    this.cancelTimer?.();
    this.waiting.clear();
  }

  private async flush(): Promise<void> {
    const positions = this.waiting;
    this.waiting = new Map();
    // A failure is the member's to notice, by its heartbeats; here the next positions are committed instead.
    const done = await this.options.commit(positions).catch(() => false);
    this.cancelTimer = undefined;
    if (done) return this.commitLag(new Map());
    this.commitLag(new Map([...positions].filter(([partition]) => !this.waiting.has(partition))));
  }
}
