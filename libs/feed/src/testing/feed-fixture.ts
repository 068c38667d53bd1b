import {
  admissible,
  admit,
  decodeRecord,
  EMPTY_HEAD,
  type DecisionRecord,
  type RecordedEvent,
  type StreamHead,
  type StreamId,
} from '#lib/decision';
import type { EventLog, LogId, LogPosition, Offset } from '#lib/log';
import type { FeedPositions } from '../feed-positions.js';
import type { FeedSink } from '../feed-sink.js';
import type { FeedMessage } from '../kafka-message.js';
import type { Beginning, KnownVerdicts, Verdicts } from '../verdicts.js';

/** A record around events, as an engine would write it. */
export function recordOf(
  stream: StreamId,
  expectedVersion: number,
  events: readonly object[],
  more: Partial<DecisionRecord> = {},
): DecisionRecord {
  return {
    v: 1,
    stream,
    expectedVersion,
    previous: expectedVersion === 0 ? null : 'e'.repeat(64),
    commandId: `c:${expectedVersion}`,
    commandDigest: 'd'.repeat(64),
    eventCount: events.length,
    correlationId: '0af7651916cd43dd8448eb211c80319c',
    causationId: null,
    actor: { id: 'somebody', role: 'reader' },
    at: 1_700_000_000_000,
    events: events as readonly RecordedEvent[],
    ...more,
  };
}

/** An accepted record as a fold of the log finds it: what the feed is compared with. */
export interface Accepted {
  readonly partition: number;
  readonly offset: Offset;
  readonly record: DecisionRecord;
}

/** What counts in a log, by `admit` alone. */
export async function acceptedIn(log: EventLog): Promise<readonly Accepted[]> {
  const found: Accepted[] = [];
  for (let partition = 0; partition < log.partitions; partition++) {
    const heads = new Map<StreamId, StreamHead>();
    for await (const { records } of log.read(partition, 0, { upTo: await log.end(partition) })) {
      for (const { value, offset } of records) {
        const decoded = decodeRecord(value);
        if (!admissible(decoded, partition, log.partitions)) continue;
        const { stream } = decoded.record;
        const { verdict, head } = admit(heads.get(stream) ?? EMPTY_HEAD, decoded.record, decoded.digest, offset);
        heads.set(stream, head);
        if (verdict === 'accepted') found.push({ partition, offset, record: decoded.record });
      }
    }
  }
  return found;
}

/** Verdicts of a log as far as `reached` says, folded anew at every question. */
export class FoldedVerdicts implements Verdicts {
  /** Where the auditor of each partition stands; the log's end unless said otherwise. */
  readonly reached = new Map<number, Offset>();

  constructor(private readonly log: EventLog) {}

  async read(_logId: LogId, partition: number, from: Offset, to: Offset): Promise<KnownVerdicts> {
    const upTo = Math.max(from, Math.min(to, this.reached.get(partition) ?? to));
    const accepted = new Set((await this.of(partition)).map(({ offset }) => offset));
    return { upTo, accepted: new Map(Array.from({ length: upTo - from }, (_, i) => [from + i, accepted.has(from + i)])) };
  }

  async beginnings(partition: number, streams: readonly StreamId[], before: Offset): Promise<ReadonlyMap<StreamId, Beginning>> {
    const found = new Map<StreamId, Beginning>();
    for (const { offset, record } of await this.of(partition)) {
      if (!streams.includes(record.stream)) continue;
      const known = found.get(record.stream);
      const named = record.events.findLast(({ versionHash }) => typeof versionHash === 'string')?.['versionHash'];
      const versionHash = offset < before && typeof named === 'string' ? named : (known?.versionHash ?? null);
      found.set(record.stream, { offset: known?.offset ?? offset, versionHash });
    }
    return found;
  }

  private async of(partition: number): Promise<readonly Accepted[]> {
    return (await acceptedIn(this.log)).filter((one) => one.partition === partition);
  }
}

export class MemoryPositions implements FeedPositions {
  private readonly kept = new Map<number, LogPosition>();

  async read(partition: number): Promise<LogPosition | undefined> {
    return this.kept.get(partition);
  }
  async readAll(): Promise<ReadonlyMap<number, LogPosition>> {
    return new Map(this.kept);
  }
  async open(partition: number, logId: LogId): Promise<LogPosition> {
    const position = this.kept.get(partition) ?? { logId, offset: 0 };
    this.kept.set(partition, position);
    return position;
  }
  async move(partition: number, logId: LogId, from: Offset, to: Offset): Promise<boolean> {
    const position = this.kept.get(partition);
    if (position?.logId !== logId || position.offset !== from) return false;
    this.kept.set(partition, { logId, offset: to });
    return true;
  }
  async set(partition: number, logId: LogId, to: Offset): Promise<void> {
    this.kept.set(partition, { logId, offset: to });
  }
}

/** Stands for the topic: keeps what was sent; `before` may refuse or lose the answer. */
export class RecordingSink implements FeedSink {
  /** How often several partitions were sent to at once. */
  sentToAll = 0;
  readonly sent: (FeedMessage & { readonly partition: number })[] = [];
  /** Throws before anything is kept, or lets it be kept and throws after: a response that was lost. */
  fault: (partition: number) => 'none' | 'refuse' | 'lose-answer' = () => 'none';

  async send(partition: number, messages: readonly FeedMessage[]): Promise<void> {
    const fault = this.fault(partition);
    if (fault === 'refuse') throw new Error('no broker answers');
    for (const message of messages) this.sent.push({ ...message, partition });
    if (fault === 'lose-answer') throw new Error('the response was lost');
  }
  async sendAll(byPartition: ReadonlyMap<number, readonly FeedMessage[]>): Promise<void> {
    this.sentToAll++;
    for (const [partition, messages] of byPartition) await this.send(partition, messages);
  }
  async close(): Promise<void> {}
}

/** What is left when everything that came before is left out, as consumers do: in order of first arrival. */
export function deduplicated<Message extends FeedMessage>(messages: readonly Message[]): readonly Message[] {
  const seen = new Set<string>();
  return messages.filter(({ headers }) => {
    const id = headers['ce_id'] as string;
    return seen.has(id) ? false : seen.add(id) !== undefined;
  });
}
