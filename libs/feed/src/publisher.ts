import { ForeignLog, PositionBeyondEnd, type EventLog, type LogId, type Offset } from '#lib/log';
import { errorText, pause, type Clock, type Timers } from '#lib/platform';
import { DECIDED_WITHIN_MS, sourceOf, type ReaderMark } from './feed-event.js';
import type { FeedPositions } from './feed-positions.js';
import type { FeedSink } from './feed-sink.js';
import { HEARTBEAT } from './feed-types.js';
import { kafkaMessage, type FeedMessage } from './kafka-message.js';
import { Fenced, PartitionPublisher, type Progress } from './partition-publisher.js';
import type { Verdicts } from './verdicts.js';

export interface PublisherOptions {
  readonly log: EventLog;
  readonly logId: LogId;
  readonly verdicts: Verdicts;
  readonly positions: FeedPositions;
  readonly sink: FeedSink;
  readonly mark: ReaderMark;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Time between heartbeats of idle partitions, ms; default 5,000. */
  readonly heartbeatMs?: number;
  /** First and longest pause after a failure, ms; default 100 and 10,000, doubling between, each shortened at random by up to half. */
  readonly retryMs?: readonly [first: number, longest: number];
  /** From 0 to below 1; default `Math.random`. */
  readonly random?: () => number;
  /** Contexts of streams kept in memory, all partitions together; default 50,000 (about 20 MB). */
  readonly maxContexts?: number;
  /** Told of every position that this process moved. */
  readonly onMoved?: (partition: number, to: Offset) => void;
  /** Told of every failure; the loop goes on after it. No partition: one of all heartbeats. */
  readonly onError?: (error: unknown, partition: number | undefined) => void;
  /** Told once when a partition stops for a person. */
  readonly onStopped?: (message: string, partition: number) => void;
}

export interface PublisherStatus {
  readonly partition: number;
  /** `waiting`: the next record has no verdict yet; `retrying`: an outage; `stopped`: the kept position is not of this log, a person must say from where. */
  readonly state: 'following' | 'waiting' | 'retrying' | 'stopped';
  /** Whether the kept position was read since this process follows the partition; until then `nextOffset` says nothing. */
  readonly opened: boolean;
  readonly nextOffset: Offset;
  /** Log time of the newest published record, ms; 0 before the first. */
  readonly lastTime: number;
  /** Events sent since this process follows the partition, repeated ones too. */
  readonly events: number;
  readonly problem: string | null;
}

/** What stopped is looked at again this often: the position may have been set. */
const LOOK_AGAIN_MS = 5_000;
/** How long the log may take to say how long it is, before the others' heartbeats go without that partition's. */
const END_WITHIN_MS = 1_000;
/**
 * A heartbeat says that nothing older than its time is to come. Events are at most so much older than the log's time for them, and clocks differ
 * by less than as much again: by both a heartbeat stays behind, ms.
 */
export const HEARTBEAT_BEHIND_MS = 2 * DECIDED_WITHIN_MS;

/** Keeps the public feed up with the log: a loop per followed partition, at least once, in the log's order, and one heartbeat for all. */
export class Publisher {
  private readonly parts = new Map<number, Part>();
  /** There while partitions are followed. */
  private beats: { readonly abort: AbortController; round: Promise<void> } | undefined;
  /** Time of the newest heartbeat. */
  private lastBeat = 0;

  constructor(private readonly options: PublisherOptions) {}

  follow(partition: number): void {
    if (this.parts.has(partition)) return;
    const part: Part = {
      status: { partition, state: 'following', opened: false, nextOffset: 0, lastTime: 0, events: 0, problem: null },
      publisher: this.publisherOf(partition, (progress) => this.progressed(part, progress)),
      abort: new AbortController(),
      attempt: new AbortController(),
      done: Promise.resolve(),
      busy: true,
      asked: false,
    };
    this.parts.set(partition, part);
    const { signal } = part.abort;
    part.done = this.run(part, signal);
    if (this.beats !== undefined) return;
    this.beats = { abort: new AbortController(), round: Promise.resolve() };
    void this.beat(this.beats);
  }

  /** Resolves when nothing of the partition is on its way from here. */
  async leave(partition: number): Promise<void> {
    const part = this.parts.get(partition);
    if (part === undefined) return;
    part.abort.abort();
    await Promise.all([part.done, this.beats?.round]);
    if (this.parts.get(partition) === part) this.parts.delete(partition);
    if (this.parts.size > 0) return;
    this.beats?.abort.abort();
    this.beats = undefined;
  }

  /** Leaves everything and closes the sink. */
  async stop(): Promise<void> {
    await Promise.all([...this.parts.keys()].map((partition) => this.leave(partition)));
    await this.options.sink.close();
  }

  status(): readonly PublisherStatus[] {
    return [...this.parts.values()].map(({ status }) => status);
  }

  /**
   * Publishes what the log holds now, then returns. Not beside `follow`.
   * @throws what `PartitionPublisher.follow` throws
   */
  async catchUp(partition: number, signal = new AbortController().signal): Promise<void> {
    const { log } = this.options;
    await this.publisherOf(partition, () => {}).follow(signal, await log.end(partition));
  }

  private publisherOf(partition: number, onProgress: (progress: Progress) => void): PartitionPublisher {
    const { log, logId, verdicts, positions, sink, mark, timers, maxContexts = 50_000 } = this.options;
    return new PartitionPublisher({
      log,
      logId,
      partition,
      verdicts,
      positions,
      sink,
      mark,
      timers,
      maxContexts: Math.ceil(maxContexts / log.partitions),
      onProgress,
    });
  }

