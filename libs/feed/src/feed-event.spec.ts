import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { CloudEvent, Kafka } from 'cloudevents';
import { storyStream } from '#lib/authoring';
import type { Json } from '#lib/canonical';
import type { DecisionRecord, RecordedEvent } from '#lib/decision';
import { playthroughStream } from '#lib/playthrough';
import { goldenPlays } from '../../playthrough/src/testing/golden-plays.js';
import {
  contextOf,
  FEED_TYPES,
  feedEvents,
  isPublic,
  kafkaMessage,
  readerMarks,
  type FeedEvent,
  type FeedTypeName,
  type StreamContext,
} from './index.js';
import { recordOf } from './testing/feed-fixture.js';

const mark = readerMarks(Buffer.alloc(32, 7));
const place = { logId: 'log-1', partition: 2, offset: 40, time: 1_800_000_000_000 };
const ajv = new Ajv2020({ strict: true, allowUnionTypes: true });
const valid = new Map(Object.entries(FEED_TYPES).map(([type, { data }]) => [type, ajv.compile(data)]));

/** Public events of a stream whose records hold one event each. */
function fed(stream: string, events: readonly object[]): readonly FeedEvent[] {
  let context: StreamContext | null = null;
  return events.flatMap((event, n) => {
    const described = feedEvents(recordOf(stream, n, [event]), { ...place, offset: n }, context, mark);
    context = described.context;
    return described.events;
  });
}
const hash = 'a'.repeat(64);
const versions = [
  {
    type: 'StoryVersionDrafted',
    v: 1,
    storyId: 's',
    versionHash: hash,
    title: 'T',
    at: 1,
    format: 'json',
    lintErrors: 0,
    lintWarnings: 0,
    passages: 3,
    stateHash: hash,
  },
  { type: 'StoryVersionPublished', v: 1, storyId: 's', versionHash: hash, title: 'T', at: 1, replaces: null, stateHash: hash },
  { type: 'StoryVersionRetired', v: 1, storyId: 's', versionHash: hash, title: 'T', at: 1, current: 'b'.repeat(64), stateHash: hash },
];
const golden = (): readonly FeedEvent[] => [
  ...Object.entries(goldenPlays()).flatMap(([id, { events }]) => fed(playthroughStream(id), events)),
  ...fed(storyStream('s'), versions),
];

