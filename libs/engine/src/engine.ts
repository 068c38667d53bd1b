import { commandDigest, partitionOf, type StreamId } from '#lib/decision';
import { NO_RELEASES, type EventLog, type Releases } from '#lib/log';
import type { Clock, Ids, Timers } from '#lib/platform';
import { compileStory, type Story } from '#lib/story';
import { BusyStreams, type BusyStream } from './busy-streams.js';
import type { ColdSource } from './cold-source.js';
import type { CommandOutcome, CommandRequest } from './command.js';
import { ContentCache, type Compile, type ContentStore } from './content-cache.js';
import { EngineFailure, messageOf, NotOwner } from './engine-failure.js';
import { kindOf } from './kinds.js';
import { DEFAULT_LIMITS, type EngineLimits } from './limits.js';
import { PartitionHalted, UnknownEnvelopeMet, type Change } from './partition-state.js';
import { PartitionWriter } from './partition-writer.js';
import type { WriterContext, WriterStats } from './writer-context.js';
import { PendingCommand } from './pending-command.js';
import type { KindOf, StreamState } from './stream-kind.js';
import { TimeOutSweeper } from './time-out-sweeper.js';

export interface EngineDependencies {
  readonly log: EventLog;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly ids: Ids;
  readonly cold: ColdSource;
  readonly content: ContentStore;
  /** Which records of unknown envelopes operators released; default: none. */
  readonly releases?: Releases;
  readonly limits?: Partial<EngineLimits>;
  /** Count or size of something that happened: `batch_records`, `append_unknown`, `conflict`, `accepted`, … */
  onMetric?(name: string, value: number): void;
  /** Something that an operator must look at. */
  onAlarm?(message: string): void;
}

/** Headers beyond this are not trace context. */
const MAX_HEADER_BYTES = 4_096;
/** How long stopping waits for the batch in flight. */
const STOP_GRACE_MS = 5_000;
/** How often a partition that stands before an unknown envelope looks whether it was released. */
const LOOK_AGAIN_MS = 2_000;

/**
 * The command side: one writer per owned partition. `execute` answers only when the log's verdict on the command is known;
 * whatever it throws, sending the same command again is safe.
 */
export class Engine {
  private readonly writers = new Map<number, PartitionWriter>();
  private readonly sweepers = new Map<number, TimeOutSweeper>();
  private readonly listeners = new Set<(change: Change) => void>();
  private readonly limits: EngineLimits;
  private readonly context: WriterContext;
  private readonly busyStreams: BusyStreams;
  private readonly kindOf: KindOf = kindOf;

  constructor(private readonly deps: EngineDependencies) {
    this.limits = { ...DEFAULT_LIMITS, ...deps.limits };
    const { log, cold, clock, timers, ids } = deps;
    this.busyStreams = new BusyStreams(clock);
    this.context = {
      log,
      cold,
      clock,
      timers,
      ids,
      kindOf: this.kindOf,
      releases: deps.releases ?? NO_RELEASES,
      limits: this.limits,
      content: new ContentCache(deps.content, compile, this.limits.contentBytes),
      onChange: (change) => this.tell(change),
      onMetric: (name, value) => deps.onMetric?.(name, value),
      onAlarm: (message) => deps.onAlarm?.(message),
    };
  }

  /** Takes over these partitions (all of the log's by default) and ends when they are recovered. */
  async start(partitions?: readonly number[]): Promise<void> {
    await Promise.all((partitions ?? [...Array(this.deps.log.partitions).keys()]).map((partition) => this.acquire(partition)));
  }

  /**
   * Ownership gained: recovers the partition and then takes its commands. Tries again, with pauses, while log or read models are down;
   * ends when it is ready, when it was released meanwhile, or when the partition cannot be understood (see `problems`).
   */
  async acquire(partition: number): Promise<void> {
    if (this.writers.has(partition)) return;
    for (let attempt = 0; ; attempt++) {
      const writer: PartitionWriter = new PartitionWriter(partition, this.context, (error) => void this.revive(partition, writer, error));
      this.writers.set(partition, writer);
      try {
        await writer.start();
        if (this.writers.get(partition) !== writer) return;
        const sweeper = new TimeOutSweeper(partition, this.context, (request) => this.execute(request));
        this.sweepers.set(partition, sweeper);
        sweeper.start();
        return;
      } catch (error) {
        if (this.writers.get(partition) !== writer) return;
        this.context.onAlarm(`partition ${partition} is not ready: ${messageOf(error)}`);
        if (error instanceof PartitionHalted) {
          writer.refuse(messageOf(error));
          void this.revive(partition, writer, error);
          return;
        }
      }
      const [first, last] = this.limits.backoffMs;
      await new Promise<void>((resolve) => void this.deps.timers.after(Math.min(last, first * 2 ** Math.min(attempt, 16)), resolve));
      if (this.writers.get(partition) !== writer) return;
    }
  }

