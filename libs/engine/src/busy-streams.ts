import type { StreamId } from '#lib/decision';
import type { Clock } from '#lib/platform';

export interface BusyStream {
  readonly stream: StreamId;
  /** In the last minute; at most this many, and at least this many less what the least busy one has. */
  readonly commands: number;
}

const SLICE_MS = 10_000;
const SLICES = 6;
/** Streams counted per slice: a stream with more than one in this many of its commands is found for certain. */
const COUNTED = 256;

/**
 * The busiest streams of the last minute in bounded memory, whatever number of streams there are: Space-Saving (Metwally et al., 2005) over
 * six slices of ten seconds.
 */
export class BusyStreams {
  private slices: { readonly from: number; readonly counts: Map<StreamId, number> }[] = [];

  constructor(private readonly clock: Clock) {}

  note(stream: StreamId): void {
    const counts = this.slice();
    const known = counts.get(stream);
    if (known !== undefined) counts.set(stream, known + 1);
    else if (counts.size < COUNTED) counts.set(stream, 1);
    else {
      // The newcomer takes the place of the least counted, with its count: no busy stream is ever counted too low.
      let least: StreamId | undefined;
      let lowest = Infinity;
      for (const [candidate, count] of counts) {
        if (count >= lowest) continue;
        least = candidate;
        lowest = count;
        if (lowest === 1) break;
      }
      counts.delete(least as StreamId);
      counts.set(stream, lowest + 1);
    }
  }

  /** The `most` busiest with at least `atLeast` commands, busiest first. */
  top(most: number, atLeast: number): readonly BusyStream[] {
    const from = this.clock.now() - SLICE_MS * SLICES;
    const sums = new Map<StreamId, number>();
    for (const slice of this.slices) {
      if (slice.from < from) continue;
      for (const [stream, count] of slice.counts) sums.set(stream, (sums.get(stream) ?? 0) + count);
    }
    return [...sums]
      .filter(([, commands]) => commands >= atLeast)
      .toSorted(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
      .slice(0, most)
      .map(([stream, commands]) => ({ stream, commands }));
  }

  private slice(): Map<StreamId, number> {
    const now = this.clock.now();
    const last = this.slices.at(-1);
    if (last !== undefined && now - last.from < SLICE_MS) return last.counts;
    const counts = new Map<StreamId, number>();
    this.slices.push({ from: now, counts });
    if (this.slices.length > SLICES) this.slices.shift();
    return counts;
  }
}