describe('an event of the feed', () => {
  it('is made for every recorded event of every known type, and fits the schema of its type', () => {
    const events = golden();
    const recorded = Object.values(goldenPlays()).reduce((sum, { events: { length } }) => sum + length, versions.length);
    expect(events).toHaveLength(recorded);
    for (const { type, data } of events) {
      const fits = valid.get(type);
      expect([type, fits?.(data), fits?.errors]).toEqual([type, true, null]);
      // Nothing beyond the schema: it is the whole of what is public.
      expect(Object.keys(data).filter((field) => !(field in (FEED_TYPES[type].data.properties ?? {})))).toEqual([]);
    }
    const told = new Set(events.map(({ type }) => type));
    const untold = (Object.keys(FEED_TYPES) as FeedTypeName[]).filter((type) => !told.has(type));
    expect(untold).toEqual(['fabula.stream.undescribed.v1', 'fabula.feed.heartbeat.v1']);
  });

  it('is a CloudEvent that the published library reads from Kafka and finds valid', () => {
    for (const event of golden()) {
      const { key, value, headers } = kafkaMessage(event);
      const read = Kafka.toEvent({ key: key ?? '', value, headers: { ...headers }, body: value } as never) as CloudEvent<unknown>;
      expect(read.validate()).toBe(true);
      expect([read.id, read.type, read.source, read.subject, read['sequence']]).toEqual([
        event.id,
        event.type,
        'urn:fabula:log:log-1',
        event.subject,
        event.extensions['sequence'],
      ]);
      expect(headers['ce_time']).toBe(read.time);
      expect(read.data).toEqual(event.data);
      expect(Object.keys(event.extensions).every((extension) => /^[a-z0-9]{1,20}$/.test(extension))).toBe(true);
    }
  });

  it('has the same id and bytes whenever it is made, whatever is remembered of the stream', () => {
    const { events } = goldenPlays()['what-if'] as { events: readonly RecordedEvent[] };
    const stream = playthroughStream('what-if');
    const whole = fed(stream, events).map(kafkaMessage);
    const resumed = events.slice(1).flatMap((event, n) => {
      const context = contextOf(recordOf(stream, 0, [events[0] as RecordedEvent]), null, mark);
      return feedEvents(recordOf(stream, n + 1, [event]), { ...place, offset: n + 1 }, context, mark).events;
    });
    expect(resumed.map(kafkaMessage)).toEqual(whole.slice(1));
    expect(new Set(whole.map(({ headers }) => headers['ce_id'])).size).toBe(whole.length);
  });

  it('says whether it counts: plays, previews and what-ifs are told apart in every event', () => {
    const modes = (id: 'playthrough' | 'what-if' | 'preview') =>
      new Set(fed(playthroughStream(id), goldenPlays()[id]?.events ?? []).map(({ data }) => data['mode']));
    expect([modes('playthrough'), modes('what-if'), modes('preview')]).toEqual([
      new Set(['play']),
      new Set(['what-if']),
      new Set(['preview']),
    ]);
  });

  it('counts its stream up in a text that sorts as the numbers do', () => {
    const stream = playthroughStream('p');
    const start = goldenPlays()['playthrough']?.events[0];
    const context = contextOf(recordOf(stream, 0, [start as object]), null, mark);
    const sequences = [8, 9, 98, 99_999, Number.MAX_SAFE_INTEGER - 1].map(
      (version) =>
        feedEvents(recordOf(stream, version, [{ type: 'Unheard', v: 1 }]), place, context, mark).events[0]?.extensions[
          'sequence'
        ] as string,
    );
    expect(sequences[1]).toBe('0000000000000010');
    expect(sequences.toSorted()).toEqual(sequences);
  });

  it('carries correlation, causation and trace when they are what they should be, and nothing else of the headers', () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const made = (record: Partial<DecisionRecord>, headers: Record<string, string>) =>
      feedEvents(recordOf('story/s', 0, versions.slice(0, 1), record), { ...place, headers }, null, mark).events[0]?.extensions;
    expect(made({ correlationId: 'corr-1', causationId: 'c:1' }, { traceparent, baggage: 'user=ann' })).toEqual({
      partitionkey: 'story/s',
      sequence: '0000000000000001',
      correlationid: 'corr-1',
      causationid: 'c:1',
      traceparent,
    });
    expect(made({ correlationId: 'not\nso', causationId: null }, { traceparent: 'rubbish' })).toEqual({
      partitionkey: 'story/s',
      sequence: '0000000000000001',
    });
  });

  it('never says that something was decided later than the log took it, nor more than five seconds earlier, when heartbeats told of later times', () => {
    const at = (decided: number) =>
      feedEvents(recordOf('story/s', 0, versions.slice(0, 1), { at: decided }), place, null, mark).events[0]?.time;
    expect([at(5), at(place.time - 4_000), at(Number.MAX_SAFE_INTEGER)]).toEqual([place.time - 5_000, place.time - 4_000, place.time]);
  });

  it('tells of what it does not know or cannot read that it is there, in its place, and goes on with the rest', () => {
    const stream = playthroughStream('p');
    const [start, choice] = (goldenPlays()['playthrough'] as { events: readonly RecordedEvent[] }).events as [RecordedEvent, RecordedEvent];
    const told = fed(stream, [
      start,
      { type: 'PassageNarrated', v: 1 },
      { ...choice, v: 9 },
      { ...choice, toPassageId: 7 },
      { type: 'Rewound', v: 1 },
      { type: 'a\nb', v: 1 },
      choice,
    ]);
    expect(told.map(({ type, data }) => [type.split('.')[2], data['reason'], data['eventType']])).toEqual([
      ['started', undefined, undefined],
      ['undescribed', 'unknown-event', 'PassageNarrated'],
      ['undescribed', 'unknown-event', 'ChoiceMade'],
      ['undescribed', 'malformed', 'ChoiceMade'],
      ['undescribed', 'malformed', 'Rewound'],
      ['undescribed', 'unknown-event', undefined],
      ['choice-made', undefined, undefined],
    ]);
    expect(told.map(({ extensions }) => Number(extensions['sequence']))).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(fed(stream, [choice]).map(({ data }) => data['reason'])).toEqual(['no-beginning']);
    for (const { type, data } of told) expect([type, valid.get(type)?.(data)]).toEqual([type, true]);
  });

  it('is made of streams of playthroughs and stories only', () => {
    expect(feedEvents(recordOf('subject/r-1', 0, [{ type: 'Erased', v: 1 }]), place, null, mark).events).toEqual([]);
  });

  it('tells nothing of holds, erasures and broken glasses', () => {
    const golden = path.join(__dirname, '../../compliance/src/golden/compliance-v1.json');
    const { events } = JSON.parse(readFileSync(golden, 'utf8')) as { events: readonly RecordedEvent[] };
    expect(events.length).toBeGreaterThan(10);
    expect(isPublic('compliance/main')).toBe(false);
    expect(fed('compliance/main', events)).toEqual([]);
  });

  it('follows a playthrough onto another version', () => {
    const stream = playthroughStream('p');
    const [start, choice] = (goldenPlays()['playthrough'] as { events: readonly RecordedEvent[] }).events as [RecordedEvent, RecordedEvent];
    const other = 'b'.repeat(64);
    const told = fed(stream, [start, { ...choice, versionHash: other }, { type: 'CheckpointSet', v: 1, turn: 1 }]);
    expect(told.map(({ data }) => data['versionHash'])).toEqual([start['versionHash'], other, other]);
    expect(contextOf(recordOf(stream, 0, [start]), other, mark)?.versionHash).toBe(other);
  });
});

