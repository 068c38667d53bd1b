import { createHash } from 'node:crypto';
import { admit, decodeRecord, EMPTY_HEAD, encodeRecord, partitionOf, type DecisionRecord, type StreamHead } from '#lib/decision';
import { createMemoryLog, type EventLog, type LogRecord } from '#lib/log';

/** A small seeded generator (mulberry32): tests repeat exactly. */
export function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}
const sha = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Writes honest histories with everything that a log may hold: retries, reuses, conflicts, undecodable and misplaced records. */
export class HistoryWriter {
  private readonly heads = new Map<string, StreamHead>();
  private readonly sent: Buffer[][];
  private count = 0;

  constructor(
    readonly log: EventLog,
    private readonly next: (below: number) => number,
    private readonly streams = 12,
  ) {
    this.sent = Array.from({ length: log.partitions }, () => []);
  }

  /** Appends one batch of `size` records to a random partition. */
  async batch(size: number): Promise<void> {
    const partition = this.next(this.log.partitions);
    const records: LogRecord[] = [];
    const staged = new Map<string, StreamHead>();
    for (let i = 0; i < size; i++) records.push(this.record(partition, staged));
    await this.log.append(partition, records);
    for (const [stream, head] of staged) this.heads.set(stream, head);
  }

  private record(partition: number, staged: Map<string, StreamHead>): LogRecord {
    const kind = this.next(100);
    const sent = this.sent[partition] as Buffer[];
    if (kind < 5) return { key: 'x', value: Buffer.from(`{"v":1,"broken":"${this.count++}`) };
    if (kind < 12 && sent.length > 0) return { key: 'x', value: sent[this.next(sent.length)] as Buffer };
    const stream = kind < 15 ? `playthrough/stray-${this.count}` : this.streamOf(partition);
    const head = staged.get(stream) ?? this.heads.get(stream) ?? EMPTY_HEAD;
    const record = this.decided(stream, head, kind);
    const value = Buffer.from(encodeRecord(record));
    sent.push(value);
    const decoded = decodeRecord(value);
    if (decoded.kind === 'record' && partitionOf(stream, this.log.partitions) === partition) {
      // The offset plays no part in later verdicts.
      staged.set(stream, admit(head, decoded.record, decoded.digest, 0).head);
    }
    return { key: stream, value };
  }

  private streamOf(partition: number): string {
    for (let n = this.next(this.streams); ; n += this.streams) {
      const stream = `playthrough/reader-${n}`;
      if (partitionOf(stream, this.log.partitions) === partition) return stream;
    }
  }

  private decided(stream: string, head: StreamHead, kind: number): DecisionRecord {
    const n = this.count++;
    const events = Array.from({ length: 1 + this.next(3) }, (_, i) => ({
      type: 'ChoiceMade',
      v: 1,
      storyId: 'the-tower',
      versionHash: sha('version'),
      turn: head.version + i,
      fromPassageId: `Großer Saal ${this.next(9)}`,
      choiceId: `choice-${this.next(5)}`,
      toPassageId: `room-${this.next(9)}`,
      stateHash: sha(`${stream} ${n} ${i}`),
    }));
    const stale = kind >= 90;
    const first = kind >= 85 && kind < 90 ? head.window[0] : undefined;
    return {
      v: 1,
      stream,
      expectedVersion: stale ? head.version + 7 : head.version,
      previous: head.previous,
      commandId: first?.commandId ?? `c:${sha(`${stream} ${n}`).slice(0, 32)}`,
      commandDigest: sha(`digest ${n}`),
      eventCount: events.length,
      correlationId: sha(`correlation ${n >> 1}`).slice(0, 32),
      causationId: n % 3 === 0 ? null : `cause-${n}`,
      actor: { id: `actor-${this.next(6)}`, role: 'reader' },
      at: 1_700_000_000_000 + n,
      events,
    };
  }
}

export interface History {
  readonly log: EventLog;
  readonly writer: HistoryWriter;
}

/** A memory log with its writer, both from one seed. */
export function history(seed: number, partitions = 2, streams?: number): History {
  const next = random(seed);
  let now = 1_700_000_000_000;
  const log = createMemoryLog({ partitions, clock: { now: () => (now += next(3)) }, id: `log-${seed}` });
  return { log, writer: new HistoryWriter(log, next, streams) };
}

export async function writtenHistory(seed: number, batches: number, partitions = 2): Promise<History> {
  const made = history(seed, partitions);
  const next = random(seed + 1);
  for (let i = 0; i < batches; i++) await made.writer.batch(1 + next(12));
  return made;
}
