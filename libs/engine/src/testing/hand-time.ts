import type { Clock, Ids, Timers } from '#lib/platform';

/** Time that moves only when a test says so. */
export class HandTime implements Clock, Timers {
  private ms = 1_700_000_000_000;
  private readonly due: { readonly at: number; readonly callback: () => void; cancelled: boolean }[] = [];

  now(): number {
    return this.ms;
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.ms + ms, callback, cancelled: false };
    this.due.push(timer);
    return () => (timer.cancelled = true);
  }

  /** Moves on, calling timers in order and letting what they start run to its next wait. */
  async pass(ms: number): Promise<void> {
    await settled();
    const end = this.ms + ms;
    for (;;) {
      const next = this.due.filter((timer) => !timer.cancelled && timer.at <= end).toSorted((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.due.splice(this.due.indexOf(next), 1);
      this.ms = Math.max(this.ms, next.at);
      next.callback();
      await settled();
    }
    this.ms = end;
    await settled();
  }
}

/** Lets everything that waits for promises only (no timer, no I/O) run as far as it goes. */
export const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve)); // oxlint-disable-line no-restricted-globals -- the tests' own waiting

/** Ids in a row: `00…01`, `00…02`. */
export class CountedIds implements Ids {
  private count = 0;

  uuid(): string {
    return `00000000-0000-4000-8000-${(++this.count).toString(16).padStart(12, '0')}`;
  }

  hex(bytes: number): string {
    return (++this.count).toString(16).padStart(bytes * 2, '0');
  }
}
