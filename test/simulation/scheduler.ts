import { setImmediate as afterMicrotasks } from 'node:timers';
import type { Clock, Timers } from '#lib/platform';

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** Virtual time: one event after the other, and between two events every promise that can go on goes on. */
export class Scheduler {
  private readonly heap: Event[] = [];
  private order = 0;
  private time = 1_700_000_000_000;

  get now(): number {
    return this.time;
  }

  after(ms: number, run: () => void): void {
    this.push({ at: this.time + Math.max(0, ms), order: this.order++, run });
  }

  /** Runs events until none is left before `until` or `done` says so. */
  async run(until: number, done: () => boolean = () => false): Promise<void> {
    while (!done()) {
      const next = this.heap[0];
      if (next === undefined || next.at > until) break;
      this.pop();
      this.time = next.at;
      next.run();
      await new Promise<void>((resolve) => void afterMicrotasks(resolve));
    }
  }

  private push(event: Event): void {
    const { heap } = this;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(event, heap[parent] as Event)) break;
      heap[at] = heap[parent] as Event;
      at = parent;
    }
    heap[at] = event;
  }

  private pop(): void {
    const { heap } = this;
    const last = heap.pop() as Event;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Event, heap[child] as Event)) child++;
      if (!before(heap[child] as Event, last)) break;
      heap[at] = heap[child] as Event;
      at = child;
    }
    heap[at] = last;
  }
}

const before = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

/**
 * A process: what it waits for reaches it only while it lives and runs. Killed, it hears nothing any more; paused (a zombie to be), it
 * hears everything later; its clock may be wrong.
 */
export class Process implements Clock, Timers {
  private killed = false;
  private pausedUntil = 0;
  /** Its clock's error in ms. */
  skew = 0;

  constructor(private readonly scheduler: Scheduler) {}

  now(): number {
    return this.scheduler.now + this.skew;
  }

  after(ms: number, callback: () => void): () => void {
    let cancelled = false;
    this.deliver(ms, () => {
      if (!cancelled) callback();
    });
    return () => (cancelled = true);
  }

  /** Resolves in this process after `ms`; never, if it is killed before. */
  wait(ms: number): Promise<void> {
    return new Promise((resolve) => this.deliver(ms, resolve));
  }

  kill(): void {
    this.killed = true;
  }

  pause(ms: number): void {
    this.pausedUntil = Math.max(this.pausedUntil, this.scheduler.now + ms);
  }

  private deliver(ms: number, run: () => void): void {
    this.scheduler.after(ms, () => {
      if (this.killed) return;
      const left = this.pausedUntil - this.scheduler.now;
      if (left > 0) this.deliver(left, run);
      else run();
    });
  }
}
