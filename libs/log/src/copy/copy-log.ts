import { partitionOf } from '#lib/decision';
import type { Clock, Ids, Timers } from '#lib/platform';
import { RecordsForgotten, type EventLog, type LogId, type Offset } from '../event-log.js';
import { NO_RELEASES, type Releases } from '../releases.js';
import { readSeal, type Seal } from './copy-state.js';
import { HeadTally, PartitionPass, passesFor } from './head-tally.js';
import { logRecord, logStream, type LogCopied, type LogEvent } from './log-stream.js';
import { appendSurely, TargetAppender } from './target-appender.js';

export interface CopyOptions {
  /** Nobody may write to it any more. */
  readonly from: EventLog;
  /** Empty, or begun by an earlier copy of the same log. Nobody else may write to it yet. */
  readonly to: EventLog;
  /** The last signed note on the root of the old log's audit trees. */
  readonly note: string | null;
  /** Of the old log; default: none. */
  readonly releases?: Releases;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly ids: Ids;
  /** For heads of streams, in bytes (default 512 MiB): a partition with more is read in several passes. */
  readonly memoryBytes?: number;
  readonly signal?: AbortSignal;
  /** After every batch read. */
  readonly onProgress?: (progress: CopyProgress) => void;
}

export interface CopyProgress {
  /** `resuming` finds out what an earlier copy brought over; `checking` reads the copy. */
  readonly phase: 'resuming' | 'copying' | 'checking';
  /** Records read, and to be read, in this phase. */
  readonly done: number;
  readonly total: number;
}

export interface CopyReport {
  readonly from: LogId;
  readonly to: LogId;
  readonly partitions: { readonly from: number; readonly to: number };
  readonly streams: number;
  /** Accepted records: those that were copied. */
  readonly records: number;
  /** Records of the old log that counted for nothing (duplicates, conflicts, garbage): left behind. */
  readonly leftBehind: number;
  /** Records of the copy that count for nothing: what was appended twice when an answer was lost. */
  readonly repeated: number;
  /** Copied by this call; the rest was there from an earlier one. */
  readonly appended: number;
  readonly headsDigest: string;
}

export type CopyProblem = 'SAME_LOG' | 'LOG_PRUNED' | 'NOT_EMPTY' | 'LOG_GREW' | 'COPY_DIFFERS';

/** The copy cannot be made, or is none. */
export class CopyRefused extends Error {
  override readonly name = 'CopyRefused';
  constructor(
    readonly code: CopyProblem,
    message: string,
  ) {
    super(message);
  }
}

/** Every stream would have to begin with what nobody has any more: the bases are of the old log's offsets. */
const pruned = (partition: number, begin: Offset): CopyRefused =>
  new CopyRefused(
    'LOG_PRUNED',
    `Partition ${partition} begins at offset ${begin}, since what came before was pruned: a pruned log cannot be copied into another one.`,
  );

const MEMORY_BYTES = 512 * 1024 * 1024;

/**
 * Appends what was accepted in one log to another, of any adapter and partition count: the same bytes, each stream in its order.
 * Verdicts depend on nothing else, so all of it is accepted again, and every stream comes to the same state. Interrupted, the
 * next call goes on. At the end the whole copy is read again and its heads are compared.
 * @throws CopyRefused, UnknownVerdict; what the logs throw; the signal's reason
 */
export async function copyLog(options: CopyOptions): Promise<CopyReport> {
  try {
    return await new Copy(options, await options.from.id(), await options.to.id()).run();
  } catch (error) {
    if (error instanceof RecordsForgotten) throw pruned(error.partition, error.begin);
    throw error;
  }
}

class Copy {
  private readonly releases: Releases;
  private readonly memoryBytes: number;

  constructor(
    private readonly options: CopyOptions,
    private readonly fromId: LogId,
    private readonly toId: LogId,
  ) {
    this.releases = options.releases ?? NO_RELEASES;
    this.memoryBytes = options.memoryBytes ?? MEMORY_BYTES;
  }

