import type { ResolvedEvent } from '@eventstore/db-client';
import { recordBytes } from '../append-limits.js';
import { LogUnavailable, MAX_BATCH_BYTES, MAX_BATCH_RECORDS, type Offset, type StoredRecord } from '../event-log.js';
import { LogDamaged } from '../postgres/postgres-log.js';
import { eventStoreErrorType, readFailure } from './append-outcome.js';
import { toRecord } from './stored-event.js';

/** The client's stream of a read or of a subscription. */
export interface EventSource {
  on(event: 'data', listener: (event: ResolvedEvent) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'end', listener: () => void): unknown;
  pause(): unknown;
  resume(): unknown;
  /** Of a read. */
  cancel?(): Promise<void>;
  /** Of a subscription. */
  unsubscribe?(): Promise<void>;
}

/**
 * What one read or subscription delivers, gathered into pages. It buffers two pages at most: then the stream is paused, and the
 * server with it. Revisions must follow each other without a hole.
 */
export class EventFlow {
  private buffer: StoredRecord[] = [];
  private bytes = 0;
  private failure: Error | undefined;
  private ended = false;
  private paused = false;
  private wake: (() => void) | undefined;

  /** @param next the offset that must come first */
  constructor(
    private readonly source: EventSource,
    private readonly stream: string,
    private next: Offset,
  ) {
    source.on('data', (event) => this.take(event));
    // Stays for as long as the stream lives: an error that comes after the end of interest must find a listener.
    source.on('error', (error) => this.fail(error));
    source.on('end', () => {
      this.ended = true;
      this.wakeUp();
    });
  }

  /**
   * The next page, as soon as there is a record; undefined at the end of a read, or when the signal aborts.
   * @throws LogUnavailable, LogDamaged once everything that came before is taken
   */
  async page(limit: number, signal?: AbortSignal): Promise<readonly StoredRecord[] | undefined> {
    while (this.buffer.length === 0) {
      if (this.failure !== undefined) throw this.failure;
      if (this.ended || signal?.aborted === true) return undefined;
      await this.sleep(signal);
    }
    let count = 0;
    let bytes = 0;
    for (const record of this.buffer) {
      const size = recordBytes(record);
      if (count === limit || (count > 0 && bytes + size > MAX_BATCH_BYTES)) break;
      count++;
      bytes += size;
    }
    const records = this.buffer.splice(0, count);
    this.bytes -= bytes;
    if (this.paused && !this.isFull()) {
      this.paused = false;
      this.source.resume();
    }
    return records;
  }

  /** Ends the flow for whoever waits on it. */
  fail(error: Error): void {
    // A stream that nobody has written to yet is not there: an empty read.
    if (eventStoreErrorType(error) === 'stream-not-found') this.ended = true;
    else this.failure ??= readFailure(error);
    this.wakeUp();
  }

  cancel(): void {
    this.ended = true;
    this.buffer = [];
    const cancelled = this.source.unsubscribe?.() ?? this.source.cancel?.();
    // It fails when the call never came to be: then there is nothing to cancel.
    cancelled?.catch(() => undefined);
    this.source.resume();
  }

  private take(event: ResolvedEvent): void {
    if (this.ended || this.failure !== undefined) return;
    const record = toRecord(event);
    if (record === undefined || record.offset !== this.next) {
      const found = record === undefined ? 'an event without a place' : `${record.offset}`;
      return this.fail(new LogDamaged(`${this.stream} has no record at revision ${this.next}; the next one is ${found}.`));
    }
    this.next++;
    this.buffer.push(record);
    this.bytes += recordBytes(record);
    if (this.isFull() && !this.paused) {
      this.paused = true;
      this.source.pause();
    }
    this.wakeUp();
  }

  private isFull(): boolean {
    return this.buffer.length >= 2 * MAX_BATCH_RECORDS || this.bytes >= 2 * MAX_BATCH_BYTES;
  }

  private wakeUp(): void {
    this.wake?.();
  }

  private sleep(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.wake = undefined;
        signal?.removeEventListener('abort', wake);
        // What arrived together is taken together.
        setImmediate(resolve);
      };
      this.wake = wake;
      signal?.addEventListener('abort', wake, { once: true });
    });
  }
}

/** All events of a short read. @throws LogUnavailable when they are not there in time, or what the client says */
export async function collect(source: EventSource, deadlineMs: number): Promise<readonly ResolvedEvent[]> {
  const events: ResolvedEvent[] = [];
  let timer: NodeJS.Timeout | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(() => reject(new LogUnavailable(`EventStoreDB did not answer within ${deadlineMs} ms.`)), deadlineMs);
      source.on('data', (event) => events.push(event));
      source.on('error', (error) => (eventStoreErrorType(error) === 'stream-not-found' ? resolve() : reject(error)));
      source.on('end', resolve);
    });
    return events;
  } finally {
    clearTimeout(timer);
    source.cancel?.().catch(() => undefined);
  }
}
