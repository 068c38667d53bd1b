import { NO_RELEASES, type EventLog, type LogId, type Offset, type Releases } from '#lib/log';
import { pause, type Timers } from '#lib/platform';
import { Fenced, PartitionProjector } from './partition-projector.js';
import { PositionRefused, type ProjectionStore } from './projection-store.js';
import { addVerdicts, noticeOf, NO_VERDICTS, type CommittedBatch, type VerdictCounts } from './batch-changes.js';
import type { DeadLetterNotice } from './dead-letter.js';
import type { Drift, KnownFields } from './drift.js';
import type { UnknownEnvelope } from './fold-batch.js';
import type { ParkedRow } from './read-model.js';
import { STREAM_KINDS, type StreamKinds } from './stream-kinds.js';

export interface ProjectorOptions {
  readonly log: EventLog;
  readonly store: ProjectionStore;
  readonly timers: Timers;
  /** Records per batch; default and most: 1,000. */
  readonly maxRecords?: number;
  /** Estimated bytes of streams kept hot, all partitions together; default 64 MiB. */
  readonly cacheBytes?: number;
  /** First and longest pause after a failure, ms; default 50 and 5,000, doubling between. */
  readonly retryMs?: readonly [first: number, longest: number];
  /** What can be folded; default: all that this build knows. */
  readonly kinds?: StreamKinds;
  /** Told of every failure; the loop goes on after it. */
  readonly onError?: (error: unknown, partition: number) => void;
  /** Told of every stream that is parked. */
  readonly onParked?: (parked: ParkedRow, partition: number) => void;
  /** Which records of unknown envelopes operators released; default: none. */
  readonly releases?: Releases;
  /** Told of the records of a batch that could not be used, once they are kept. */
  readonly onDeadLetters?: (letters: readonly DeadLetterNotice[]) => void;
  /** With it, drift is counted and told of. */
  readonly knownFields?: KnownFields;
  readonly onDrift?: (drift: readonly Drift[]) => void;
}

/** How often a partition that stands before an unknown envelope looks whether it was released. */
const LOOK_AGAIN_MS = 2_000;

export interface PartitionStatus {
  readonly partition: number;
  /** `halted`: a record of a newer Fabula stands at `nextOffset`; readiness must be false. */
  readonly state: 'idle' | 'running' | 'retrying' | 'halted';
  readonly nextOffset: Offset;
  readonly lastTime: number;
  /** Since this process opened the projector. */
  readonly verdicts: VerdictCounts;
  readonly error: string | null;
}

/** Keeps the read models up with the log: one loop per partition, each independent of the others. */
export class Projector {
  private readonly parts: Part[];
  private readonly listeners = new Set<(changes: CommittedBatch) => void>();

  private constructor(
    private readonly options: ProjectorOptions,
    readonly logId: LogId,
    statuses: readonly PartitionStatus[],
  ) {
    const cacheBytes = (options.cacheBytes ?? 64 * 1024 * 1024) / statuses.length;
    this.parts = statuses.map((status) => ({
      status,
      running: undefined,
      projector: new PartitionProjector({
        log: options.log,
        logId,
        store: options.store,
        partition: status.partition,
        maxRecords: options.maxRecords ?? 1000,
        cacheBytes,
        kinds: options.kinds ?? STREAM_KINDS,
        releases: options.releases ?? NO_RELEASES,
        knownFields: options.knownFields,
        onUnknownEnvelope: (letter) => options.onDeadLetters?.([noticeOf(letter)]),
        onCommit: (changes) => this.committed(changes),
      }),
    }));
  }

  /** @throws PositionRefused when the stored positions cannot belong to this log. */
  static async open(options: ProjectorOptions): Promise<Projector> {
    const { log, store } = options;
    const logId = await log.id();
    const positions = await store.open(logId, log.partitions);
    const statuses: PartitionStatus[] = [];
    for (const { partition, nextOffset, lastTime } of positions) {
      const end = await log.end(partition);
      if (nextOffset > end) {
        throw new PositionRefused('BEYOND_END', `partition ${partition} was folded to ${nextOffset}, the log ends at ${end}`);
      }
      statuses.push({ partition, state: 'idle', nextOffset, lastTime, verdicts: NO_VERDICTS, error: null });
    }
    return new Projector(options, logId, statuses);
  }

