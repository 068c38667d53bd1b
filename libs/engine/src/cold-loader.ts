import { admit, type StreamId } from '#lib/decision';
import type { Offset } from '#lib/log';
import type { ColdSource, StoredStream } from './cold-source.js';
import { messageOf } from './engine-failure.js';
import type { HotStream } from './hot-set.js';
import type { StreamKind } from './stream-kind.js';
import type { TailRecord } from './tail-index.js';

/** Rows of one snapshot of the read models, waiting to be completed with the tail. */
export interface Arrival {
  readonly position: Offset;
  readonly streams: readonly StreamId[];
  readonly rows: ReadonlyMap<StreamId, StoredStream>;
}

/** Streams named per statement. */
const MAX_STREAMS = 1_000;

/** Collects the cold streams of a batch and loads them with one statement, one at a time, while hot streams go on. */
export class ColdLoader {
  private wanted = new Set<StreamId>();
  private loading: Promise<void> | undefined;

  constructor(
    private readonly cold: ColdSource,
    private readonly partition: number,
    private readonly arrived: (arrival: Arrival) => void,
    private readonly failed: (streams: readonly StreamId[], error: unknown) => void,
  ) {}

  want(stream: StreamId): void {
    this.wanted.add(stream);
  }

  /** Starts the next load if none is under way. */
  flush(): void {
    if (this.loading !== undefined || this.wanted.size === 0) return;
    const streams = [...this.wanted].slice(0, MAX_STREAMS);
    for (const stream of streams) this.wanted.delete(stream);
    this.loading = this.load(streams).finally(() => {
      this.loading = undefined;
      this.flush();
    });
  }

  private async load(streams: readonly StreamId[]): Promise<void> {
    try {
      const { position, streams: rows } = await this.cold.load(this.partition, streams);
      this.arrived({ position, streams, rows });
    } catch (error) {
      this.failed(streams, error);
    }
  }
}

/**
 * The merge rule: the row as it stood at the projector's position, then the stream's records from there on, each through
 * `admit`. A row without its tail would be a state that is no longer the stream's.
 */
export function mergeTail(stream: StreamId, kind: StreamKind, row: StoredStream | undefined, tail: readonly TailRecord[]): HotStream {
  const initial = { lastOffset: -1, parked: null, head: { version: 0, previous: null, window: [] }, state: null };
  const hot: HotStream = { stream, kind, ...initial };
  if (row !== undefined) {
    hot.head = row.head;
    hot.parked = row.parked;
    hot.lastOffset = row.head.window.at(-1)?.offset ?? -1;
    if (row.parked === null) restore(hot, row.state);
  }
  for (const record of tail) foldRecord(hot, record);
  return hot;
}

function restore(hot: HotStream, state: string): void {
  try {
    // `null`: the stream's records so far had no verdict that counts, or nothing could be folded yet.
    if (state !== 'null') hot.state = hot.kind.fromJson(state);
  } catch (error) {
    // A damaged row: the stream is parked until the read model is mended or rebuilt.
    hot.parked = messageOf(error);
  }
}

/** Gives a record its verdict on the stream's head and folds it if accepted; a failing fold parks the stream while its head goes on. */
export function foldRecord(hot: HotStream, record: TailRecord): ReturnType<typeof admit> {
  const admission = admit(hot.head, record.record, record.digest, record.offset);
  if (admission.verdict !== 'accepted') return admission;
  hot.head = admission.head;
  hot.lastOffset = record.offset;
  if (hot.parked !== null) return admission;
  try {
    hot.state = hot.kind.fold(hot.state, record.record.events);
  } catch (error) {
    // The stream answers PLAYTHROUGH_PARKED from now on; nothing is guessed and nothing else waits for it.
    hot.parked = messageOf(error);
  }
  return admission;
}
