import {
  commandDigest,
  encodeRecord,
  eventProblem,
  eventShape,
  shapes,
  type DecisionRecord,
  type EventSchema,
  type EventShapes,
  type RecordedEvent,
  type StreamId,
} from '#lib/decision';
import type { LogId, Offset } from '../event-log.js';

/*
 * `log/<id>`: what a log says about itself. Only a log that was copied from another has this stream: its first record seals where it
 * came from, its second says that the copy is whole. Nobody but the copy writes to it.
 */
export const logStream = (id: LogId): StreamId => `log/${id}`;

/** The first record of a copied log. */
export type LogCopied = {
  readonly type: 'LogCopied';
  readonly v: 1;
  /** Id of the log that was copied. */
  readonly from: string;
  /** Where its partitions ended: nothing was written to it after that. */
  readonly ends: readonly Offset[];
  /** The last signed note on the root of its audit trees, as it was published; null where it had none. */
  readonly note: string | null;
  readonly at: number;
};

/** Everything that counted in the old log stands in this one, and counts here. */
export type LogCopyFinished = {
  readonly type: 'LogCopyFinished';
  readonly v: 1;
  readonly from: string;
  readonly streams: number;
  readonly records: number;
  /** Sum (modulo 2^256, hex) of SHA-256 over the head of every stream: the same for both logs, however they are partitioned. */
  readonly headsDigest: string;
  readonly at: number;
};

export type LogEvent = LogCopied | LogCopyFinished;

export const MAX_NOTE = 16 * 1024;
const { about, integer, list, nullable, sha256Shape, text } = shapes;
const id = (what: string) => about(what, text({ max: 190, pattern: /^[!-~]+$/ }));
const at = about('When, in ms since the epoch.', integer());

const versions = {
  LogCopied: eventShape<LogCopied>('LogCopied', 1, 'This log was begun as a copy of another.', {
    from: id('Id of the log that was copied.'),
    ends: about('Where the partitions of that log ended.', list(integer(), 4_096)),
    note: about('The last signed note on the root of its audit trees; null where it had none.', nullable(text({ max: MAX_NOTE }))),
    at,
  }),
  LogCopyFinished: eventShape<LogCopyFinished>('LogCopyFinished', 1, 'Everything that counted in the old log stands in this one.', {
    from: id('Id of the log that was copied.'),
    streams: about('How many streams were copied.', integer()),
    records: about('How many accepted records were copied.', integer()),
    headsDigest: about('Sum modulo 2^256 of SHA-256 over the head of every stream: the same for both logs.', sha256Shape()),
    at,
  }),
};

/** The shape of every version of every event of a log's own stream. */
export const logShapes: EventShapes = new Map(Object.entries(versions).map(([type, known]) => [type, { written: 1, versions: [known] }]));
export const logEvents: ReadonlyMap<string, EventSchema> = new Map(
  Object.keys(versions).map((type) => [type, { version: 1, upcasters: [] }]),
);

/** A record of the log's own stream, as bytes to append. */
export function logRecord(
  log: LogId,
  event: LogEvent,
  place: { readonly expectedVersion: number; readonly previous: string | null; readonly correlationId: string },
): Uint8Array {
  const problem = eventProblem(event as unknown as RecordedEvent, logShapes);
  if (problem !== undefined) throw new Error(`a defect of the copy: ${problem}`);
  const actor = { id: 'log-copy', role: 'system' } as const;
  const { expectedVersion, previous, correlationId } = place;
  const record: DecisionRecord = {
    v: 1,
    stream: logStream(log),
    expectedVersion,
    previous,
    commandId: `s:${event.type === 'LogCopied' ? 'log-copied' : 'log-copy-finished'}:${event.from}`,
    commandDigest: commandDigest({ type: event.type, from: event.from }, actor),
    eventCount: 1,
    correlationId,
    causationId: null,
    actor,
    at: event.at,
    events: [event as unknown as RecordedEvent],
  };
  return encodeRecord(record);
}

/** State of the stream: where the log came from, and whether the copy is whole. */
export type LogState = {
  readonly ends: readonly Offset[];
  readonly finished: boolean;
  readonly from: string;
  readonly note: string | null;
};

/** @throws when the events cannot follow each other */
export function evolveLog(state: LogState | null, event: LogEvent): LogState {
  if (event.type === 'LogCopied') {
    if (state !== null) throw new Error('a log is copied once');
    return { ends: event.ends, finished: false, from: event.from, note: event.note };
  }
  if (state === null || state.finished || state.from !== event.from)
    throw new Error('only a copy that was begun can be finished, and once');
  return { ...state, finished: true };
}
