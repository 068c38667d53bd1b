import type { StreamId } from '#lib/decision';
import type { EventLog, LogId, Offset, Releases, StoredRecord } from '#lib/log';
import { deadLetter, type DeadLetterRow } from './dead-letter.js';
import type { KnownFields } from './drift.js';
import {
  decodeBatch,
  foldBatch,
  liveStream,
  unknownEnvelopeCause,
  type DecodedBatch,
  type FoldedBatch,
  type UnknownEnvelope,
} from './fold-batch.js';
import { DataRefused, type ProjectionStore } from './projection-store.js';
import { summaryOf, type BatchChanges, type CommittedBatch } from './batch-changes.js';
import type { StreamKinds } from './stream-kinds.js';
import { StreamCache } from './stream-cache.js';

/** Somebody else moved the position, or the generation was retired: forget what is cached and go on from what is stored. */
export class Fenced extends Error {
  override readonly name = 'Fenced';
}

export interface PartitionProjectorOptions {
  readonly log: EventLog;
  readonly logId: LogId;
  readonly store: ProjectionStore;
  readonly partition: number;
  readonly maxRecords: number;
  readonly cacheBytes: number;
  readonly kinds: StreamKinds;
  readonly releases: Releases;
  readonly knownFields: KnownFields | undefined;
  readonly onCommit: (batch: CommittedBatch) => void;
  /** A record of an unknown envelope version was kept as a dead letter; its partition stands. */
  readonly onUnknownEnvelope: (letter: DeadLetterRow) => void;
}

/** Folds one partition, batch by batch. While a batch is being committed the next one is read and folded already. */
export class PartitionProjector {
  private readonly cache: StreamCache;
  private epoch = 0;
  /** What `Releases` answered since the last look. */
  private readonly released = new Map<Offset, boolean>();

  constructor(private readonly options: PartitionProjectorOptions) {
    this.cache = new StreamCache(options.cacheBytes);
  }

  /**
   * Reads and folds from the stored position on: up to `upTo`, or the tail until `signal` aborts.
   * @returns the record at which a newer Fabula's envelope stopped it, if one did
   * @throws Fenced; LogUnavailable; whatever the store throws. Nothing is half done: calling again goes on from the stored position.
   */
  async follow(signal: AbortSignal, upTo?: Offset): Promise<UnknownEnvelope | undefined> {
    const { log, store, partition, maxRecords } = this.options;
    const position = await store.readPosition(partition);
    let next = position.nextOffset;
    this.epoch = position.epoch;
    let inFlight: InFlight | undefined;
    let stopped: UnknownEnvelope | undefined;
    this.cache.clear(next === 0);
    this.released.clear();
    // A commit that fails at the tail must be dealt with at once, not when the partition's next record happens to arrive.
    const failed = new AbortController();
    try {
      const reading = { signal: AbortSignal.any([signal, failed.signal]), maxRecords };
      const options = upTo === undefined ? reading : { ...reading, upTo };
      for await (const { records } of log.read(partition, next, options)) {
        inFlight = await this.begin(next, records, inFlight?.done);
        // Awaited below or at the next batch: there the failure itself is met.
        inFlight.done.catch(() => failed.abort());
        next = inFlight.to;
        stopped = inFlight.unknownEnvelope;
        if (stopped !== undefined) break;
      }
      await inFlight?.done;
    } catch (error) {
      await inFlight?.done.catch(() => {});
      this.cache.clear();
      if (!(error instanceof DataRefused) || inFlight === undefined) throw error;
      await this.split(inFlight.from, inFlight.records);
      return this.follow(signal, upTo);
    }
    if (stopped !== undefined) await this.keepUnknown(stopped);
    return stopped;
  }

  /** Folds a batch and, once the one before it is committed, begins to commit it. */
  private async begin(from: Offset, records: readonly StoredRecord[], before: Promise<void> | undefined): Promise<InFlight> {
    const { changes, streams, unknownEnvelope } = await this.fold(await this.decode(from, records));
    await before;
    this.cache.trim(streams);
    return { records, from, to: changes.to, unknownEnvelope, done: this.commit(changes) };
  }

  private async decode(from: Offset, records: readonly StoredRecord[]): Promise<DecodedBatch> {
    const { log, partition, releases } = this.options;
    const first = records[0]?.offset;
    if (first !== from) throw new RangeError(`partition ${partition} answered offset ${first} where ${from} was asked for`);
    for (;;) {
      const batch = decodeBatch(partition, log.partitions, from, records, this.released);
      const unknown = batch.unknownEnvelope;
      if (unknown === undefined || this.released.has(unknown.offset)) return batch;
      this.released.set(unknown.offset, await releases.has(partition, unknown.offset, unknown.digest));
    }
  }

  private async keepUnknown({ version, digest, stored }: UnknownEnvelope): Promise<void> {
    const { store, logId, partition, onUnknownEnvelope } = this.options;
    const letter = deadLetter(partition, stored, unknownEnvelopeCause(version, digest));
    if ((await store.keepDeadLetter(logId, letter)) === 'new') onUnknownEnvelope(letter);
  }

  private async fold(batch: DecodedBatch, refused?: ReadonlyMap<StreamId, string>): Promise<FoldedBatch> {
    const { store, logId, partition, kinds, knownFields } = this.options;
    const cold = this.cache.holdsAll ? [] : [...batch.streams].filter((stream) => this.cache.get(stream) === undefined);
    if (cold.length > 0) {
      for (const [stream, row] of await store.loadStreams(partition, cold)) this.cache.set(stream, liveStream(row, kinds));
    }
    const folded = foldBatch(batch, {
      logId,
      epoch: this.epoch,
      kinds,
      knownFields,
      stream: (stream) => this.cache.get(stream),
      ...(refused && { refused }),
    });
    for (const [stream, live] of folded.streams) this.cache.set(stream, live);
    return folded;
  }

  /** Nothing here holds the rows while they are on their way: garbage collection would copy what Postgres has been sent already. */
  private commit(changes: BatchChanges): Promise<void> {
    if (changes.to === changes.from) return Promise.resolve();
    return this.confirm(this.options.store.commit(changes), summaryOf(changes));
  }

  private async confirm(outcome: Promise<'committed' | 'fenced'>, summary: CommittedBatch): Promise<void> {
    if ((await outcome) === 'fenced') throw new Fenced(`partition ${summary.partition} is no longer at ${summary.from}`);
    this.options.onCommit(summary);
  }

  /** The store refuses this batch's data: halves it until one record's stream is named, and parks that stream alone. */
  private async split(from: Offset, records: readonly StoredRecord[]): Promise<void> {
    const batch = await this.decode(from, records);
    try {
      await this.commit((await this.fold(batch)).changes);
      return;
    } catch (error) {
      this.cache.clear();
      if (!(error instanceof DataRefused)) throw error;
      if (records.length === 1) {
        const [stream] = batch.streams;
        if (stream === undefined) throw error;
        await this.commit((await this.fold(batch, new Map([[stream, error.message]]))).changes);
        return;
      }
    }
    const half = records.length >> 1;
    await this.split(from, records.slice(0, half));
    await this.split(from + half, records.slice(half));
  }
}

interface InFlight {
  readonly from: Offset;
  readonly to: Offset;
  readonly records: readonly StoredRecord[];
  readonly unknownEnvelope: UnknownEnvelope | undefined;
  readonly done: Promise<void>;
}
