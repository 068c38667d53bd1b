import { decodeRecord, type DecisionRecord, type StreamId } from '#lib/decision';
import { assertPosition, type EventLog, type LogId, type Offset, type StoredRecord } from '#lib/log';
import { pause, type Timers } from '#lib/platform';
import { contextOf, feedEvents, isPublic, needsContext, type ReaderMark, type StreamContext } from './feed-event.js';
import type { FeedPositions } from './feed-positions.js';
import type { FeedSink } from './feed-sink.js';
import { kafkaMessage, messageSize, type FeedMessage } from './kafka-message.js';
import type { Verdicts } from './verdicts.js';

export const MEND = 'run `fabula feed reset`: it says from where to publish';

/** Somebody else moved the position: go on from what is stored. */
export class Fenced extends Error {
  override readonly name = 'Fenced';
}

export interface PartitionPublisherOptions {
  readonly log: EventLog;
  readonly logId: LogId;
  readonly partition: number;
  readonly verdicts: Verdicts;
  readonly positions: FeedPositions;
  readonly sink: FeedSink;
  readonly mark: ReaderMark;
  readonly timers: Timers;
  readonly maxContexts: number;
  readonly onProgress: (progress: Progress) => void;
}

export interface Progress {
  readonly nextOffset: Offset;
  /** Log time of the last record; absent when only the position was read. */
  readonly lastTime?: number;
  readonly events: number;
  /** The record that waits for its verdict, when one does. */
  readonly waitsFor?: Offset;
}

const MAX_RECORDS = 500;
/** What is sent at once: well below what brokers take (1 MiB by default). */
const MAX_SEND_BYTES = 256 * 1024;
const MAX_SEND_MESSAGES = 1_000;
/** How long to wait before the verdicts are asked for again: they come a few times a second. */
const ASK_AGAIN_MS = [25, 500] as const;
/** Beginnings that are read at the same time. */
const READS_AT_ONCE = 8;

/** Publishes one partition: batch by batch, the position after the batch, so that a crash between them repeats and never loses. */
export class PartitionPublisher {
  /** Contexts of the streams seen last, least recently used first; null: the stream has none. */
  private readonly contexts = new Map<StreamId, StreamContext | null>();

  constructor(private readonly options: PartitionPublisherOptions) {}

  /**
   * Publishes from the stored position on: up to `upTo`, or the tail until `signal` aborts.
   * @throws ForeignLog, PositionBeyondEnd: needs a person; Fenced and whatever log, verdicts, positions and sink throw: call again.
   */
  async follow(signal: AbortSignal, upTo?: Offset): Promise<void> {
    const { log, logId, partition, positions, onProgress } = this.options;
    // What was remembered belongs to the position that was left.
    this.contexts.clear();
    const position = await positions.open(partition, logId);
    await assertPosition(log, partition, position, MEND);
    let next = position.offset;
    onProgress({ nextOffset: next, events: 0 });
    const options = { signal, maxRecords: MAX_RECORDS, ...(upTo === undefined ? {} : { upTo }) };
    for await (const { records } of log.read(partition, next, options)) {
      const to = offsetAfter(records);
      while (next < to) {
        const decided = await this.decided(next, to, records, signal);
        if (decided === undefined) return;
        const events = await this.publish(decided.records);
        // At the batch's end an abort must not part what was published from its position.
        if (!(await positions.move(partition, logId, next, decided.upTo)))
          throw new Fenced(`partition ${partition} is no longer at ${next}`);
        next = decided.upTo;
        onProgress({ nextOffset: next, events, ...(decided.lastTime === undefined ? {} : { lastTime: decided.lastTime }) });
      }
      if (signal.aborted) return;
    }
  }

  /** The accepted ones among the records from `from` on that have their verdicts; waits until at least one has. Undefined when aborted. */
  private async decided(from: Offset, to: Offset, records: readonly StoredRecord[], signal: AbortSignal): Promise<Decided | undefined> {
    const { verdicts, logId, partition, timers, onProgress } = this.options;
    let wait: number = ASK_AGAIN_MS[0];
    while (!signal.aborted) {
      const { upTo, accepted } = await verdicts.read(logId, partition, from, to);
      if (upTo > from) {
        const here = records.filter(({ offset }) => offset >= from && offset < upTo);
        const unknown = here.find(({ offset }) => !accepted.has(offset));
        if (unknown !== undefined) throw new Error(`the record at offset ${unknown.offset} has no verdict although those after it have`);
        return { upTo, records: here.filter(({ offset }) => accepted.get(offset) === true), lastTime: here.at(-1)?.time };
      }
      onProgress({ nextOffset: from, events: 0, waitsFor: from });
      await pause(timers, wait, signal);
      wait = Math.min(wait * 2, ASK_AGAIN_MS[1]);
    }
    return undefined;
  }

