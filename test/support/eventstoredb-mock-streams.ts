import { randomUUID } from 'node:crypto';

export interface MockEvent {
  readonly id: string;
  readonly type: string;
  readonly contentType: string;
  readonly data: Uint8Array;
  readonly metadata: Uint8Array;
}
type StoredEvent = MockEvent & { readonly revision: number; readonly created: number };

export type Expected = { readonly kind: 'any' | 'no-stream' | 'stream-exists' } | { readonly kind: 'revision'; readonly revision: number };
type Tombstoned = { readonly kind: 'tombstoned' };
export type Refusal = Tombstoned | { readonly kind: 'too-large'; readonly most: number };
export type Appended =
  | { readonly kind: 'appended'; readonly revision: number }
  /** `actual` is -1 where there is no stream. */
  | { readonly kind: 'wrong'; readonly actual: number }
  | Refusal;

interface Gate {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

/** Node 20 has no Promise.withResolvers. */
export function newGate(): Gate {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((resolved) => (resolve = resolved));
  return { promise, resolve };
}

interface Stream {
  readonly events: StoredEvent[];
  tombstoned: boolean;
  grown: Gate;
}

/** The server's default. */
const MAX_APPEND_BYTES = 1024 * 1024;
/** What a deleted stream has as its `$tb`. */
const DELETED = Number.MAX_SAFE_INTEGER;

/** Streams of the mock of EventStoreDB: revisions, expectations, idempotence by event id, truncation by metadata, deletion. */
export class MockStreams {
  private readonly byName = new Map<string, Stream>();
  private lastCreated = 0;

  append(name: string, expected: Expected, events: readonly MockEvent[]): Appended {
    const stream = this.stream(name);
    if (stream.tombstoned) return { kind: 'tombstoned' };
    const bytes = events.reduce((sum, event) => sum + event.data.byteLength + event.metadata.byteLength, 0);
    if (bytes > MAX_APPEND_BYTES) return { kind: 'too-large', most: MAX_APPEND_BYTES };
    const last = stream.events.length - 1;
    if (!this.meets(name, expected)) {
      const first = expected.kind === 'revision' ? expected.revision + 1 : 0;
      const known = events.every((event, index) => stream.events[first + index]?.id === event.id);
      if (known && expected.kind !== 'stream-exists') return { kind: 'appended', revision: first + events.length - 1 };
      return { kind: 'wrong', actual: last };
    }
    const created = (this.lastCreated = Math.max(this.lastCreated, Date.now()));
    for (const event of events) stream.events.push({ ...event, revision: stream.events.length, created });
    stream.grown.resolve();
    stream.grown = newGate();
    return { kind: 'appended', revision: stream.events.length - 1 };
  }

  /** Resolves when the stream gets longer. */
  grown(name: string): Promise<void> {
    return this.stream(name).grown.promise;
  }

  read(name: string, from: number, count: number): StoredEvent[] {
    const state = this.state(name);
    if (state.kind === 'tombstoned') return [];
    const start = Math.max(from, state.begin);
    return this.stream(name).events.slice(start, start + count);
  }

  state(name: string): { readonly kind: 'there'; readonly begin: number; readonly end: number } | Tombstoned {
    const { events, tombstoned } = this.stream(name);
    if (tombstoned) return { kind: 'tombstoned' };
    const metadata = this.metadata(name);
    const truncated = Math.max(metadata.$tb ?? 0, metadata.$maxCount === undefined ? 0 : events.length - metadata.$maxCount);
    return { kind: 'there', begin: Math.min(truncated, events.length), end: events.length };
  }

  /** As an operator sets it, by an event in the metadata stream. */
  setMetadata(name: string, metadata: Readonly<Record<string, unknown>>): void {
    const data = Buffer.from(JSON.stringify(metadata));
    const event = { id: randomUUID(), type: '$metadata', contentType: 'application/json', data, metadata: new Uint8Array() };
    this.append(`$$${name}`, { kind: 'any' }, [event]);
  }

  delete(name: string): void {
    this.setMetadata(name, { $tb: DELETED });
  }

  tombstone(name: string): void {
    this.stream(name).tombstoned = true;
  }

  /** As a server whose data was put back to an older backup. */
  cutTo(name: string, events: number): void {
    this.stream(name).events.length = events;
  }

  metadata(name: string): { readonly $tb?: number; readonly $maxCount?: number } {
    const newest = name.startsWith('$$') ? undefined : this.byName.get(`$$${name}`)?.events.at(-1);
    return newest === undefined ? {} : (JSON.parse(Buffer.from(newest.data).toString('utf8')) as { $tb?: number });
  }

  private meets(name: string, expected: Expected): boolean {
    const { events } = this.stream(name);
    const deleted = this.metadata(name).$tb === DELETED;
    if (expected.kind === 'any') return true;
    if (expected.kind === 'no-stream') return events.length === 0 || deleted;
    if (expected.kind === 'stream-exists') return events.length > 0 && !deleted;
    return expected.kind === 'revision' && events.length - 1 === expected.revision;
  }

  private stream(name: string): Stream {
    let stream = this.byName.get(name);
    if (stream === undefined) this.byName.set(name, (stream = { events: [], tombstoned: false, grown: newGate() }));
    return stream;
  }
}
