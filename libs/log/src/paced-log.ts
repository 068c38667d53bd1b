import type { Timers } from '#lib/platform';
import { MAX_BATCH_RECORDS, type Batch, type EventLog, type Offset, type ReadOptions } from './event-log.js';

/** A batch at least this full is followed at once: there is a backlog, and waiting would only make it longer. */
const FULL_ENOUGH = MAX_BATCH_RECORDS / 4;

/**
 * Lets readers at the tail take a few records at a time instead of each as it comes: a transaction costs the same for one record as for
 * fifty. Reading up to an offset is never held up, nor is a backlog.
 */
export class PacedReads {
  private readonly pausing = new Map<number, Set<() => void>>();

  /** @param ms longest pause between two batches of a partition */
  constructor(
    private readonly timers: Timers,
    private readonly ms: number,
  ) {}

  /** The same log for readers; appends go straight through. */
  of(log: EventLog): EventLog {
    return {
      partitions: log.partitions,
      append: (partition, records) => log.append(partition, records),
      read: (partition, from, options) => this.read(log, partition, from, options),
      end: (partition) => log.end(partition),
      begin: (partition) => log.begin(partition),
      forget: (partition, before) => log.forget(partition, before),
      id: () => log.id(),
      close: () => log.close(),
    };
  }

  /** Somebody waits for what stands in that partition: read on now. */
  hurry(partition: number): void {
    for (const end of [...(this.pausing.get(partition) ?? [])]) end();
  }

  private async *read(log: EventLog, partition: number, from: Offset, options?: ReadOptions): AsyncGenerator<Batch> {
    for await (const batch of log.read(partition, from, options)) {
      yield batch;
      if (options?.upTo === undefined && batch.records.length < FULL_ENOUGH) await this.pause(partition, options?.signal);
    }
  }

  private pause(partition: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const here = this.pausing.get(partition) ?? new Set();
      this.pausing.set(partition, here);
      const end = (): void => {
        cancel();
        here.delete(end);
        signal?.removeEventListener('abort', end);
        resolve();
      };
      const cancel = this.timers.after(this.ms, end);
      here.add(end);
      if (signal?.aborted === true) end();
      else signal?.addEventListener('abort', end);
    });
  }
}