  /** Follows these partitions (default: all) until `stop`. */
  start(partitions: readonly number[] = this.parts.map((_, partition) => partition)): void {
    for (const partition of partitions) {
      const part = this.part(partition);
      if (part.running !== undefined) continue;
      const abort = new AbortController();
      part.running = { abort, done: this.run(part, abort.signal) };
    }
  }

  /** Ends the loops after the batch they are at. */
  async stop(partitions: readonly number[] = this.parts.map((_, partition) => partition)): Promise<void> {
    const running = partitions.map((partition) => this.part(partition)).filter((part) => part.running !== undefined);
    for (const part of running) part.running?.abort.abort();
    await Promise.all(running.map((part) => part.running?.done));
    for (const part of running) part.running = undefined;
  }

  /**
   * Folds one partition up to `upTo` (default: the log's end now) and answers the position; aborted, the one after some batch. Not beside a running loop.
   * @throws what the log and the store throw; Fenced when another projector works on the partition.
   */
  async catchUp(partition: number, upTo?: Offset, signal: AbortSignal = new AbortController().signal): Promise<Offset> {
    const part = this.part(partition);
    if (part.running !== undefined) throw new Error(`partition ${partition} is being followed already`);
    const end = upTo ?? (await this.options.log.end(partition));
    const { nextOffset } = await this.options.store.readPosition(partition);
    if (nextOffset < end) {
      const unknown = await part.projector.follow(signal, end);
      if (unknown !== undefined) this.halt(part, unknown);
    }
    return (await this.options.store.readPosition(partition)).nextOffset;
  }

  status(): readonly PartitionStatus[] {
    return this.parts.map((part) => part.status);
  }

  /** Calls back after every commit of this process; the answer ends it. */
  onCommit(listener: (changes: CommittedBatch) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private async run(part: Part, signal: AbortSignal): Promise<void> {
    const { partition } = part.status;
    const [first, longest] = this.options.retryMs ?? [50, 5_000];
    let wait = first;
    let seen = part.status.nextOffset;
    while (!signal.aborted) {
      if (part.status.state !== 'halted') part.status = { ...part.status, state: 'running' };
      try {
        const unknown = await part.projector.follow(signal);
        if (unknown !== undefined) {
          this.halt(part, unknown);
          await pause(this.options.timers, LOOK_AGAIN_MS, signal);
          continue;
        }
        // Only an abort ends following the tail; a log that ends it otherwise is asked again after a pause.
        if (signal.aborted) break;
      } catch (error) {
        if (signal.aborted) break;
        part.status = { ...part.status, state: 'retrying', error: error instanceof Error ? error.message : String(error) };
        // Fenced is ordinary (another projector, a new generation): no alarm, but the same growing pause.
        if (!(error instanceof Fenced)) this.options.onError?.(error, partition);
      }
      if (part.status.nextOffset !== seen) wait = first;
      seen = part.status.nextOffset;
      await pause(this.options.timers, wait, signal);
      wait = Math.min(wait * 2, longest);
    }
    part.status = { ...part.status, state: 'idle' };
  }

  private halt(part: Part, { offset, version }: UnknownEnvelope): void {
    const error = `the record at ${offset} has envelope version ${version}, written by a newer Fabula`;
    if (part.status.state === 'halted' && part.status.error === error) return;
    part.status = { ...part.status, state: 'halted', error };
    this.options.onError?.(new Error(error), part.status.partition);
  }

  private committed(changes: CommittedBatch): void {
    const part = this.part(changes.partition);
    const { verdicts } = part.status;
    part.status = {
      ...part.status,
      state: part.running === undefined ? 'idle' : 'running',
      nextOffset: changes.to,
      lastTime: changes.lastTime,
      verdicts: addVerdicts(verdicts, changes.verdicts),
      error: null,
    };
    for (const row of changes.parked) this.options.onParked?.(row, changes.partition);
    if (changes.deadLetters.length > 0) this.options.onDeadLetters?.(changes.deadLetters);
    if (changes.drift.length > 0) this.options.onDrift?.(changes.drift);
    for (const listener of this.listeners) listener(changes);
  }

  private part(partition: number): Part {
    const part = this.parts[partition];
    if (part === undefined) throw new RangeError(`partition ${partition} of ${this.parts.length}`);
    return part;
  }
}

interface Part {
  status: PartitionStatus;
  readonly projector: PartitionProjector;
  running: { readonly abort: AbortController; readonly done: Promise<void> } | undefined;
}
