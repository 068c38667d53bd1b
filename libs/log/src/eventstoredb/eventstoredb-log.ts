import { randomUUID } from 'node:crypto';
import { assertForgettable, assertPartition, refuseOverLimits } from '../append-limits.js';
import {
  LogUnavailable,
  MAX_BATCH_RECORDS,
  RecordsForgotten,
  type Batch,
  type EventLog,
  type LogId,
  type LogRecord,
  type Offset,
  type ReadOptions,
} from '../event-log.js';
import { LogDamaged } from '../postgres/postgres-log.js';
import { actualEnd, appendFailure, forgetFailure, readFailure } from './append-outcome.js';
import { collect, EventFlow } from './event-flow.js';
import type { EventStoreClient } from './event-store-client.js';
import { auditStreams, openIdentity, readIdentity, streamNames, type StreamNames } from './log-identity.js';
import { readBounds, writeBegin } from './stream-bounds.js';
import { toEvent } from './stored-event.js';

export interface EventStoreDbLogOptions {
  /** Connection string: `esdb://[name:password@]host:port[,…][?tls=false&…]`. */
  readonly url: string;
  /** Written once at creation; another count later is refused. */
  readonly partitions: number;
  /** Id of a log created by this call; random unless given. */
  readonly id?: LogId;
  /** First part of the names of its streams (default `fabula`): `<prefix>-log` and `<prefix>-decisions-<n>`. */
  readonly prefix?: string;
  /** How long an append or a short read may take, in ms (default 5,000). */
  readonly deadlineMs?: number;
}

export const DEFAULT_STREAM_PREFIX = 'fabula';
const DEADLINE_MS = 5_000;
/** Events asked for by one read: long enough to stream, short enough that none stays open over a whole log. */
const RANGE = 10_000;
/** Each wrong guess means that somebody else's append went through. */
const MOST_GUESSES = 100;
/** Appends of one partition that may wait for each other in this process; the engine has one under way. */
const MOST_WAITING = 64;

/**
 * Opens the log of an EventStoreDB, creating it at first: one stream per partition, revision = offset.
 * @throws PartitionCountDiffers; LogDamaged when a stream was cut or is set to be; LogUnavailable when the server cannot be reached
 */
export async function openEventStoreDbLog(options: EventStoreDbLogOptions): Promise<EventLog> {
  const streams = streamNames(options.prefix ?? DEFAULT_STREAM_PREFIX);
  const deadlineMs = options.deadlineMs ?? DEADLINE_MS;
  const { connectEventStore, disconnectEventStore } = await import('./event-store-client.js');
  const client = connectEventStore(options.url);
  try {
    const wanted = { id: options.id ?? randomUUID(), partitions: options.partitions };
    const id = await openIdentity(client, streams, wanted, deadlineMs);
    const names = Array.from({ length: options.partitions }, (_, partition) => streams.partition(partition));
    await auditStreams(client, [streams.identity, ...names], deadlineMs);
    return new EventStoreDbLog(client, streams, options.partitions, id, deadlineMs, () => disconnectEventStore(client));
  } catch (error) {
    await disconnectEventStore(client);
    throw error instanceof Error && error.name === 'PartitionCountDiffers' ? error : readFailure(error);
  }
}

/** Id and partition count of the log that is there, if one is. Creates nothing. @throws LogUnavailable, LogDamaged */
export async function findEventStoreDbLog(
  options: Pick<EventStoreDbLogOptions, 'url' | 'prefix' | 'deadlineMs'>,
): Promise<{ readonly id: LogId; readonly partitions: number } | undefined> {
  const { connectEventStore, disconnectEventStore } = await import('./event-store-client.js');
  const client = connectEventStore(options.url);
  try {
    return await readIdentity(client, streamNames(options.prefix ?? DEFAULT_STREAM_PREFIX), options.deadlineMs ?? DEADLINE_MS);
  } catch (error) {
    throw readFailure(error);
  } finally {
    await disconnectEventStore(client);
  }
}

class EventStoreDbLog implements EventLog {
  /** Where each partition ended when this handle last heard of it: what the next append expects. */
  private readonly ends = new Map<number, Offset>();
  private readonly waiting = new Map<number, { count: number; last: Promise<unknown> }>();
  private readonly flows = new Set<EventFlow>();
  private closed = false;

  constructor(
    private readonly client: EventStoreClient,
    private readonly streams: StreamNames,
    readonly partitions: number,
    private readonly logId: LogId,
    private readonly deadlineMs: number,
    private readonly disconnect: () => Promise<void>,
  ) {}

  async append(partition: number, records: readonly LogRecord[]): Promise<Offset> {
    this.refuseWhenClosed();
    refuseOverLimits(this.partitions, partition, records);
    const events = records.map(toEvent);
    // One at a time, or those of this handle would spoil each other's expectation.
    const queue = this.waiting.get(partition) ?? { count: 0, last: Promise.resolve() };
    if (queue.count >= MOST_WAITING) throw new LogUnavailable(`${MOST_WAITING} appends wait for partition ${partition} already.`);
    this.waiting.set(partition, queue);
    queue.count++;
    const appended = queue.last.then(() => this.appendInTurn(partition, events)).finally(() => queue.count--);
    queue.last = appended.catch(() => undefined);
    return appended;
  }