  /** The partition stopped. Once an operator has released the record it stands before, it is recovered anew; nothing else mends itself here. */
  private async revive(partition: number, writer: PartitionWriter, error: unknown): Promise<void> {
    if (!(error instanceof UnknownEnvelopeMet)) return;
    do {
      await new Promise<void>((resolve) => void this.deps.timers.after(LOOK_AGAIN_MS, resolve));
      if (this.writers.get(partition) !== writer) return;
    } while (!(await this.released(partition, error)));
    if (this.writers.get(partition) !== writer) return;
    this.sweepers.get(partition)?.stop();
    this.sweepers.delete(partition);
    // Not through `release`: ownership must not be lost unnoticed between the old writer and the new one.
    this.writers.delete(partition);
    await Promise.all([writer.stop(0), this.acquire(partition)]);
  }

  private async released(partition: number, { offset, digest }: UnknownEnvelopeMet): Promise<boolean> {
    try {
      return await this.context.releases.has(partition, offset, digest);
    } catch {
      // Who keeps the releases cannot be asked now: asked again after the pause, and the partition stays as it is.
      this.context.onMetric('releases_unknown', 1);
      return false;
    }
  }

  /** Ownership lost: who waits learns the verdict, or that it is unknown. */
  async release(partition: number): Promise<void> {
    const writer = this.writers.get(partition);
    this.writers.delete(partition);
    this.sweepers.get(partition)?.stop();
    this.sweepers.delete(partition);
    await writer?.stop(STOP_GRACE_MS);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.writers.keys()].map((partition) => this.release(partition)));
  }

  /**
   * Decides one command and answers when its verdict is known.
   * @throws EngineFailure
   */
  execute(request: CommandRequest): Promise<CommandOutcome> {
    return new Promise((resolve, reject: (failure: EngineFailure) => void) => {
      const kind = this.kindOf(request.stream);
      if (kind === undefined) return reject(new EngineFailure('BAD_INPUT', 'there are no commands for this kind of stream'));
      if (headerBytes(request.headers) > MAX_HEADER_BYTES)
        return reject(new EngineFailure('TOO_LARGE', `headers are at most ${MAX_HEADER_BYTES} bytes`));
      const partition = partitionOf(request.stream, this.deps.log.partitions);
      const writer = this.writers.get(partition);
      if (writer === undefined) return reject(new NotOwner(`partition ${partition} belongs to another node`));
      this.busyStreams.note(request.stream);
      const busy = writer.busy(request);
      if (busy !== undefined) return reject(busy);
      let digest: string;
      try {
        digest = commandDigest(request.digestInput, request.actor);
      } catch (error) {
        return reject(new EngineFailure('BAD_INPUT', messageOf(error), { cause: error }));
      }
      const deadline = this.deps.clock.now() + (request.deadlineMs ?? this.limits.deadlineMs);
      const answered = (command: PendingCommand): void => writer.answered(command);
      writer.submit(new PendingCommand(request, kind, digest, deadline, resolve, reject, answered));
    });
  }

  /** The stream as this node holds it in memory, for reads while the read models are down. */
  hot(stream: StreamId): StreamState | undefined {
    return this.writers.get(partitionOf(stream, this.deps.log.partitions))?.hot(stream);
  }

  /** Called for each accepted record of the streams in memory, in order. The returned function ends it. */
  onChanged(listener: (change: Change) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** Why partitions of this node take no commands; empty when it is ready. */
  problems(): ReadonlyMap<number, string> {
    const problems = new Map<number, string>();
    for (const [partition, { notReady }] of this.writers) if (notReady !== undefined) problems.set(partition, notReady);
    return problems;
  }

  /** Sizes of queues and caches by partition, for metrics. */
  stats(): readonly WriterStats[] {
    return [...this.writers.values()].map((writer) => writer.stats());
  }

  /** The busiest streams here in the last minute, refused commands included: at most `most`, each with at least `atLeast` commands. */
  busiest(most: number, atLeast: number): readonly BusyStream[] {
    return this.busyStreams.top(most, atLeast);
  }

  private tell(change: Change): void {
    for (const listener of this.listeners) {
      try {
        listener(change);
      } catch (error) {
        // A subscriber's fault is its own: the writer goes on.
        this.context.onAlarm(`a listener failed: ${messageOf(error)}`);
      }
    }
  }
}

const compile: Compile = (hash, text) => {
  const story = compileStory(JSON.parse(text) as Story);
  if (story.hash !== hash) throw new Error(`content stored under ${hash} hashes to ${story.hash}`);
  return story;
};

function headerBytes(headers: Readonly<Record<string, string>> | undefined): number {
  let bytes = 0;
  for (const name in headers) bytes += Buffer.byteLength(name) + Buffer.byteLength(headers[name] as string);
  return bytes;
}
