import type { Clock, Timers } from '#lib/platform';
import {
  MAX_BATCH_BYTES,
  MAX_BATCH_RECORDS,
  type Batch,
  type EventLog,
  type Offset,
  type ReadOptions,
  type StoredRecord,
} from './event-log.js';

/** How long a partition's tail is held, at most a batch of it: what is forgotten in another process is held no longer either. */
const HELD_MS = 2_000;

interface Held {
  readonly from: Offset;
  readonly to: Offset;
  readonly records: readonly StoredRecord[];
  readonly bytes: number;
  readonly at: number;
}

/**
 * Lets the followers of one log read its tail once between them: what one of them read just now, the others take from memory. Each still reads at
 * its own pace from its own position; who is further behind than what is held reads the log.
 */
export class SharedReads {
  private readonly tails: Tail[];

  constructor(
    private readonly log: EventLog,
    clock: Clock,
    timers: Timers,
  ) {
    this.tails = Array.from({ length: log.partitions }, () => new Tail(clock, timers));
  }

  /** The same log; reads without `upTo` are shared. */
  shared(): EventLog {
    const { log } = this;
    return {
      partitions: log.partitions,
      append: (partition, records) => log.append(partition, records),
      read: (partition, from, options) =>
        options?.upTo === undefined ? this.follow(partition, from, options) : log.read(partition, from, options),
      end: (partition) => log.end(partition),
      begin: (partition) => log.begin(partition),
      forget: (partition, before) => {
        this.tails[partition]?.clear();
        return log.forget(partition, before);
      },
      id: () => log.id(),
      close: () => log.close(),
    };
  }

  private async *follow(partition: number, from: Offset, options: ReadOptions = {}): AsyncGenerator<Batch> {
    const tail = this.tails[partition];
    if (tail === undefined) return yield* this.log.read(partition, from, options);
    const most = Math.min(options.maxRecords ?? MAX_BATCH_RECORDS, MAX_BATCH_RECORDS);
    let next = from;
    let source: AsyncIterator<Batch> | undefined;
    try {
      for (;;) {
        if (options.signal?.aborted === true) return;
        let records = tail.from(next, most);
        if (records.length === 0) {
          source ??= this.log.read(partition, next, options)[Symbol.asyncIterator]();
          const read = await source.next();
          if (read.done === true) return;
          ({ records } = read.value);
          tail.hold(next, records);
        } else if (source !== undefined) {
          // It stands where this reader was: it would read again what is held.
          const passed = source;
          source = undefined;
          await passed.return?.();
        }
        next = (records.at(-1) as StoredRecord).offset + 1;
        yield { partition, records };
      }
    } finally {
      await source?.return?.();
    }
  }
}

/** What was read of one partition just now: batches that follow on each other, the newest last. */
class Tail {
  private held: Held[] = [];
  private bytes = 0;
  private cancel: (() => void) | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly timers: Timers,
  ) {}

  /** Records from `next` on; none when they are not held. */
  from(next: Offset, most: number): readonly StoredRecord[] {
    const records: StoredRecord[] = [];
    for (const batch of this.held) {
      if (batch.to <= next || batch.from > next) continue;
      for (const record of batch.records) {
        if (records.length === most) return records;
        if (record.offset >= next) records.push(record);
      }
      next = batch.to;
    }
    return records;
  }

  hold(from: Offset, records: readonly StoredRecord[]): void {
    const to = (records.at(-1) as StoredRecord).offset + 1;
    const end = this.held.at(-1)?.to;
    // Another reader was faster, or this one is far behind: what is held stays.
    if (end !== undefined && from < end) return;
    if (end !== undefined && from > end) this.clear();
    const bytes = records.reduce((sum, { value }) => sum + value.byteLength, 0);
    this.held.push({ from, to, records, bytes, at: this.clock.now() });
    this.bytes += bytes;
    while (this.bytes > MAX_BATCH_BYTES) this.drop();
    this.cancel ??= this.timers.after(HELD_MS, () => this.expire());
  }

  clear(): void {
    this.held = [];
    this.bytes = 0;
  }

  private drop(): void {
    this.bytes -= this.held.shift()?.bytes ?? 0;
  }

  private expire(): void {
    this.cancel = undefined;
    const now = this.clock.now();
    while ((this.held[0]?.at ?? Infinity) <= now - HELD_MS) this.drop();
    const [oldest] = this.held;
    if (oldest !== undefined) this.cancel = this.timers.after(oldest.at + HELD_MS - now, () => this.expire());
  }
}
