import type { LogId, Offset } from '#lib/log';
import type { Timers } from '#lib/platform';
import type { RecordPosition } from './position-token.js';

/** Longest that a read waits to see the caller's own write. */
export const MAX_WAIT_MS = 2_000;
/** Polls while nothing wakes it: the projector may run in another process. */
const POLL_MS = [10, 20, 40, 80, 160] as const;

export type Waited = 'visible' | 'not-yet-visible' | 'another-log' | 'no-such-partition';

export interface PositionWaiterOptions {
  readonly logId: LogId;
  readonly partitions: number;
  /** Stored position of the live generation: every record below it is visible. `fresh`: after looking anew which generation is live. */
  readonly position: (partition: number, fresh: boolean) => Promise<Offset>;
  readonly timers: Timers;
  /** Most reads waiting at once; more are answered `not-yet-visible` at once. Default 1,000. */
  readonly maxWaiting?: number;
}

/** Reads that ask to see a record wait here: woken by this process's projector, polling as a net. */
export class PositionWaiter {
  /** What is known to be visible, so that most reads need no query; a rebuilt generation is never behind when it goes live. */
  private readonly seen: Offset[];
  private readonly wakes = new Set<() => void>();
  private waiting = 0;

  constructor(private readonly options: PositionWaiterOptions) {
    this.seen = Array.from({ length: options.partitions }, () => 0);
  }

  /** Hand to `Projector.onCommit`. */
  readonly committed = ({ partition, to }: { readonly partition: number; readonly to: Offset }): void => {
    this.see(partition, to);
    this.wakeAll();
  };

  /** Until the record at that position is visible, at most `timeoutMs` (≤ 2 s, the default). */
  async waitFor({ logId, partition, offset }: RecordPosition, timeoutMs: number = MAX_WAIT_MS): Promise<Waited> {
    if (logId !== this.options.logId) return 'another-log';
    if (partition >= this.options.partitions) return 'no-such-partition';
    if (this.isSeen(partition, offset)) return 'visible';
    if (this.waiting >= (this.options.maxWaiting ?? 1_000)) return 'not-yet-visible';
    let expired = false;
    const cancel = this.options.timers.after(Math.min(timeoutMs, MAX_WAIT_MS), () => {
      expired = true;
      this.wakeAll();
    });
    this.waiting++;
    try {
      for (let poll = 0; ; poll++) {
        this.see(partition, await this.options.position(partition, poll > 0));
        if (this.isSeen(partition, offset)) return 'visible';
        if (expired) return 'not-yet-visible';
        const ms = POLL_MS[Math.min(poll, POLL_MS.length - 1)] as number;
        await this.woken(ms, () => expired || this.isSeen(partition, offset));
        if (this.isSeen(partition, offset)) return 'visible';
      }
    } finally {
      this.waiting--;
      cancel();
    }
  }

  private isSeen(partition: number, offset: Offset): boolean {
    return offset < (this.seen[partition] ?? 0);
  }

  private see(partition: number, position: Offset): void {
    this.seen[partition] = Math.max(this.seen[partition] ?? 0, position);
  }

  private wakeAll(): void {
    for (const wake of this.wakes) wake();
  }

  /** Until `due` holds at a wake-up, or `ms` have passed: a commit elsewhere must not make every waiter query. */
  private woken(ms: number, due: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const finish = (): void => {
        this.wakes.delete(check);
        cancel();
        resolve();
      };
      const check = (): void => {
        if (due()) finish();
      };
      const cancel = this.options.timers.after(ms, finish);
      this.wakes.add(check);
    });
  }
}
