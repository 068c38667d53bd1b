import { EMPTY_HEAD, WINDOW_SIZE, type AcceptedCommand, type StreamHead, type StreamId } from '#lib/decision';
import type { Leaf } from './leaf.js';

/** Remembered commands over all cached streams: about 100 MB at the most. */
const MAX_REMEMBERED = 200_000;

/**
 * The stream's head as its accepted leaves tell it (the last 64, oldest first). Leaves hold the whole envelope, so nothing else
 * has to be stored that could disagree with them.
 * @param before head of the stream where these leaves begin: what is kept of those that were pruned
 */
export function headFromLeaves(leaves: readonly Buffer[], before: StreamHead = EMPTY_HEAD): StreamHead {
  if (leaves.length === 0) return before;
  let previous: string | null = null;
  const window = leaves.map((bytes): AcceptedCommand => {
    const leaf = JSON.parse(bytes.toString('utf8')) as Leaf;
    if (leaf.envelope === undefined || leaf.verdict !== 'accepted') throw new RangeError(`leaf ${leaf.index} is not of an accepted record`);
    const { commandId, commandDigest, expectedVersion, eventCount } = leaf.envelope;
    previous = leaf.record;
    return { commandId, commandDigest, version: expectedVersion + eventCount, offset: Number(leaf.offset) };
  });
  const whole = [...before.window, ...window].slice(-WINDOW_SIZE);
  return { version: (window.at(-1) as AcceptedCommand).version, previous, window: whole };
}

/** Heads of recently seen streams; the least recently used go first. */
export class StreamHeads {
  private readonly heads = new Map<StreamId, StreamHead>();
  private remembered = 0;

  has(stream: StreamId): boolean {
    return this.heads.has(stream);
  }
  get(stream: StreamId): StreamHead | undefined {
    return this.heads.get(stream);
  }
  set(stream: StreamId, head: StreamHead): void {
    const before = this.heads.get(stream);
    if (before !== undefined) this.remembered -= 1 + before.window.length;
    this.remembered += 1 + head.window.length;
    this.heads.delete(stream);
    this.heads.set(stream, head);
  }
  /** Called between batches: within one, every stream it touches must stay. */
  trim(): void {
    for (const [stream, head] of this.heads) {
      if (this.remembered <= MAX_REMEMBERED) return;
      this.remembered -= 1 + head.window.length;
      this.heads.delete(stream);
    }
  }
}
