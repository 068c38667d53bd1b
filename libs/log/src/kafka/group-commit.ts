import { errorText } from '#lib/platform';
import { recordBytes } from '../append-limits.js';
import { LogUnavailable, MAX_BATCH_BYTES, MAX_BATCH_RECORDS, OutcomeUnknown, type LogRecord, type Offset } from '../event-log.js';
import type { BrokerAddress, BrokerLink } from './broker-link.js';
import type { Codecs, ProduceAnswer } from './kafka-codecs.js';
import { PRODUCE_TIMEOUT_MS } from './kafka-client.js';
import { produceFailure, sendFailure } from './produce-outcome.js';
import type { EncodableMessage } from './produce-request.js';
import type { Leader, Topology } from './topology.js';

/** Records that are not sent yet; beyond this appends are turned away instead of kept. */
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;
/** One request; brokers take 100 MiB, but all of it waits for the slowest partition. */
const MAX_REQUEST_BYTES = 8 * 1024 * 1024;
/** Nothing was sent yet and nobody leads the partition: so long an election is waited for. */
const LEADER_PATIENCE_MS = 2_000;
const RETRY_MS = 50;

/** What one produce request did, for metrics. */
export interface AppendReport {
  readonly leader: number;
  readonly partitions: number;
  readonly appends: number;
  readonly records: number;
  readonly bytes: number;
  readonly ms: number;
  readonly outcome: 'stored' | 'partly' | 'unknown' | 'unavailable' | 'refused';
}

/** Connections for requests that are made in order. */
export interface Links {
  to(address: BrokerAddress, purpose: string): Promise<Pick<BrokerLink, 'send' | 'close'>>;
}
export type Leaders = Pick<Topology, 'topic' | 'leader' | 'refresh' | 'onChange'>;

interface Waiting {
  readonly records: readonly LogRecord[];
  readonly bytes: number;
  readonly since: number;
  readonly stored: (base: Offset) => void;
  readonly failed: (error: Error) => void;
}

interface Batch {
  readonly partition: number;
  readonly appends: readonly Waiting[];
}

/**
 * Group commit, one loop per leader: while a request is under way, appends of all its partitions gather, and travel together in the next.
 * (Measured: 1.3 to 2.4 times the rate of a loop per partition at 12 partitions.) The appends of one partition become one record batch,
 * which the broker takes whole or not at all, so each append is whole too. Nothing is ever sent twice from here: whether a failed request
 * was stored only its writer can find out, by appending the same bytes again.
 */
export class GroupCommit {
  private readonly queues: Waiting[][];
  private readonly running = new Set<number>();
  private queuedBytes = 0;
  /** Partition whose appends are collected first. */
  private first = 0;
  private closed = false;
  private readonly unsubscribe: () => void;
  private retry: NodeJS.Timeout | undefined;

  constructor(
    private readonly topology: Leaders,
    private readonly links: Links,
    private readonly codecs: Codecs,
    partitions: number,
    private readonly maxBatchBytes: number,
    private readonly onAppend: (report: AppendReport) => void,
  ) {
    this.queues = Array.from({ length: partitions }, () => []);
    // What waits behind a frozen leader goes to the new one at once.
    this.unsubscribe = topology.onChange(() => this.startAll());
  }

  /** Appends that are not sent yet. */
  get queued(): { readonly appends: number; readonly bytes: number } {
    return { appends: this.queues.reduce((sum, queue) => sum + queue.length, 0), bytes: this.queuedBytes };
  }

  append(partition: number, records: readonly LogRecord[]): Promise<Offset> {
    if (this.closed) return Promise.reject(new LogUnavailable('The log is closed.'));
    const bytes = records.reduce((sum, record) => sum + recordBytes(record), 0);
    if (this.queuedBytes + bytes > MAX_QUEUED_BYTES)
      return Promise.reject(new LogUnavailable('Too many appends wait for the brokers already; nothing was sent.'));
    return new Promise((stored, failed) => {
      this.queues[partition]?.push({ records, bytes, since: Date.now(), stored, failed });
      this.queuedBytes += bytes;
      this.start(partition);
    });
  }

