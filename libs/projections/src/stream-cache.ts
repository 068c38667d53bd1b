import type { StreamId } from '#lib/decision';
import type { LiveStream } from './fold-batch.js';

/** Rough heap bytes of one window entry (two ids, two numbers) and of a stream without state. */
const WINDOW_ENTRY_BYTES = 250;
const STREAM_BYTES = 400;
/** A parsed state and its text, per character of the text. */
const BYTES_PER_CHARACTER = 6;

/** Streams folded lately, so that the next batch need not load them; bounded by estimated bytes, the longest unused go first. */
export class StreamCache {
  private readonly entries = new Map<StreamId, LiveStream>();
  private bytes = 0;
  private whole = false;

  constructor(private readonly maxBytes: number) {}

  get(stream: StreamId): LiveStream | undefined {
    const live = this.entries.get(stream);
    if (live !== undefined) {
      this.entries.delete(stream);
      this.entries.set(stream, live);
    }
    return live;
  }

  set(stream: StreamId, live: LiveStream): void {
    const known = this.entries.get(stream);
    if (known !== undefined) {
      this.bytes -= sizeOf(known);
      this.entries.delete(stream);
    }
    this.entries.set(stream, live);
    this.bytes += sizeOf(live);
  }

  /** Lets the longest unused go until the rest fits; never those of a batch that is not committed yet, which the store does not know. */
  trim(uncommitted: ReadonlyMap<StreamId, LiveStream>): void {
    for (const [stream, live] of this.entries) {
      if (this.bytes <= this.maxBytes || uncommitted.has(stream)) return;
      this.entries.delete(stream);
      this.bytes -= sizeOf(live);
      this.whole = false;
    }
  }

  /** @param nothingStored the store holds no stream of the partition yet, so that what is not here later on is nowhere */
  clear(nothingStored = false): void {
    this.entries.clear();
    this.bytes = 0;
    this.whole = nothingStored;
  }

  /** Whether the store holds no stream that is not here: so it is as long as a partition folded from its first record on fits. */
  get holdsAll(): boolean {
    return this.whole;
  }

  get size(): number {
    return this.entries.size;
  }
}

function sizeOf(live: LiveStream): number {
  return STREAM_BYTES + live.head.window.length * WINDOW_ENTRY_BYTES + (live.json?.length ?? 0) * BYTES_PER_CHARACTER;
}
