import type { Json } from '#lib/canonical';
import { UnknownEvent, upcast, type DecisionRecord, type RecordedEvent, type StreamId } from '#lib/decision';
import type { LogId, Offset } from '#lib/log';
import { authoringEvents, type StoryEvent } from '#lib/authoring';
import { playthroughEvents, type PlaythroughEvent } from '#lib/playthrough';
import { MAX_NAME, type FeedTypeName } from './feed-types.js';

/** A CloudEvent of the feed, before it is put on a wire. */
export interface FeedEvent {
  readonly type: FeedTypeName;
  readonly id: string;
  readonly source: string;
  /** The stream; absent for heartbeats. */
  readonly subject?: StreamId;
  /** ms since the epoch. */
  readonly time: number;
  readonly data: { readonly [field: string]: Json };
  /** Extension attributes: names of lower-case letters. */
  readonly extensions: { readonly [name: string]: string };
}

/** Where a record stands, as far as its events tell of it. */
export interface Place {
  readonly logId: LogId;
  readonly partition: number;
  readonly offset: Offset;
  /** When the log took the record, ms. */
  readonly time: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What every event of a playthrough tells, but only its first ones record. */
export interface StreamContext {
  readonly storyId: string;
  readonly versionHash: string;
  readonly mode: 'play' | 'preview' | 'what-if';
  /** The reader's mark within the story, never the pseudonym. */
  readonly reader: string;
}

/** Mark of a reader within a story: see `ReaderMarks`. */
export type ReaderMark = (storyId: string, reader: string) => string;

export interface Described {
  readonly events: readonly FeedEvent[];
  /** The stream's context after this record; null: it has none. */
  readonly context: StreamContext | null;
}

/**
 * An event's time is when it was decided, within these ms before the log took it. Not later: a wrong clock must not push the event time of all
 * who read this. Not earlier: a record may wait for the log through an outage, and heartbeats have told of later times meanwhile.
 */
export const DECIDED_WITHIN_MS = 5_000;

const PLAYTHROUGH = 'playthrough/';
const STORY = 'story/';

/** Only these kinds of streams are told of; whatever else the log will hold is nobody's business out there. */
export const isPublic = (stream: StreamId): boolean => stream.startsWith(PLAYTHROUGH) || stream.startsWith(STORY);
/** Whether the stream's events tell more than they record, so that the stream's context is needed. */
export const needsContext = (stream: StreamId): boolean => stream.startsWith(PLAYTHROUGH);

export const sourceOf = (logId: LogId): string => `urn:fabula:log:${logId}`;

/**
 * The public events of an accepted record: one for each recorded event, in order, with the same ids whenever and by whomever they are made.
 * A pure function of the log; total: what cannot be described is told as such.
 * @param context of the stream before this record; not looked at when the record begins its stream
 */
export function feedEvents(record: DecisionRecord, place: Place, context: StreamContext | null, mark: ReaderMark): Described {
  if (!isPublic(record.stream)) return { events: [], context: null };
  let current = record.expectedVersion === 0 ? null : context;
  const shared = {
    source: sourceOf(place.logId),
    subject: record.stream,
    time: Math.min(place.time, Math.max(record.at, place.time - DECIDED_WITHIN_MS)),
  };
  const common = {
    partitionkey: record.stream,
    ...optional('correlationid', record.correlationId),
    ...optional('causationid', record.causationId),
    ...traceOf(place.headers),
  };
  const events = record.events.map((recorded, index): FeedEvent => {
    const event = known(record.stream, recorded);
    if (event !== undefined) current = contextAfter(current, event, mark);
    const { type, data } = event === undefined ? undescribed(recorded, 'unknown-event') : described(record.stream, event, current);
    return {
      type,
      id: `${place.logId}/${place.partition}/${place.offset}/${index}`,
      ...shared,
      data,
      extensions: { ...common, sequence: sequenceOf(record.expectedVersion + index + 1) },
    };
  });
  return { events, context: current };
}

/** The stream's version after the event. As many digits as the largest has, since sequences are compared as text. */
export const sequenceOf = (version: number): string => String(version).padStart(16, '0');

/** The context that the first record of a stream gives, as of the version that was recorded last. */
export function contextOf(first: DecisionRecord, versionHash: string | null, mark: ReaderMark): StreamContext | null {
  if (first.expectedVersion !== 0 || !needsContext(first.stream)) return null;
  let context: StreamContext | null = null;
  for (const recorded of first.events) {
    const event = known(first.stream, recorded);
    if (event !== undefined) context = contextAfter(context, event, mark);
  }
  return context === null || versionHash === null || !HEX_64.test(versionHash) ? context : { ...context, versionHash };
}

function contextAfter(before: StreamContext | null, event: RecordedEvent, mark: ReaderMark): StreamContext | null {
  const { versionHash } = event;
  if (before !== null) return isHash(versionHash) && versionHash !== before.versionHash ? { ...before, versionHash } : before;
  const { storyId, reader } = event;
  if (!isName(storyId) || !isHash(versionHash) || typeof reader !== 'string') return null;
  const about = { storyId, versionHash, reader: mark(storyId, reader.toWellFormed()) };
  if (event.type === 'WhatIfForked') return { ...about, mode: 'what-if' };
  return event.type === 'PlaythroughStarted' ? { ...about, mode: event['preview'] === true ? 'preview' : 'play' } : null;
}

/** The event in its current version; undefined when this build does not know it. */
function known(stream: StreamId, recorded: RecordedEvent): RecordedEvent | undefined {
  try {
    return upcast(recorded, stream.startsWith(PLAYTHROUGH) ? playthroughEvents : authoringEvents);
  } catch (error) {
    if (error instanceof UnknownEvent) return undefined;
    throw error;
  }
}

type Told = Pick<FeedEvent, 'type' | 'data'>;

function described(stream: StreamId, event: RecordedEvent, context: StreamContext | null): Told {
  try {
    if (stream.startsWith(STORY)) return story(event as unknown as StoryEvent);
    if (context === null) return undescribed(event, 'no-beginning');
    return playthrough(event as unknown as PlaythroughEvent, { playthroughId: stream.slice(PLAYTHROUGH.length), ...context });
  } catch (error) {
    // A field that is missing altogether is met as a TypeError.
    if (error instanceof Malformed || error instanceof TypeError) return undescribed(event, 'malformed');
    throw error;
  }
}

/** Fields are picked one by one: what is not named here never leaves. */
function playthrough(event: PlaythroughEvent, about: StreamContext & { readonly playthroughId: string }): Told {
  switch (event.type) {
    case 'PlaythroughStarted':
      return { type: 'fabula.playthrough.started.v1', data: { ...about, turn: 0, passageId: name(event.narrative.passageId) } };
    case 'WhatIfForked':
      return {
        type: 'fabula.playthrough.what-if-forked.v1',
        data: {
          ...about,
          turn: count(event.from.turn),
          passageId: name(event.narrative.passageId),
          fromPlaythroughId: name(event.from.playthroughId),
        },
      };
    case 'ChoiceMade':
    case 'TimedOut':
      return {
        type: event.type === 'ChoiceMade' ? 'fabula.playthrough.choice-made.v1' : 'fabula.playthrough.timed-out.v1',
        data: {
          ...about,
          turn: count(event.turn),
          fromPassageId: name(event.fromPassageId),
          choiceId: name(event.choiceId),
          toPassageId: name(event.toPassageId),
        },
      };
    case 'PlaythroughEnded':
      return {
        type: 'fabula.playthrough.ended.v1',
        data: { ...about, turn: count(event.turn), passageId: name(event.passageId), ending: name(event.ending) },
      };
    case 'Rewound':
      return {
        type: 'fabula.playthrough.rewound.v1',
        data: { ...about, turn: count(event.turn), toTurn: count(event.toTurn), passageId: name(event.narrative.passageId) },
      };
    case 'CheckpointSet':
      return { type: 'fabula.playthrough.checkpoint-set.v1', data: { ...about, turn: count(event.turn) } };
  }
}

function story(event: StoryEvent): Told {
  const about = { storyId: name(event.storyId), versionHash: hash(event.versionHash) };
  switch (event.type) {
    case 'StoryVersionDrafted':
      return { type: 'fabula.story.version-drafted.v1', data: { ...about, format: name(event.format), passages: count(event.passages) } };
    case 'StoryVersionPublished':
      return {
        type: 'fabula.story.version-published.v1',
        data: { ...about, title: title(event.title), replaces: event.replaces === null ? null : hash(event.replaces) },
      };
    case 'StoryVersionRetired':
      return {
        type: 'fabula.story.version-retired.v1',
        data: { ...about, title: title(event.title), current: event.current === null ? null : hash(event.current) },
      };
  }
}

function undescribed({ type, v }: RecordedEvent, reason: 'unknown-event' | 'malformed' | 'no-beginning'): Told {
  const told = { reason, eventVersion: v };
  const data = /^[A-Za-z][A-Za-z0-9]{0,63}$/.test(type) ? { ...told, eventType: type } : told;
  return { type: 'fabula.stream.undescribed.v1', data };
}

/** A field of a known event is not what its type says: somebody wrote to the log past Fabula. */
class Malformed extends Error {}

const HEX_64 = /^[0-9a-f]{64}$/;
const UNPRINTABLE = /[\p{Cc}\p{Cs}]/u;
const isHash = (value: unknown): value is string => typeof value === 'string' && HEX_64.test(value);
const isTitle = (value: unknown): value is string => typeof value === 'string' && value.length <= MAX_NAME && !UNPRINTABLE.test(value);
const isName = (value: unknown): value is string => isTitle(value) && value.length > 0;

/* The types say what these are; the log may hold anything. */
const checked =
  <T>(is: (value: unknown) => value is T) =>
  (value: unknown): T => {
    if (!is(value)) throw new Malformed();
    return value;
  };
const name = checked(isName);
const title = checked(isTitle);
const hash = checked(isHash);
const count = checked((value): value is number => Number.isSafeInteger(value) && (value as number) >= 0);

function optional(attribute: string, value: string | null): { readonly [name: string]: string } {
  return value !== null && /^[\x21-\x7e]{1,200}$/.test(value) ? { [attribute]: value } : {};
}

/** W3C trace context, as far as it is one. */
function traceOf(headers: Place['headers']): { readonly [name: string]: string } {
  const traceparent = headers?.['traceparent'];
  return traceparent !== undefined && /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(traceparent) ? { traceparent } : {};
}