  async run(): Promise<CopyReport> {
    const { from, to } = this.options;
    if (this.fromId === this.toId) throw new CopyRefused('SAME_LOG', `Both are the same log, ${this.fromId}.`);
    for (let partition = 0; partition < from.partitions; partition++) {
      const begin = await from.begin(partition);
      if (begin > 0) throw pruned(partition, begin);
    }
    const ends = await endsOf(from);
    const { seal, resumed } = await this.begin(ends);
    const copied = await this.copy(ends, resumed);
    await this.refuseGrowth(ends);
    const found = await this.check();
    const { records, leftBehind, appended, tally } = copied;
    if (found.tally.digest !== tally.digest || found.tally.streams !== tally.streams || found.records !== records)
      throw new CopyRefused(
        'COPY_DIFFERS',
        `The copy holds ${found.records} accepted records in ${found.tally.streams} streams, the old log ${records} in ${tally.streams}, ` +
          `and their heads ${found.tally.digest === tally.digest ? 'agree' : 'differ'}: do not use it. Was one of the logs written to meanwhile?`,
      );
    if (!found.finished) {
      const { digest: headsDigest, streams } = tally;
      const at = Math.max(this.options.clock.now(), seal.event.at);
      const finished = { type: 'LogCopyFinished', v: 1, from: this.fromId, streams, records, headsDigest, at } as const;
      await this.tell(finished, { expectedVersion: 1, previous: seal.digest });
    }
    return {
      from: this.fromId,
      to: this.toId,
      partitions: { from: from.partitions, to: to.partitions },
      streams: tally.streams,
      records,
      leftBehind,
      repeated: found.refused,
      appended,
      headsDigest: tally.digest,
    };
  }

  /** Seals the new log as a copy of the old one, or finds it sealed by an earlier call. */
  private async begin(ends: readonly Offset[]): Promise<{ readonly seal: Seal; readonly resumed: boolean }> {
    const { note, clock } = this.options;
    const before = await readSeal(this.options.to);
    if (before === undefined) {
      if ((await endsOf(this.options.to)).some((end) => end > 0))
        throw new CopyRefused(
          'NOT_EMPTY',
          `The log ${this.toId} holds records already, and is no copy that was begun: copy into an empty one.`,
        );
      const event: LogCopied = { type: 'LogCopied', v: 1, from: this.fromId, ends, note, at: clock.now() };
      await this.tell(event, { expectedVersion: 0, previous: null });
    }
    const seal = before ?? (await readSeal(this.options.to));
    if (seal === undefined || seal.event.from !== this.fromId)
      throw new CopyRefused(
        'NOT_EMPTY',
        `The log ${this.toId} is a copy of ${seal?.event.from ?? 'nothing known'}, not of ${this.fromId}.`,
      );
    if (seal.event.ends.join() !== ends.join())
      throw new CopyRefused(
        'LOG_GREW',
        `The log ${this.fromId} was written to after its copy was begun. Stop every server on it, and copy into an empty log.`,
      );
    return { seal, resumed: before !== undefined };
  }

  private async tell(event: LogEvent, place: { readonly expectedVersion: number; readonly previous: string | null }): Promise<void> {
    const { to, ids, timers, signal } = this.options;
    const value = logRecord(this.toId, event, { ...place, correlationId: ids.uuid() });
    await appendSurely(to, this.ownPartition(), [{ key: logStream(this.toId), value }], timers, signal);
  }

