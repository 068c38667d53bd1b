import {
  admissible,
  admit,
  decodeRecord,
  EMPTY_HEAD,
  type AcceptedCommand,
  type RecordedEvent,
  type StreamHead,
  type StreamId,
} from '#lib/decision';
import type { EventLog, Offset } from '#lib/log';
import { applyRecorded, stateFromJson, stateHash, stateToJson, type PlaythroughState } from '#lib/playthrough';
import { applyRecordedStory, storyStateToJson, type StoryStreamState } from '#lib/authoring';
import type { ColdSource, PastState, StoredStream } from '../cold-source.js';

interface Row {
  head: StreamHead;
  playthrough: PlaythroughState | null;
  story: StoryStreamState | null;
  parked: string | null;
  readonly accepted: Map<string, AcceptedCommand>;
  readonly turns: { turn: number; offset: Offset; state: string }[];
}

/** Read models in memory that stand still until a test moves them on; counts its round trips. */
export class HandColdSource implements ColdSource {
  readonly calls: string[] = [];
  /** Set: every call fails with it. */
  failure: Error | undefined;
  private rows = new Map<StreamId, Row>();
  private positions: Offset[];

  constructor(private readonly log: EventLog) {
    this.positions = Array.from({ length: log.partitions }, () => 0);
  }

  /** Projects everything the log holds, or up to an offset. */
  async project(partition = 0, upTo?: Offset): Promise<void> {
    const end = upTo ?? (await this.log.end(partition));
    const from = this.positions[partition] as Offset;
    if (end <= from) return;
    for await (const { records } of this.log.read(partition, from, { upTo: end })) {
      for (const { offset, value } of records) {
        const decoded = decodeRecord(value);
        if (admissible(decoded, partition, this.log.partitions)) this.fold(decoded.record.stream, decoded.record, decoded.digest, offset);
      }
    }
    this.positions[partition] = end;
  }

  /** Throws the read models away: another generation begins. */
  forgetAll(): void {
    this.rows = new Map();
    this.positions = this.positions.map(() => 0);
  }

  park(stream: StreamId, reason: string | null): void {
    (this.rows.get(stream) as Row).parked = reason;
  }

  async load(partition: number, streams: readonly StreamId[]): ReturnType<ColdSource['load']> {
    this.called(`load ${streams.length}`);
    const found = new Map<StreamId, StoredStream>();
    for (const stream of streams) {
      const row = this.rows.get(stream);
      if (row === undefined) continue;
      const state = row.playthrough !== null ? stateToJson(row.playthrough) : row.story !== null ? storyStateToJson(row.story) : 'null';
      found.set(stream, { head: row.head, state, parked: row.parked });
    }
    return { generation: 'hand', position: this.positions[partition] as Offset, streams: found };
  }

  async position(partition: number): Promise<Offset> {
    this.called('position');
    return this.positions[partition] as Offset;
  }

  async past(stream: StreamId, turn: number): Promise<PastState | undefined> {
    this.called('past');
    const then = this.rows.get(stream)?.turns.find((past) => past.turn === turn);
    if (then === undefined) return undefined;
    return { snapshot: then.state, events: [], stateHash: this.corrupt ? '0'.repeat(64) : stateHash(stateFromJson(then.state)) };
  }
  /** Set: past states no longer match their recorded hash. */
  corrupt = false;

  async accepted(stream: StreamId, commandId: string): Promise<AcceptedCommand | undefined> {
    this.called('accepted');
    return this.rows.get(stream)?.accepted.get(commandId);
  }

  async kept(stream: StreamId, offset: Offset): ReturnType<ColdSource['kept']> {
    this.called('kept');
    const turns = this.rows.get(stream)?.turns ?? [];
    return { first: turns[0]?.turn, at: turns.find((row) => row.offset === offset)?.turn };
  }

  /** Past turns before that one are gone, as after a pruning. */
  prune(stream: StreamId, before: number): void {
    const turns = this.rows.get(stream)?.turns ?? [];
    while (turns[0] !== undefined && turns[0].turn < before) turns.shift();
  }

  async overdue(partition: number, before: number, limit: number): ReturnType<ColdSource['overdue']> {
    this.called('overdue');
    const due = [...this.rows].flatMap(([stream, { playthrough }]) =>
      (playthrough?.deadline ?? Infinity) < before && playthrough !== null ? [{ stream, turn: playthrough.turn }] : [],
    );
    return partition === 0 ? due.slice(0, limit) : [];
  }

  private called(name: string): void {
    this.calls.push(name);
    if (this.failure !== undefined) throw this.failure;
  }

  private fold(
    stream: StreamId,
    record: Parameters<typeof admit>[1] & { readonly events: readonly RecordedEvent[] },
    digest: string,
    offset: number,
  ): void {
    const known = this.rows.get(stream);
    const row: Row = known ?? { head: EMPTY_HEAD, playthrough: null, story: null, parked: null, accepted: new Map(), turns: [] };
    this.rows.set(stream, row);
    const { verdict, head } = admit(row.head, record, digest, offset);
    if (verdict !== 'accepted') return;
    row.head = head;
    row.accepted.set(record.commandId, head.window.at(-1) as AcceptedCommand);
    for (const event of record.events) {
      // Only what was accepted there is asked for.
      if (stream.startsWith('compliance/')) continue;
      if (stream.startsWith('story/')) row.story = applyRecordedStory(row.story, event);
      else row.playthrough = applyRecorded(row.playthrough, event);
    }
    if (row.playthrough !== null && row.turns.at(-1)?.turn !== row.playthrough.turn) {
      row.turns.push({ turn: row.playthrough.turn, offset, state: stateToJson(row.playthrough) });
    }
  }
}
