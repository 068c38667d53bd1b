import type { Timers } from '#lib/platform';
import { recordBytes } from '../append-limits.js';
import { LogUnavailable, MAX_BATCH_BYTES, MAX_BATCH_RECORDS, OutcomeUnknown, type EventLog, type LogRecord } from '../event-log.js';

/** What waits to be appended in all partitions together, twice: gathered and under way. */
const MOST_WAITING_BYTES = 64 * 1024 * 1024;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 5_000;
/** With the pauses between about two minutes: beyond it a person should know; running again goes on. */
const MOST_TRIES = 30;

/** Appends to many partitions at once: one batch under way in each, the next one being gathered. */
export class TargetAppender {
  private readonly parts = new Map<number, { gathered: LogRecord[]; bytes: number; underWay: Promise<void> }>();
  private readonly batchBytes: number;

  constructor(
    private readonly log: EventLog,
    private readonly timers: Timers,
    private readonly signal?: AbortSignal,
  ) {
    this.batchBytes = Math.min(MAX_BATCH_BYTES, Math.floor(MOST_WAITING_BYTES / log.partitions / 2));
  }

  /** Waits while the partition has a full batch and another one under way. */
  async add(partition: number, record: LogRecord): Promise<void> {
    let part = this.parts.get(partition);
    if (part === undefined) this.parts.set(partition, (part = { gathered: [], bytes: 0, underWay: Promise.resolve() }));
    const bytes = recordBytes(record);
    const full = part.gathered.length >= MAX_BATCH_RECORDS || part.bytes + bytes > this.batchBytes;
    if (full && part.gathered.length > 0) await this.send(partition);
    part.gathered.push(record);
    part.bytes += bytes;
  }

  /** Until everything is stored. */
  async flush(): Promise<void> {
    await Promise.all([...this.parts.keys()].map((partition) => this.send(partition)));
    await Promise.all([...this.parts.values()].map(({ underWay }) => underWay));
  }

  /** Whatever is under way has ended, well or not. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.parts.values()].map(({ underWay }) => underWay));
  }

  private async send(partition: number): Promise<void> {
    const part = this.parts.get(partition);
    if (part === undefined) return;
    await part.underWay;
    if (part.gathered.length === 0) return;
    const records = part.gathered;
    [part.gathered, part.bytes] = [[], 0];
    part.underWay = appendSurely(this.log, partition, records, this.timers, this.signal);
    // Heard by whoever waits for it next.
    part.underWay.catch(() => undefined);
  }
}

/**
 * Appends until it is known to be stored. What then stands there twice counts once: that is `admit`'s affair.
 * @throws what the log says for good, and its last outage after some two minutes of them
 */
export async function appendSurely(
  log: EventLog,
  partition: number,
  records: readonly LogRecord[],
  timers: Timers,
  signal?: AbortSignal,
): Promise<void> {
  for (let [tries, pause] = [1, FIRST_PAUSE_MS]; ; tries++, pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
    signal?.throwIfAborted();
    try {
      await log.append(partition, records);
      return;
    } catch (error) {
      const passing = error instanceof LogUnavailable || error instanceof OutcomeUnknown;
      if (!passing || tries >= MOST_TRIES) throw error;
    }
    await new Promise<void>((resolve) => timers.after(pause, resolve));
  }
}
