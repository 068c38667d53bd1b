import { admissible, decodeRecord, MAX_RECORD_BYTES, type Decoded, type StreamId } from '#lib/decision';
import { mayBeReleased, type EventLog, type Offset, type Releases } from '#lib/log';
import type { PlannedRecord } from './batch-plan.js';
import { foldRecord, mergeTail, type Arrival } from './cold-loader.js';
import type { ColdSource } from './cold-source.js';
import { EngineFailure } from './engine-failure.js';
import { HotSet, type HotStream } from './hot-set.js';
import type { EngineLimits } from './limits.js';
import { streamAtEnd } from './record-glance.js';
import type { KindOf, StreamState } from './stream-kind.js';
import { TailIndex, type RawRecord, type TailRecord } from './tail-index.js';
import type { Verdicts } from './verdicts.js';

/** A stream changed: what subscriptions show. */
export interface Change {
  readonly stream: StreamId;
  readonly state: StreamState;
  readonly partition: number;
  readonly offset: Offset;
}

export interface PartitionStateContext {
  readonly log: EventLog;
  readonly cold: ColdSource;
  readonly limits: EngineLimits;
  readonly kindOf: KindOf;
  readonly releases: Releases;
  onChange(change: Change): void;
}

/** The partition cannot go on: deciding further would be guessing. */
export class PartitionHalted extends Error {
  override readonly name: string = 'PartitionHalted';
}

/** A record of a newer Fabula: the partition goes on once an operator has released it. */
export class UnknownEnvelopeMet extends PartitionHalted {
  override readonly name = 'UnknownEnvelopeMet';
  constructor(
    readonly offset: Offset,
    readonly digest: string,
    version: number,
  ) {
    super(`the record at offset ${offset} has envelope version ${version}, written by a newer Fabula`);
  }
}

/**
 * What a writer knows of its partition, all of it confirmed by the log: every hot stream stands at `next`, every other stream is
 * its row in the read models plus its records in the tail index. Changes only between two batches.
 */
export class PartitionState {
  readonly hot: HotSet;
  private tail: TailIndex;
  private seen: Offset = 0;
  /** Position of the live read models, as last heard. */
  private projected: Offset = 0;

  constructor(
    private readonly partition: number,
    private readonly context: PartitionStateContext,
    private readonly signal: AbortSignal,
  ) {
    this.hot = new HotSet(context.limits.hotBytes);
    this.tail = new TailIndex(0, context.limits.tailBytes);
  }

  /** Next offset that was not seen yet. */
  get next(): Offset {
    return this.seen;
  }

  /**
   * Reads the tail above the read models' position: its length, not history's, is what a start costs.
   * @throws what log or read models throw; PartitionHalted when the tail cannot be understood.
   */
  async recover(): Promise<void> {
    const position = await this.context.cold.position(this.partition);
    await this.reachable(position);
    this.tail = new TailIndex(position, this.context.limits.tailBytes);
    this.seen = this.projected = position;
    await this.catchUp();
  }

  async catchUp(): Promise<void> {
    await this.readTo(await this.context.log.end(this.partition));
  }

  /** Takes in everything below `end`: hot streams are folded on, records of cold ones wait in the tail index. */
  async readTo(end: Offset, verdicts?: Verdicts): Promise<void> {
    if (this.seen >= end) return;
    for await (const batch of this.context.log.read(this.partition, this.seen, { upTo: end, signal: this.signal })) {
      for (const stored of batch.records) {
        // The many that nobody asks for are kept as they are: decoding them was two thirds of what a start costs.
        const stream = streamAtEnd(stored.value);
        if (stream !== undefined && this.hot.peek(stream) === undefined) this.keep(stream, stored);
        else {
          const decoded = decodeRecord(stored.value);
          if (!mayBeReleased(decoded) || !(await this.released(decoded, stored.offset))) this.absorb(stored, decoded, verdicts);
        }
        this.seen = stored.offset + 1;
      }
    }
    this.signal.throwIfAborted();
  }

  /** The batch stands exactly at `next`: nobody came between, so each record was decided on the head it meets. */
  confirm(records: readonly PlannedRecord[]): void {
    for (const { hot, head, state, offset } of records) {
      hot.head = head;
      hot.state = state;
      hot.lastOffset = offset;
      this.seen = offset + 1;
      this.changed(hot);
    }
  }

  /**
   * Cold load: rows of one snapshot, completed with the tail from the snapshot's position to `next`. Streams that are
   * parked stay cold, so that the next command looks whether they were mended.
   */
  async install({ position, streams, rows }: Arrival): Promise<ReadonlyMap<StreamId, HotStream>> {
    // Rows ahead of this writer: another one is at work. First see what it wrote, so that all hot streams stand at `next`.
    if (position > this.seen) await this.readTo(await this.reachable(position));
    this.heard(position);
    const wanted = new Set(streams);
    const fromLog = position < this.tail.from ? await this.readStreams(position, wanted) : undefined;
    const installed = new Map<StreamId, HotStream>();
    for (const stream of wanted) {
      const kind = this.context.kindOf(stream);
      if (kind === undefined || this.hot.peek(stream) !== undefined) continue;
      const tail = fromLog === undefined ? this.kept(stream, position) : (fromLog.get(stream) ?? []);
      const hot = mergeTail(stream, kind, rows.get(stream), tail);
      installed.set(stream, hot);
      if (hot.parked !== null) continue;
      this.hot.install(hot);
      this.tail.release(stream);
    }
    return installed;
  }