  private async copy(ends: readonly Offset[], resumed: boolean): Promise<Copied> {
    const { from, to, timers, signal } = this.options;
    const tally = new HeadTally();
    const target = new TargetAppender(to, timers, signal);
    const passes = ends.map((end) => passesFor(end, this.memoryBytes));
    const progress = this.progress('copying', sum(ends.map((end, partition) => end * (passes[partition] ?? 1))));
    const done = resumed ? await this.bringOver(sum(passes)) : undefined;
    let [records, leftBehind, appended] = [0, 0, 0];
    try {
      for (const [partition, end] of ends.entries()) {
        const of = passes[partition] ?? 1;
        for (let index = 0; index < of; index++) {
          const pass = new PartitionPass(from, partition, { index, of }, this.releases);
          const there = await done?.(partition, { index, of });
          for await (const { record, value, headers, version } of pass.accepted(end, progress, signal)) {
            signal?.throwIfAborted();
            records++;
            if (version <= (there?.get(record.stream) ?? 0)) continue;
            appended++;
            const copied = { key: record.stream, value, ...(headers === undefined ? {} : { headers }) };
            await target.add(partitionOf(record.stream, to.partitions), copied);
          }
          signal?.throwIfAborted();
          leftBehind += pass.refused;
          for (const [stream, head] of pass.heads) tally.add(stream, head);
        }
      }
      await target.flush();
    } finally {
      await target.settled();
    }
    return { tally, records, leftBehind, appended };
  }

  /** What an earlier call brought over: versions of the streams of one part of one old partition, from all of the new log. */
  private async bringOver(
    rounds: number,
  ): Promise<(partition: number, part: { index: number; of: number }) => Promise<Map<string, number>>> {
    const { from, to, signal } = this.options;
    const ends = await endsOf(to);
    const progress = this.progress('resuming', rounds * sum(ends));
    return async (partition, part) => {
      const versions = new Map<string, number>();
      for (const [of, end] of ends.entries()) {
        const pass = new PartitionPass(to, of, part, NO_RELEASES, (stream) => partitionOf(stream, from.partitions) === partition);
        for await (const { record, version } of pass.accepted(end, progress, signal)) versions.set(record.stream, version);
      }
      return versions;
    };
  }

  /** Reads the whole copy: what it holds must be what the old log held. */
  private async check(): Promise<Checked> {
    const { to, signal } = this.options;
    const ends = await endsOf(to);
    const tally = new HeadTally();
    const own = logStream(this.toId);
    const progress = this.progress('checking', sum(ends.map((end) => end * passesFor(end, this.memoryBytes))));
    let [records, refused, finished] = [0, 0, false];
    for (const [partition, end] of ends.entries()) {
      const of = passesFor(end, this.memoryBytes);
      for (let index = 0; index < of; index++) {
        const pass = new PartitionPass(to, partition, { index, of }, NO_RELEASES);
        for await (const { record } of pass.accepted(end, progress, signal)) {
          if (record.stream === own) finished = record.expectedVersion > 0;
          else records++;
        }
        signal?.throwIfAborted();
        refused += pass.refused;
        for (const [stream, head] of pass.heads) if (stream !== own) tally.add(stream, head);
      }
    }
    return { tally, records, refused, finished };
  }

  private async refuseGrowth(ends: readonly Offset[]): Promise<void> {
    if ((await endsOf(this.options.from)).join() === ends.join()) return;
    throw new CopyRefused(
      'LOG_GREW',
      `The log ${this.fromId} was written to while it was copied. Stop every server on it, and copy into an empty log.`,
    );
  }

  private progress(phase: CopyProgress['phase'], total: number): (records: number) => void {
    let done = 0;
    return (records) => this.options.onProgress?.({ phase, done: (done += records), total });
  }

  private ownPartition(): number {
    return partitionOf(logStream(this.toId), this.options.to.partitions);
  }
}

interface Copied {
  readonly tally: HeadTally;
  readonly records: number;
  readonly leftBehind: number;
  readonly appended: number;
}
interface Checked {
  readonly tally: HeadTally;
  readonly records: number;
  readonly refused: number;
  readonly finished: boolean;
}

const endsOf = (log: EventLog): Promise<readonly Offset[]> =>
  Promise.all(Array.from({ length: log.partitions }, (_, partition) => log.end(partition)));

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);