  private async run(part: Part, signal: AbortSignal): Promise<void> {
    const { timers, retryMs: [first, longest] = [100, 10_000], random = Math.random, onError, onStopped } = this.options;
    const { partition } = part.status;
    let wait = first;
    let seen = -1;
    while (!signal.aborted) {
      try {
        part.attempt = new AbortController();
        await part.publisher.follow(AbortSignal.any([signal, part.attempt.signal]));
        if (signal.aborted) return;
      } catch (error) {
        if (signal.aborted) return;
        const problem = errorText(error);
        if (error instanceof ForeignLog || error instanceof PositionBeyondEnd) {
          if (part.status.problem !== problem) onStopped?.(problem, partition);
          part.status = { ...part.status, state: 'stopped', problem };
          await pause(timers, LOOK_AGAIN_MS, signal);
          continue;
        }
        part.status = { ...part.status, state: 'retrying', problem };
        // Fenced is ordinary: another process publishes, or the position was set.
        if (!(error instanceof Fenced)) onError?.(error, partition);
      }
      if (part.status.nextOffset !== seen) wait = first;
      seen = part.status.nextOffset;
      await pause(timers, wait * (1 - random() / 2), signal);
      wait = Math.min(wait * 2, longest);
    }
  }

  private progressed(part: Part, { nextOffset, lastTime, events, waitsFor }: Progress): void {
    const { status } = part;
    if (events > 0) part.busy = true;
    if (lastTime !== undefined) this.options.onMoved?.(status.partition, nextOffset);
    part.status = {
      ...status,
      state: waitsFor === undefined ? 'following' : 'waiting',
      opened: true,
      nextOffset,
      lastTime: lastTime ?? status.lastTime,
      events: status.events + events,
      problem: waitsFor === undefined ? null : `the record at offset ${waitsFor} has no verdict yet: the auditor has not reached it`,
    };
  }

  /** A heartbeat whenever nothing was published for a while. */
  private async beat(beats: { readonly abort: AbortController; round: Promise<void> }): Promise<void> {
    const { signal } = beats.abort;
    for (;;) {
      await pause(this.options.timers, this.options.heartbeatMs ?? 5_000, signal);
      if (signal.aborted) return;
      const idle = [...this.parts.values()].filter((part) => {
        const wasBusy = part.busy;
        part.busy = false;
        return !wasBusy && part.status.opened && part.status.state === 'following' && !part.abort.signal.aborted;
      });
      if (idle.length === 0) continue;
      beats.round = this.beatAt(idle).catch((error: unknown) => {
        // The next one tells the same and more; the loops that publish meet a lasting outage themselves.
        if (!signal.aborted) this.options.onError?.(error, undefined);
      });
      await beats.round;
    }
  }

  /** A heartbeat in each partition in which nothing waits to be published; also notices that a position was set meanwhile. */
  private async beatAt(idle: readonly Part[]): Promise<void> {
    const { logId, positions, clock, sink } = this.options;
    const time = Math.max(this.lastBeat, clock.now() - HEARTBEAT_BEHIND_MS);
    const before = idle.map((part) => part.status.nextOffset);
    const [kept, ends] = await Promise.all([positions.readAll(), Promise.all(idle.map((part) => this.endOf(part)))]);
    const messages = new Map<number, readonly FeedMessage[]>();
    for (const [n, part] of idle.entries()) {
      const { partition } = part.status;
      const nextOffset = before[n];
      if (part.abort.signal.aborted || part.status.nextOffset !== nextOffset) continue;
      const position = kept.get(partition);
      // Set by somebody while nothing came that would have shown it.
      if (position !== undefined && (position.offset !== nextOffset || position.logId !== logId)) part.attempt.abort();
      if (ends[n] !== nextOffset || part.attempt.signal.aborted) continue;
      const id = `${logId}/${partition}/${nextOffset}/heartbeat/${time}`;
      const data = { partition, nextOffset };
      messages.set(partition, [kafkaMessage({ type: HEARTBEAT, id, source: sourceOf(logId), time, data, extensions: {} })]);
    }
    if (messages.size === 0) return;
    // Also when the answer is lost: none may go back behind it.
    this.lastBeat = time;
    await sink.sendAll(messages);
  }

  /** Undefined when that partition's log says nothing: the others still have their heartbeats. */
  private async endOf(part: Part): Promise<Offset | undefined> {
    // What it would say to an earlier question is of an earlier time: more may have come since.
    if (part.asked) return undefined;
    const { log, timers, onError } = this.options;
    const { partition } = part.status;
    const tell = (error: unknown): undefined => {
      if (!part.abort.signal.aborted) onError?.(error, partition);
      return undefined;
    };
    part.asked = true;
    const answer = log.end(partition).catch(tell);
    void answer.finally(() => (part.asked = false));
    let cancel = (): void => undefined;
    const late = new Promise<undefined>((resolve) => {
      cancel = timers.after(END_WITHIN_MS, () => resolve(tell(new Error(`the log did not say within ${END_WITHIN_MS} ms how long it is`))));
    });
    try {
      return await Promise.race([answer, late]);
    } finally {
      cancel();
    }
  }
}

interface Part {
  status: PublisherStatus;
  readonly publisher: PartitionPublisher;
  readonly abort: AbortController;
  /** Ended to begin again from the stored position. */
  attempt: AbortController;
  done: Promise<void>;
  /** Published something since the last look. */
  busy: boolean;
  /** The log has yet to say how long it is. */
  asked: boolean;
}