  /** What the read models hold now need not be kept here. */
  heard(position: Offset): void {
    this.projected = position;
    this.tail.prune(position);
  }

  /** Whether cold streams can be opened. Only between two batches: a stream that is being decided on must not leave. */
  hasRoom(): boolean {
    return this.hot.hasRoom(this.projected);
  }

  get tailBytes(): number {
    return this.tail.bytes;
  }

  /** Half of a cap is used: time to hear how far the projector is. */
  get crowded(): boolean {
    const { hotBytes, tailBytes } = this.context.limits;
    return this.hot.bytes * 2 > hotBytes || this.tail.bytes * 2 > tailBytes;
  }

  /** Forgets a stream that does not fit the log, or is parked, so that it is loaded anew; only if the projector has passed it. */
  forget(stream: StreamId): void {
    this.hot.drop(stream, this.projected);
  }

  private async reachable(position: Offset): Promise<Offset> {
    const end = await this.context.log.end(this.partition);
    if (position <= end) return position;
    const where = `the read models are at offset ${position} of partition ${this.partition}, the log ends at ${end}`;
    throw new PartitionHalted(`${where}: they belong to another log`);
  }

  /** The tail index no longer reaches a row (the read models went back a generation, or the index met its cap): read the log instead. */
  private async readStreams(position: Offset, streams: ReadonlySet<StreamId>): Promise<ReadonlyMap<StreamId, TailRecord[]>> {
    const { limits, log } = this.context;
    const end = this.seen;
    if (end - position > limits.catchUpRecords) {
      throw new EngineFailure('OVERLOADED', 'the read models are too far behind the log to open more playthroughs');
    }
    const found = new Map<StreamId, TailRecord[]>();
    if (position >= end) return found;
    for await (const batch of log.read(this.partition, position, { upTo: end, signal: this.signal })) {
      for (const stored of batch.records) {
        const stream = streamAtEnd(stored.value);
        if (stream !== undefined && !streams.has(stream)) continue;
        const decoded = decodeRecord(stored.value);
        if (mayBeReleased(decoded) && (await this.released(decoded, stored.offset))) continue;
        const record = this.admissible(stored, decoded);
        if (record === undefined || !streams.has(record.record.stream)) continue;
        const list = found.get(record.record.stream);
        if (list === undefined) found.set(record.record.stream, [record]);
        else list.push(record);
      }
    }
    this.signal.throwIfAborted();
    return found;
  }

  private absorb(stored: RawRecord, decoded: Decoded, verdicts: Verdicts | undefined): void {
    const record = this.admissible(stored, decoded);
    if (record === undefined) return;
    const hot = this.hot.peek(record.record.stream);
    if (hot === undefined) return this.keep(record.record.stream, stored);
    const admission = foldRecord(hot, record);
    verdicts?.note(record, admission, hot);
    if (admission.verdict === 'accepted') this.changed(hot);
  }

  /** For the command that opens the stream. What is larger than any record counts for nothing, and would push others out. */
  private keep(stream: StreamId, stored: RawRecord): void {
    if (stored.value.length > MAX_RECORD_BYTES) return;
    if (this.context.kindOf(stream) !== undefined) this.tail.add(stream, stored);
  }

  /** What was kept of the stream, as if each record had been decoded when it was read. */
  private kept(stream: StreamId, position: Offset): readonly TailRecord[] {
    return this.tail.of(stream, position).flatMap((raw) => this.admissible(raw, decodeRecord(raw.value)) ?? []);
  }

  /** The record as `admit` may see it; undefined: it is invalid and counts for nothing. */
  private admissible({ offset }: RawRecord, decoded: Decoded): TailRecord | undefined {
    if (!admissible(decoded, this.partition, this.context.log.partitions)) return undefined;
    return { record: decoded.record, digest: decoded.digest, offset };
  }

  /** Whether the record counts for nothing by an operator's word. @throws UnknownEnvelopeMet when it does not and cannot be read either. */
  private async released(decoded: Exclude<Decoded, { kind: 'undecodable' }>, offset: Offset): Promise<boolean> {
    if (await this.context.releases.has(this.partition, offset, decoded.digest)) return true;
    if (decoded.kind === 'unknown-envelope') throw new UnknownEnvelopeMet(offset, decoded.digest, decoded.version);
    return false;
  }

  private changed(hot: HotStream): void {
    this.hot.changed(hot);
    const { stream, state, lastOffset: offset } = hot;
    if (state !== null) this.context.onChange({ stream, state, partition: this.partition, offset });
  }
}