  async *read(partition: number, from: Offset, options: ReadOptions = {}): AsyncGenerator<Batch> {
    assertPartition(this.partitions, partition);
    const { signal, upTo = Infinity } = options;
    const maxRecords = Math.min(options.maxRecords ?? MAX_BATCH_RECORDS, MAX_BATCH_RECORDS);
    let next = from;
    // A bounded read asks for its range first; whoever follows the tail subscribes at once, which catches up by itself.
    let follow = upTo === Infinity;
    while (next < upTo) {
      if (isAborted(signal)) return;
      this.refuseWhenClosed();
      const asked = follow ? Infinity : next + Math.min(upTo - next, RANGE);
      const flow = this.flow(partition, next, asked);
      try {
        // Asked while the first records are on their way: the last record of a stream is shown even when it was forgotten.
        await this.refuseForgotten(partition, next);
        while (next < upTo) {
          const records = await flow.page(Math.min(maxRecords, upTo - next), signal);
          if (isAborted(signal)) return;
          if (records === undefined) break;
          next += records.length;
          yield { partition, records };
        }
      } catch (error) {
        // A hole, where they were forgotten meanwhile.
        if (error instanceof LogDamaged) await this.refuseForgotten(partition, next);
        throw error;
      } finally {
        this.flows.delete(flow);
        flow.cancel();
      }
      if (follow && next < upTo) throw new LogUnavailable(`EventStoreDB ended the subscription to ${this.streams.partition(partition)}.`);
      // A range that comes back short has reached the end: what is missing is still to be written.
      follow = next < asked;
    }
  }

  async end(partition: number): Promise<Offset> {
    assertPartition(this.partitions, partition);
    this.refuseWhenClosed();
    const stream = this.streams.partition(partition);
    const newest = { fromRevision: 'end', direction: 'backwards', maxCount: 1, requiresLeader: true } as const;
    const known = this.ends.get(partition) ?? 0;
    let end: Offset;
    try {
      const [last] = await collect(this.client.readStream(stream, newest), this.deadlineMs);
      end = last?.event === undefined ? 0 : Number(last.event.revision) + 1;
    } catch (error) {
      throw readFailure(error);
    }
    this.refuseLost(partition, known, end);
    return end;
  }

  async begin(partition: number): Promise<Offset> {
    assertPartition(this.partitions, partition);
    this.refuseWhenClosed();
    try {
      return (await readBounds(this.client, this.streams.partition(partition), this.deadlineMs)).begin;
    } catch (error) {
      throw readFailure(error);
    }
  }

  /** The server hides what comes before at once, all but the last event of a stream; a scavenge frees the space. */
  async forget(partition: number, before: Offset): Promise<void> {
    const end = await this.end(partition);
    assertForgettable(partition, before, end);
    const stream = this.streams.partition(partition);
    for (let tries = 0; tries < MOST_GUESSES; tries++) {
      this.refuseWhenClosed();
      try {
        const bounds = await readBounds(this.client, stream, this.deadlineMs);
        if (bounds.begin >= before) return;
        if (await writeBegin(this.client, stream, bounds, { before, end }, this.deadlineMs)) return;
      } catch (error) {
        throw forgetFailure(error);
      }
    }
    throw new LogUnavailable(`Others changed the metadata of ${stream} ${MOST_GUESSES} times while it was to forget.`);
  }

  async id(): Promise<LogId> {
    return this.logId;
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    for (const flow of this.flows) flow.fail(new LogUnavailable('The log is closed.'));
    await this.disconnect();
  }

  /**
   * The whole batch in one call, expected to land where this handle saw the end. The server takes it there or not at all, so a
   * copy of an earlier try that is still under way finds its place taken. A wrong guess has written nothing: it is tried
   * again at the true end, since it is `admit` that says what a record counts for, not its place.
   */
  private async appendInTurn(partition: number, events: readonly ReturnType<typeof toEvent>[]): Promise<Offset> {
    const stream = this.streams.partition(partition);
    for (let guesses = 0; guesses < MOST_GUESSES; guesses++) {
      this.refuseWhenClosed();
      const end = this.ends.get(partition) ?? (await this.end(partition));
      try {
        const { nextExpectedRevision } = await this.client.appendToStream(stream, [...events], {
          expectedRevision: end === 0 ? 'no_stream' : BigInt(end - 1),
          requiresLeader: true,
          deadline: this.deadlineMs,
        });
        const after = Number(nextExpectedRevision) + 1;
        this.ends.set(partition, after);
        return after - events.length;
      } catch (error) {
        const actual = actualEnd(error);
        if (actual === undefined) throw appendFailure(error);
        this.refuseLost(partition, end, actual);
        this.ends.set(partition, actual);
      }
    }
    throw new LogUnavailable(`Others wrote to ${stream} ${MOST_GUESSES} times while a place was sought; nothing was stored.`);
  }

  private flow(partition: number, from: Offset, to: Offset): EventFlow {
    const stream = this.streams.partition(partition);
    const source =
      to === Infinity
        ? // A subscription begins after the revision that it is given.
          this.client.subscribeToStream(stream, { fromRevision: from === 0 ? 'start' : BigInt(from - 1), requiresLeader: true })
        : this.client.readStream(stream, { fromRevision: BigInt(from), maxCount: to - from, requiresLeader: true });
    const flow = new EventFlow(source, stream, from);
    this.flows.add(flow);
    return flow;
  }

  private async refuseForgotten(partition: number, from: Offset): Promise<void> {
    const begin = await this.begin(partition);
    if (from < begin) throw new RecordsForgotten(partition, from, begin);
  }

  /** A stream never gets shorter, unless somebody deleted it or put an older backup in its place. */
  private refuseLost(partition: number, known: Offset, end: Offset): void {
    if (end < known)
      throw new LogDamaged(
        `${this.streams.partition(partition)} ended at ${known} and now ends at ${end}: records that were acknowledged are gone.`,
      );
  }

  private refuseWhenClosed(): void {
    if (this.closed) throw new LogUnavailable('The log is closed.');
  }
}

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}