describe('what the feed keeps to itself', () => {
  /** The only places whose text is public; whatever stands anywhere else must not come out. */
  const PUBLIC = new Set(
    'type,playthroughId,storyId,versionHash,title,format,replaces,current,fromPassageId,toPassageId,choiceId,passageId,ending,narrative.passageId,from.playthroughId'.split(
      ',',
    ),
  );
  let canaries = 0;
  const poisoned = (value: Json, path = ''): Json => {
    if (typeof value === 'string') return PUBLIC.has(path) ? value : `CANARY-${canaries++}`;
    if (Array.isArray(value)) return value.map((one) => poisoned(one, `${path}[]`));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, poisoned(one, path === '' ? key : `${path}.${key}`)]));
  };

  it('is every text of a record that is not named as public: no reader, seed, variable, draw, offer, label, bookmark or command', () => {
    const actor = { id: 'CANARY-actor', role: 'reader' } as const;
    const plays = [
      ...Object.entries(goldenPlays()).map(([id, { events }]) => [playthroughStream(id), events] as const),
      ['story/s', versions] as const,
    ];
    for (const [stream, events] of plays) {
      let context: StreamContext | null = null;
      for (const [n, event] of events.entries()) {
        const record = recordOf(stream, n, [poisoned(event as unknown as Json) as object], {
          actor,
          commandId: 'c:CANARY',
          causationId: null,
        });
        const described = feedEvents(record, { ...place, headers: { baggage: 'CANARY' } }, context, mark);
        context = described.context;
        for (const one of described.events) {
          expect(one.type).not.toBe('fabula.stream.undescribed.v1');
          expect(JSON.stringify(kafkaMessage(one))).not.toContain('CANARY');
        }
      }
    }
    expect(canaries).toBeGreaterThan(150);
  });

  it('is who a reader is: marks differ by story and by key, and do not hold the pseudonym', () => {
    const marks = [mark('a', 'r-ann'), mark('b', 'r-ann'), mark('a', 'r-bob'), readerMarks(Buffer.alloc(32, 8))('a', 'r-ann')];
    expect(new Set(marks).size).toBe(4);
    expect(marks.every((one) => /^[\w-]{22}$/.test(one))).toBe(true);
    expect(mark('a', 'r-ann')).toBe(marks[0]);
  });
});
