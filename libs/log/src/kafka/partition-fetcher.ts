import { errorText } from '#lib/platform';
import { LogDamaged, LogUnavailable, type Offset } from '../event-log.js';
import type { BrokerLinks } from './broker-link.js';
import type { FetchAnswer, FetchedMessage, FetchedPartition } from './fetch-answer.js';
import type { Codecs } from './kafka-codecs.js';
import type { Leader, Topology } from './topology.js';

/** A fetch that finds nothing is parked at the broker this long. */
const MAX_WAIT_MS = 500;
/** Connections to one leader; each has one fetch under way. */
const LANES = 6;
/** After an empty answer the others that come back now are waited for, so that all travel in one fetch again. */
const MERGE_MS = 2;
/** One answer: more makes the pauses of decoding longer and nothing quicker. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** Without a good answer for this long a reader is told. */
const PATIENCE_MS = 8_000;
const RETRY_MS = 50;

const OFFSET_OUT_OF_RANGE = 1;

export type Fetched =
  | { readonly kind: 'records'; readonly messages: readonly FetchedMessage[] }
  /** The leader has not that offset: too old, or beyond its end. */
  | { readonly kind: 'out-of-range' };

/** One question for records from an offset on. It waits at the tail until there are some. */
export interface Ticket {
  /** undefined after `cancel`. Never rejects without a listener. */
  readonly answer: Promise<Fetched | undefined>;
  cancel(): void;
}

interface Cursor {
  readonly partition: number;
  readonly offset: Offset;
  readonly maxBytes: number;
  failingSince: number | undefined;
  settle(fetched: Fetched | Error | undefined): void;
  done: boolean;
}

interface Lane {
  busy: boolean;
  /** When its parked fetch comes back at the latest. */
  deadline: number;
}

/**
 * Reads for all readers of the process. A broker answers the requests of one connection in order, so a fetch that is parked at the tail
 * would hold up every fetch behind it. Therefore: all cursors that wait for the same leader travel in one fetch (cursors at the same
 * place share one answer, as projector, auditor and engine do at the tail); whoever comes while it is parked takes another connection
 * ("lane"), whose fetch is parked only until the first comes back, so that they travel together again. Twelve partitions with three
 * readers each cost one or two connections and two requests a second per leader when idle. Produce requests have connections of their own.
 */
export class PartitionFetcher {
  private readonly waiting = new Set<Cursor>();
  private readonly flying = new Set<Cursor>();
  private readonly lanes = new Map<number, Lane[]>();
  private scheduled = false;
  private closed = false;
  private readonly timers = new Set<NodeJS.Timeout>();
  constructor(
    private readonly topology: Topology,
    private readonly links: BrokerLinks,
    private readonly codecs: Codecs,
  ) {}

  /** Readers that wait for records now. */
  get cursors(): number {
    return this.waiting.size + this.flying.size;
  }

  fetch(partition: number, offset: Offset, maxBytes: number): Ticket {
    let settle: Cursor['settle'] = () => undefined;
    const answer = new Promise<Fetched | undefined>((resolve, reject) => {
      settle = (fetched) => (fetched instanceof Error ? reject(fetched) : resolve(fetched));
    });
    answer.catch(() => undefined); // a prefetch may fail before its reader asks; the reader sees it then
    const cursor: Cursor = { partition, offset, maxBytes, failingSince: undefined, settle, done: false };
    if (this.closed) this.finish(cursor, new LogUnavailable('The log is closed.'));
    else {
      this.waiting.add(cursor);
      this.schedule();
    }
    return { answer, cancel: () => this.finish(cursor, undefined) };
  }

  close(): void {
    this.closed = true;
    for (const timer of this.timers) clearTimeout(timer);
    for (const cursor of [...this.waiting, ...this.flying]) this.finish(cursor, new LogUnavailable('The log is closed.'));
  }

  private finish(cursor: Cursor, fetched: Fetched | Error | undefined): void {
    if (cursor.done) return;
    cursor.done = true;
    this.waiting.delete(cursor);
    this.flying.delete(cursor);
    cursor.settle(fetched);
  }