  /** What is queued fails as unavailable; what is under way becomes unknown when the links close. */
  close(): void {
    this.closed = true;
    this.unsubscribe();
    clearTimeout(this.retry);
    for (const queue of this.queues) for (const one of this.take(queue, queue.length)) one.failed(new LogUnavailable('The log is closed.'));
  }

  private start(partition: number): void {
    const leader = this.leaderOf(partition);
    if (leader === undefined) this.later();
    else if (!this.running.has(leader.nodeId)) {
      this.running.add(leader.nodeId);
      void this.loop(leader.nodeId);
    }
  }

  /** Looks at all queues again soon: leaders were missing or could not be reached. */
  private later(): void {
    if (this.retry !== undefined || this.closed) return;
    this.retry = setTimeout(() => {
      void this.topology
        .refresh()
        .catch(() => undefined) // whoever waits too long is told so below
        .finally(() => {
          this.retry = undefined;
          this.turnAwayOld();
          this.startAll();
        });
    }, RETRY_MS);
  }

  private turnAwayOld(): void {
    const limit = Date.now() - LEADER_PATIENCE_MS;
    for (const [partition, queue] of this.queues.entries()) {
      const old = queue.findIndex((one) => one.since > limit);
      for (const one of this.take(queue, old === -1 ? queue.length : old))
        one.failed(
          new LogUnavailable(`Nobody who can be reached leads partition ${partition} of ${this.topology.topic}; nothing was sent.`),
        );
    }
  }

  private async loop(nodeId: number): Promise<void> {
    try {
      for (;;) {
        // Whoever was just answered mostly appends again in this turn of the event loop, and travels along. Without it two halves of the
        // callers take turns for ever, each with requests half as large (measured: 15.6 records a request for 32 callers).
        await new Promise((resolve) => setImmediate(resolve));
        const { leader, batches } = this.collect(nodeId);
        if (leader === undefined || batches.length === 0) return;
        if (!(await this.send(leader, batches))) return;
      }
    } finally {
      this.running.delete(nodeId);
    }
  }

  /** Who leads the partition; its appends fail when the topic is not ours any more. */
  private leaderOf(partition: number): Leader | undefined {
    try {
      return this.topology.leader(partition);
    } catch (error) {
      const queue = this.queues[partition] ?? [];
      for (const one of this.take(queue, queue.length)) one.failed(unsent(error));
      return undefined;
    }
  }

  private startAll(): void {
    for (const [partition, queue] of this.queues.entries()) if (queue.length > 0) this.start(partition);
  }

  private collect(nodeId: number): { leader: Leader | undefined; batches: Batch[] } {
    const batches: Batch[] = [];
    let leader: Leader | undefined;
    let bytes = 0;
    let left: number | undefined;
    for (let n = 0; n < this.queues.length; n++) {
      const partition = (this.first + n) % this.queues.length;
      const queue = this.queues[partition] ?? [];
      if (queue.length === 0) continue;
      if (bytes >= MAX_REQUEST_BYTES) {
        left ??= partition;
        continue;
      }
      const led = this.leaderOf(partition);
      if (led?.nodeId !== nodeId) continue;
      leader = led;
      const appends = this.take(queue, this.fitting(queue));
      bytes += appends.reduce((sum, one) => sum + one.bytes, 0);
      batches.push({ partition, appends });
    }
    // Nobody waits behind the same partitions for ever: who had no place comes first the next time.
    this.first = left ?? 0;
    return { leader, batches };
  }

  /** How many appends fit into one record batch; one always does. */
  private fitting(queue: readonly Waiting[]): number {
    let [count, records, bytes] = [0, 0, 0];
    for (const one of queue) {
      records += one.records.length;
      bytes += one.bytes;
      if (count > 0 && (records > MAX_BATCH_RECORDS || bytes > this.maxBatchBytes)) break;
      count++;
    }
    return count;
  }