  private async publish(records: readonly StoredRecord[]): Promise<number> {
    const { logId, partition, sink, mark } = this.options;
    const decoded = records.map((stored) => ({ stored, record: recordOf(stored) })).filter(({ record }) => isPublic(record.stream));
    await this.recall(decoded);
    let count = 0;
    let messages: FeedMessage[] = [];
    let bytes = 0;
    const send = async (): Promise<void> => {
      if (messages.length > 0) await sink.send(partition, messages);
      messages = [];
      bytes = 0;
    };
    for (const { stored, record } of decoded) {
      const { offset, time, headers } = stored;
      const place = { logId, partition, offset, time, ...(headers === undefined ? {} : { headers }) };
      const { events, context } = feedEvents(record, place, this.contexts.get(record.stream) ?? null, mark);
      if (needsContext(record.stream)) this.remember(record.stream, context);
      for (const event of events) {
        const message = kafkaMessage(event);
        const size = messageSize(message);
        if (bytes + size > MAX_SEND_BYTES || messages.length === MAX_SEND_MESSAGES) await send();
        messages.push(message);
        bytes += size;
        count++;
      }
    }
    await send();
    this.trim();
    return count;
  }

  /** Contexts of the streams that these records go on and that are not remembered: from their first records. */
  private async recall(decoded: readonly { readonly stored: StoredRecord; readonly record: DecisionRecord }[]): Promise<void> {
    const { verdicts, partition, mark } = this.options;
    const begun = new Set<StreamId>();
    const cold = new Set<StreamId>();
    for (const { record } of decoded) {
      const { stream } = record;
      if (!needsContext(stream) || begun.has(stream)) continue;
      if (record.expectedVersion === 0) begun.add(stream);
      else if (!this.contexts.has(stream)) cold.add(stream);
    }
    const before = decoded[0]?.stored.offset;
    if (cold.size === 0 || before === undefined) return;
    const beginnings = [...(await verdicts.beginnings(partition, [...cold], before))];
    for (const stream of cold) this.contexts.set(stream, null);
    await Promise.all(
      Array.from({ length: READS_AT_ONCE }, async () => {
        for (let next = beginnings.pop(); next !== undefined; next = beginnings.pop()) {
          const [stream, { offset, versionHash }] = next;
          this.contexts.set(stream, contextOf(await this.recordAt(offset), versionHash, mark));
        }
      }),
    );
  }

  private async recordAt(offset: Offset): Promise<DecisionRecord> {
    const { log, partition } = this.options;
    for await (const { records } of log.read(partition, offset, { maxRecords: 1, upTo: offset + 1 })) {
      const [first] = records;
      if (first?.offset === offset) return recordOf(first);
    }
    throw new Error(`the log has no record at offset ${offset} of partition ${partition}, where a stream begins`);
  }

  private remember(stream: StreamId, context: StreamContext | null): void {
    this.contexts.delete(stream);
    this.contexts.set(stream, context);
  }

  private trim(): void {
    for (const stream of this.contexts.keys()) {
      if (this.contexts.size <= this.options.maxContexts) return;
      this.contexts.delete(stream);
    }
  }
}

interface Decided {
  readonly upTo: Offset;
  readonly records: readonly StoredRecord[];
  readonly lastTime: number | undefined;
}

const offsetAfter = (records: readonly StoredRecord[]): Offset => (records.at(-1) as StoredRecord).offset + 1;

function recordOf({ value, offset }: StoredRecord): DecisionRecord {
  const decoded = decodeRecord(value);
  // It was accepted, so it could be decoded when its verdict was derived.
  if (decoded.kind !== 'record') throw new Error(`the accepted record at offset ${offset} cannot be decoded`);
  return decoded.record;
}
