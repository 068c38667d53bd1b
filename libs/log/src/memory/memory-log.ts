import { randomUUID } from 'node:crypto';
import type { Clock } from '#lib/platform';
import { assertForgettable, assertPartition, recordBytes, refuseOverLimits } from '../append-limits.js';
import {
  LogUnavailable,
  MAX_BATCH_BYTES,
  MAX_BATCH_RECORDS,
  RecordsForgotten,
  type Batch,
  type EventLog,
  type LogId,
  type LogRecord,
  type Offset,
  type ReadOptions,
  type StoredRecord,
} from '../event-log.js';
import { WakeUps } from '../wake-ups.js';

export interface MemoryLogOptions {
  readonly partitions: number;
  readonly clock: Clock;
  /** Random unless given: simulations give one so that runs repeat. */
  readonly id?: LogId;
}

/** A log that lives as long as its process, for tests and simulations. Everything happens in the call itself; no timer, no randomness but the id. */
export function createMemoryLog(options: MemoryLogOptions): EventLog {
  return new MemoryLog(options);
}

interface Partition {
  /** Offset of the first of `records`. */
  begin: Offset;
  readonly records: StoredRecord[];
  /** Time of the last record, also when it was forgotten. */
  time: number;
}

class MemoryLog implements EventLog {
  readonly partitions: number;
  private readonly clock: Clock;
  private readonly logId: LogId;
  private readonly stored: readonly Partition[];
  private readonly wakeUps: WakeUps;
  private closed = false;

  constructor(options: MemoryLogOptions) {
    this.partitions = options.partitions;
    this.clock = options.clock;
    this.logId = options.id ?? randomUUID();
    this.stored = Array.from({ length: options.partitions }, () => ({ begin: 0, records: [], time: 0 }));
    this.wakeUps = new WakeUps(options.partitions);
  }

  async append(partition: number, records: readonly LogRecord[]): Promise<Offset> {
    this.refuseWhenClosed();
    refuseOverLimits(this.partitions, partition, records);
    const stored = this.partition(partition);
    const base = endOf(stored);
    const time = (stored.time = Math.max(this.clock.now(), stored.time));
    for (const [index, { key, value, headers }] of records.entries()) {
      const copy = { key, value: new Uint8Array(value), ...(headers === undefined ? {} : { headers: { ...headers } }) };
      stored.records.push(Object.freeze({ ...copy, offset: base + index, time }));
    }
    this.wakeUps.wake(partition);
    return base;
  }

  async *read(partition: number, from: Offset, options: ReadOptions = {}): AsyncGenerator<Batch> {
    assertPartition(this.partitions, partition);
    const { signal, upTo = Infinity } = options;
    const maxRecords = Math.min(options.maxRecords ?? MAX_BATCH_RECORDS, MAX_BATCH_RECORDS);
    let next = from;
    while (next < upTo) {
      if (signal?.aborted === true) return;
      this.refuseWhenClosed();
      const seen = this.wakeUps.version(partition);
      const records = this.page(partition, next, Math.min(maxRecords, upTo - next));
      if (records.length === 0) {
        await this.wakeUps.sleep(partition, seen, signal);
        continue;
      }
      next += records.length;
      yield { partition, records };
    }
  }

  async end(partition: number): Promise<Offset> {
    this.refuseWhenClosed();
    assertPartition(this.partitions, partition);
    return endOf(this.partition(partition));
  }

  async begin(partition: number): Promise<Offset> {
    this.refuseWhenClosed();
    assertPartition(this.partitions, partition);
    return this.partition(partition).begin;
  }

  async forget(partition: number, before: Offset): Promise<void> {
    this.refuseWhenClosed();
    assertPartition(this.partitions, partition);
    const stored = this.partition(partition);
    assertForgettable(partition, before, endOf(stored));
    if (before <= stored.begin) return;
    stored.records.splice(0, before - stored.begin);
    stored.begin = before;
  }

  async id(): Promise<LogId> {
    return this.logId;
  }

  async close(): Promise<void> {
    this.closed = true;
    this.wakeUps.wakeAll();
  }

  private page(partition: number, from: Offset, maxRecords: number): StoredRecord[] {
    const { begin, records: stored } = this.partition(partition);
    if (from < begin) throw new RecordsForgotten(partition, from, begin);
    const records: StoredRecord[] = [];
    let bytes = 0;
    for (const record of stored.slice(from - begin, from - begin + maxRecords)) {
      bytes += recordBytes(record);
      if (bytes > MAX_BATCH_BYTES && records.length > 0) break;
      records.push(record);
    }
    return records;
  }

  private partition(partition: number): Partition {
    const stored = this.stored[partition];
    if (stored === undefined) throw new RangeError(`partition ${partition}`);
    return stored;
  }

  private refuseWhenClosed(): void {
    if (this.closed) throw new LogUnavailable('The log is closed.');
  }
}

const endOf = ({ begin, records }: Partition): Offset => begin + records.length;