  private take(queue: Waiting[], count: number): Waiting[] {
    const taken = queue.splice(0, count);
    for (const one of taken) this.queuedBytes -= one.bytes;
    return taken;
  }

  /** Answers whether the leader is worth another request at once. */
  private async send(leader: Leader, batches: readonly Batch[]): Promise<boolean> {
    let link;
    try {
      link = await this.links.to(leader, 'produce');
    } catch (error) {
      this.putBack(batches, error);
      return false;
    }
    const started = performance.now();
    let answer: ProduceAnswer;
    try {
      answer = await link.send(this.codecs.produce(this.topology.topic, batches.map(encodable), PRODUCE_TIMEOUT_MS));
    } catch (error) {
      const failure = sendFailure(error);
      // Later answers on this connection would be taken for answers of a frozen broker; and another broker may know the new leader.
      link.close();
      for (const { appends } of batches) for (const one of appends) one.failed(failure);
      this.report(leader, batches, started, failure instanceof LogUnavailable ? 'unavailable' : 'unknown');
      this.later();
      return false;
    }
    const outcomes = batches.map((batch) => this.settle(batch, answer));
    const first = outcomes[0] ?? 'unknown';
    this.report(leader, batches, started, outcomes.every((outcome) => outcome === first) ? first : 'partly');
    if (outcomes.includes('unknown')) void this.topology.refresh().catch(() => undefined); // the next append asks again
    return true;
  }

  private settle({ partition, appends }: Batch, answer: ProduceAnswer): Exclude<AppendReport['outcome'], 'partly'> {
    const one = answer.topics.flatMap(({ partitions }) => partitions).find((candidate) => candidate.partition === partition);
    if (one?.errorCode === 0) {
      let base = Number(one.baseOffset);
      for (const { records, stored } of appends) {
        stored(base);
        base += records.length;
      }
      return 'stored';
    }
    const failure =
      one === undefined
        ? new OutcomeUnknown(`The broker said nothing about partition ${partition}.`)
        : produceFailure(one.errorCode, this.codecs.nameOf(one.errorCode), partition);
    for (const { failed } of appends) failed(failure);
    return failure instanceof OutcomeUnknown ? 'unknown' : failure instanceof LogUnavailable ? 'unavailable' : 'refused';
  }

  /** The leader could not be reached and nothing was sent: the appends wait for another one, but not for long. */
  private putBack(batches: readonly Batch[], error: unknown): void {
    for (const { partition, appends } of batches) {
      if (this.closed) for (const one of appends) one.failed(unsent(error));
      else {
        this.queues[partition]?.unshift(...appends);
        this.queuedBytes += appends.reduce((sum, one) => sum + one.bytes, 0);
      }
    }
    this.later();
  }

  private report(leader: Leader, batches: readonly Batch[], started: number, outcome: AppendReport['outcome']): void {
    const appends = batches.flatMap((batch) => batch.appends);
    this.onAppend({
      leader: leader.nodeId,
      partitions: batches.length,
      appends: appends.length,
      records: appends.reduce((sum, one) => sum + one.records.length, 0),
      bytes: appends.reduce((sum, one) => sum + one.bytes, 0),
      ms: performance.now() - started,
      outcome,
    });
  }
}

function encodable({ partition, appends }: Batch): { partition: number; messages: EncodableMessage[] } {
  const messages: EncodableMessage[] = [];
  for (const { records } of appends)
    for (const { key, value, headers } of records) {
      const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      messages.push(headers === undefined ? { key, value: bytes } : { key, value: bytes, headers });
    }
  return { partition, messages };
}

function unsent(error: unknown): Error {
  return error instanceof LogUnavailable ? error : new LogUnavailable(`Nothing was sent: ${errorText(error)}`, { cause: error });
}

export const largestMergedBatch = (maxMessageBytes: number): number => Math.min(MAX_BATCH_BYTES, Math.max(1, maxMessageBytes - 100 * 1024));
