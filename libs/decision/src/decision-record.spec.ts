import * as fc from 'fast-check';
import { canonicalJson } from '#lib/canonical';
import {
  admissible,
  commandDigest,
  decodeRecord,
  encodeRecord,
  MAX_EVENTS,
  MAX_RECORD_BYTES,
  partitionOf,
  RecordTooLarge,
  UnknownEvent,
  upcast,
  type DecisionRecord,
  type EventSchema,
} from '#lib/decision';

const record = (changes: Partial<DecisionRecord> = {}): DecisionRecord => ({
  v: 1,
  stream: 'playthrough/11111111-1111-4111-8111-111111111111',
  expectedVersion: 0,
  previous: null,
  commandId: 'c:22222222-2222-4222-8222-222222222222',
  commandDigest: 'a'.repeat(64),
  eventCount: 1,
  correlationId: '33333333-3333-4333-8333-333333333333',
  causationId: null,
  actor: { id: 'r-abc', role: 'reader' },
  at: 1,
  events: [{ type: 'PlaythroughStarted', v: 1 }],
  ...changes,
});
const bytes = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));

describe('a decision record', () => {
  it('is canonical JSON and reads back as it was written', () => {
    const encoded = encodeRecord(record());
    expect(Buffer.from(encoded).toString()).toBe(canonicalJson(record()));
    expect(decodeRecord(encoded)).toMatchObject({ kind: 'record', record: record() });
  });

  it('holds 1 to 64 events and at most 128 KiB, and is refused before the log otherwise', () => {
    const event = { type: 'E', v: 1 };
    expect(() => encodeRecord(record({ events: [], eventCount: 0 }))).toThrow(RecordTooLarge);
    expect(() => encodeRecord(record({ events: Array.from({ length: MAX_EVENTS + 1 }, () => event), eventCount: 65 }))).toThrow(
      RecordTooLarge,
    );
    expect(() => encodeRecord(record({ events: [{ ...event, text: 'x'.repeat(MAX_RECORD_BYTES) }] }))).toThrow(RecordTooLarge);
  });

  it.each([
    ['bytes that are not UTF-8', Buffer.from([0xff, 0xfe])],
    ['text that is not JSON', bytes('{')],
    ['an array', bytes([])],
    ['a stream without a type', bytes(record({ stream: 'nothing' }))],
    ['a negative version', bytes(record({ expectedVersion: -1 }))],
    ['a previous that is no digest', bytes(record({ previous: 'abc' }))],
    ['a command id of nobody', bytes(record({ commandId: 'x:1' }))],
    ['an event count that lies', bytes(record({ eventCount: 2 }))],
    ['an event without version', bytes({ ...record(), events: [{ type: 'E' }] })],
    ['more bytes than a record may have', Buffer.alloc(MAX_RECORD_BYTES + 1, 32)],
  ])('calls %s undecodable', (_what, raw) => {
    expect(decodeRecord(raw).kind).toBe('undecodable');
  });

  it('tells an envelope of the future from garbage', () => {
    expect(decodeRecord(bytes({ ...record(), v: 2 }))).toMatchObject({ kind: 'unknown-envelope', version: 2 });
  });

  it('answers for any bytes and never throws', () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.json().map(bytes)), (raw) => {
        expect(['record', 'undecodable', 'unknown-envelope']).toContain(decodeRecord(raw).kind);
      }),
    );
  });

  it('belongs to one partition by a fixed hash', () => {
    expect([0, 1, 2, 3].map((n) => partitionOf(`playthrough/${n}`, 12))).toEqual([0, 3, 8, 6]);
    const decoded = decodeRecord(encodeRecord(record()));
    const home = partitionOf(record().stream, 4);
    expect(admissible(decoded, home, 4)).toBe(true);
    expect(admissible(decoded, (home + 1) % 4, 4)).toBe(false);
  });

  it('knows a command by its input and actor', () => {
    const actor = { id: 'r-abc', role: 'reader' as const };
    expect(commandDigest({ b: 1, a: 2 }, actor)).toBe(commandDigest({ a: 2, b: 1 }, actor));
    expect(commandDigest({ a: 1 }, actor)).not.toBe(commandDigest({ a: 1 }, { ...actor, id: 'r-xyz' }));
  });
});

describe('upcasting', () => {
  const catalogue: ReadonlyMap<string, EventSchema> = new Map([
    ['Named', { version: 3, upcasters: [(event) => ({ ...event, v: 2, name: 'first' }), (event) => ({ ...event, v: 3, loud: true })] }],
  ]);

  it('brings an old event to its current version, step by step', () => {
    expect(upcast({ type: 'Named', v: 1 }, catalogue)).toEqual({ type: 'Named', v: 3, name: 'first', loud: true });
  });

  it('refuses types and versions it does not know', () => {
    expect(() => upcast({ type: 'Named', v: 4 }, catalogue)).toThrow(UnknownEvent);
    expect(() => upcast({ type: 'Other', v: 1 }, catalogue)).toThrow(UnknownEvent);
  });
});
