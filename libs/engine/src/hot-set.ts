import type { StreamHead, StreamId } from '#lib/decision';
import type { Offset } from '#lib/log';
import { roughSize } from './rough-size.js';
import type { StreamKind, StreamState } from './stream-kind.js';

/** A stream as confirmed by the log up to the writer's next offset. */
export interface HotStream {
  readonly stream: StreamId;
  readonly kind: StreamKind;
  head: StreamHead;
  state: StreamState | null;
  /** Why its events can no longer be folded; the head goes on. */
  parked: string | null;
  /** Offset of its last accepted record; -1 if the row it was loaded from already held it. */
  lastOffset: Offset;
}

interface Entry {
  readonly hot: HotStream;
  bytes: number;
  measuredAt: number;
}

/** An accepted command in a head's window: two hex digests, an id, an object. */
const WINDOW_ENTRY_BYTES = 200;
/** States grow slowly: measured again after this many events. */
const MEASURE_EVERY = 16;
/** Streams looked at per eviction beyond those that may go, so that one round stays cheap. */
const LOOK_AT = 64;

/**
 * Hot streams of one partition, least recently used first. A stream may leave only when the projector has passed its last
 * record: until then nobody else could tell its state.
 */
export class HotSet {
  private readonly entries = new Map<StreamId, Entry>();
  private used = 0;

  constructor(private readonly maxBytes: number) {}

  get bytes(): number {
    return this.used;
  }
  get size(): number {
    return this.entries.size;
  }

  /** The stream, now the most recently used. */
  use(stream: StreamId): HotStream | undefined {
    const entry = this.entries.get(stream);
    if (entry === undefined) return undefined;
    this.entries.delete(stream);
    this.entries.set(stream, entry);
    return entry.hot;
  }

  peek(stream: StreamId): HotStream | undefined {
    return this.entries.get(stream)?.hot;
  }

  install(hot: HotStream): void {
    const entry: Entry = { hot, bytes: 0, measuredAt: 0 };
    this.entries.set(hot.stream, entry);
    this.measure(entry);
  }

  /** After head or state changed. */
  changed(hot: HotStream): void {
    const entry = this.entries.get(hot.stream);
    if (entry === undefined) return;
    if (entry.measuredAt === 0 || hot.head.version - entry.measuredAt >= MEASURE_EVERY) this.measure(entry);
  }

  /** Makes room below the cap; false when the projector is too far behind for that. */
  hasRoom(projected: Offset): boolean {
    if (this.used < this.maxBytes) return true;
    let looked = 0;
    for (const [stream, entry] of this.entries) {
      if (entry.hot.lastOffset < projected) this.remove(stream, entry);
      else if (++looked >= LOOK_AT) break;
      if (this.used < this.maxBytes) return true;
    }
    return false;
  }

  /** Lets one stream go if the projector has passed it. */
  drop(stream: StreamId, projected: Offset): void {
    const entry = this.entries.get(stream);
    if (entry !== undefined && entry.hot.lastOffset < projected) this.remove(stream, entry);
  }

  private remove(stream: StreamId, entry: Entry): void {
    this.entries.delete(stream);
    this.used -= entry.bytes;
  }

  private measure(entry: Entry): void {
    const bytes = 600 + roughSize(entry.hot.state) + entry.hot.head.window.length * WINDOW_ENTRY_BYTES;
    this.used += bytes - entry.bytes;
    entry.bytes = bytes;
    entry.measuredAt = entry.hot.head.version;
  }
}