  /** Departs when this turn of the event loop is over: those whom one answer served have asked for more by then. */
  private schedule(): void {
    if (this.scheduled || this.closed) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      if (!this.closed) this.depart();
    });
  }

  private scheduleIn(ms: number): void {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      this.schedule();
    }, ms);
    this.timers.add(timer);
  }

  private depart(): void {
    const groups = new Map<number, { leader: Leader; cursors: Cursor[] }>();
    let leaderless = false;
    for (const cursor of this.waiting) {
      let leader: Leader | undefined;
      try {
        leader = this.topology.leader(cursor.partition);
      } catch (error) {
        this.finish(cursor, error instanceof Error ? error : new LogUnavailable(errorText(error)));
        continue;
      }
      if (leader === undefined) {
        leaderless = true;
        this.failed(cursor, new LogUnavailable(`Nobody leads partition ${cursor.partition}.`));
      } else {
        const group = groups.get(leader.nodeId) ?? { leader, cursors: [] };
        groups.set(leader.nodeId, group);
        group.cursors.push(cursor);
      }
    }
    if (leaderless) this.afterRefresh();
    for (const { leader, cursors } of groups.values()) this.departTo(leader, cursors);
  }

  /** A fetch names a partition once: cursors at another place of the same partition take another lane. */
  private departTo(leader: Leader, cursors: readonly Cursor[]): void {
    let rest = [...cursors];
    while (rest.length > 0) {
      const lane = this.freeLane(leader.nodeId);
      if (lane === undefined) return; // they depart when one comes back
      const offsets = new Map<number, Offset>();
      const aboard = rest.filter(({ partition, offset }) => {
        if (!offsets.has(partition)) offsets.set(partition, offset);
        return offsets.get(partition) === offset;
      });
      const left = new Set(aboard);
      rest = rest.filter((cursor) => !left.has(cursor));
      void this.fly(leader, lane, aboard);
    }
  }

  private freeLane(nodeId: number): { index: number; lane: Lane } | undefined {
    const lanes = this.lanes.get(nodeId) ?? [];
    this.lanes.set(nodeId, lanes);
    let index = lanes.findIndex((lane) => !lane.busy);
    if (index === -1) {
      if (lanes.length >= LANES) return undefined;
      index = lanes.push({ busy: false, deadline: 0 }) - 1;
    }
    const lane = lanes[index];
    return lane === undefined ? undefined : { index, lane };
  }

  private async fly(leader: Leader, { index, lane }: { index: number; lane: Lane }, cursors: readonly Cursor[]): Promise<void> {
    for (const cursor of cursors) {
      this.waiting.delete(cursor);
      this.flying.add(cursor);
    }
    const maxWaitMs = this.wait(leader.nodeId);
    lane.busy = true;
    lane.deadline = Date.now() + maxWaitMs;
    try {
      const link = await this.links.to(leader, `fetch-${index}`);
      const request = this.codecs.fetch(this.topology.topic, this.places(leader, cursors), { maxWaitMs, maxBytes: MAX_ANSWER_BYTES });
      let answer: FetchAnswer;
      try {
        answer = await link.send(request);
      } catch (error) {
        link.close();
        throw error;
      }
      lane.busy = false;
      this.arrive(cursors, answer);
    } catch (error) {
      lane.busy = false;
      for (const cursor of cursors)
        this.failed(cursor, new LogUnavailable(`The log cannot be read: ${errorText(error)}`, { cause: error }));
      this.afterRefresh();
    }
  }

  /** Overtaken by the first parked fetch of this leader, so that both come back together. */
  private wait(nodeId: number): number {
    const parked = (this.lanes.get(nodeId) ?? []).filter((lane) => lane.busy).map((lane) => lane.deadline - Date.now());
    return Math.round(Math.min(MAX_WAIT_MS, Math.max(10, Math.min(MAX_WAIT_MS, ...parked))));
  }

  private places(
    leader: Leader,
    cursors: readonly Cursor[],
  ): { partition: number; fetchOffset: number; currentLeaderEpoch: number; maxBytes: number }[] {
    const places = new Map<number, { partition: number; fetchOffset: number; currentLeaderEpoch: number; maxBytes: number }>();
    for (const { partition, offset, maxBytes } of cursors) {
      const known = places.get(partition);
      places.set(partition, {
        partition,
        fetchOffset: offset,
        // A leader that was replaced and does not know it yet is refused by its epoch, not believed.
        currentLeaderEpoch: this.topology.leader(partition)?.epoch ?? leader.epoch,
        maxBytes: Math.max(maxBytes, known?.maxBytes ?? 0),
      });
    }
    // The answer is filled in this order: nobody may always be last.
    const list = [...places.values()];
    const first = Math.floor(Math.random() * list.length);
    return [...list.slice(first), ...list.slice(0, first)];
  }

  private arrive(cursors: readonly Cursor[], answer: FetchAnswer): void {
    const byPartition = new Map<number, FetchedPartition>();
    for (const one of answer.partitions) byPartition.set(one.partition, one);
    let stale = false;
    let any = false;
    for (const cursor of cursors) {
      const one = byPartition.get(cursor.partition);
      const code = answer.errorCode === 0 ? (one?.errorCode ?? -1) : answer.errorCode;
      if (code === OFFSET_OUT_OF_RANGE) this.finish(cursor, { kind: 'out-of-range' });
      else if (code !== 0) {
        stale = true;
        this.failed(cursor, new LogUnavailable(`Partition ${cursor.partition} cannot be read: ${this.codecs.nameOf(code)}.`));
      } else if (one !== undefined && one.messages.length > 0) {
        any = true;
        this.finish(cursor, { kind: 'records', messages: one.messages });
      } else if (one?.unreadable !== undefined) {
        const { offset, why } = one.unreadable;
        const what = `Partition ${cursor.partition} holds a batch at offset ${offset} that cannot be read: ${why}.`;
        this.finish(cursor, new LogDamaged(`${what} Fabula did not write it.`));
      } else {
        cursor.failingSince = undefined;
        this.again(cursor);
      }
    }
    if (stale) this.afterRefresh();
    if (any) this.schedule();
    else this.scheduleIn(MERGE_MS);
  }

  private again(cursor: Cursor): void {
    this.flying.delete(cursor);
    if (!cursor.done) this.waiting.add(cursor);
  }

  private failed(cursor: Cursor, error: LogUnavailable): void {
    if (cursor.done) return;
    cursor.failingSince ??= Date.now();
    if (Date.now() - cursor.failingSince > PATIENCE_MS) this.finish(cursor, error);
    else this.again(cursor);
  }

  private afterRefresh(): void {
    void this.topology
      .refresh()
      .catch(() => undefined) // the cursors' own patience ends it
      .finally(() => this.scheduleIn(RETRY_MS));
  }
}
