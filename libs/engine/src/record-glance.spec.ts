import fc from 'fast-check';
import { canonicalJson } from '#lib/canonical';
import { decodeRecord, encodeRecord, type DecisionRecord } from '#lib/decision';
import { streamAtEnd } from './record-glance.js';

const HASH = 'a'.repeat(64);
const record = (more: Partial<DecisionRecord> = {}): DecisionRecord => ({
  v: 1,
  stream: 'playthrough/p-1',
  expectedVersion: 3,
  previous: HASH,
  commandId: 'c:1',
  commandDigest: HASH,
  eventCount: 1,
  correlationId: 'x',
  causationId: null,
  actor: { id: 'r-one', role: 'reader' },
  at: 1,
  events: [{ type: 'ChoiceMade', v: 1, turn: 1 }],
  ...more,
});

/** What an answer promises about these bytes. */
function keepsItsWord(bytes: Uint8Array): void {
  const stream = streamAtEnd(bytes);
  if (stream === undefined) return;
  const decoded = decodeRecord(bytes);
  if (decoded.kind !== 'undecodable') expect(decoded).toMatchObject({ kind: 'record', record: { stream, v: 1 } });
}

const printable = fc.stringMatching(/^[!-~]{1,200}$/);

describe('The stream at the end of a record', () => {
  it('is found in what Fabula writes, unless its id holds a quote or a backslash', () => {
    expect(streamAtEnd(encodeRecord(record()))).toBe('playthrough/p-1');
    fc.assert(
      fc.property(fc.constantFrom('playthrough', 'story', 'x'.repeat(32)), printable, (type, id) => {
        const stream = `${type}/${id}`;
        expect(streamAtEnd(encodeRecord(record({ stream })))).toBe(/["\\]/.test(id) ? undefined : stream);
      }),
    );
  });

  it('is never another than decoding finds, whatever stands in the record before it', () => {
    const trap = fc.constantFrom('","v":1}', ',"stream":"playthrough/other","v":1}', '\\', '"', '\\"', '}', '{', '\ufeff');
    const words = fc.array(fc.oneof(trap, fc.string({ maxLength: 5 })), { maxLength: 6 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(words, words, fc.constantFrom(1, 2, 7, '1', null), (field, id, v) => {
        const { stream, ...others } = record({ correlationId: field.toWellFormed() });
        const whole = canonicalJson({ ...others, stream: `playthrough/${id.toWellFormed()}`, v });
        keepsItsWord(Buffer.from(whole));
        keepsItsWord(Buffer.from(`${whole.slice(0, -1)},"another\\"stream":"${stream}-2","v":1}`));
        // Members twice, and members of an inner object that stands last.
        keepsItsWord(Buffer.from(`${whole.slice(0, -1)},"stream":"${id.toWellFormed()}","v":1}`));
        keepsItsWord(Buffer.from(`{"stream":"${stream}","v":2,"w":${whole}`));
        keepsItsWord(Buffer.from(`{"stream":"${stream}","v":2,"w":${whole}}`));
        keepsItsWord(Buffer.from(JSON.stringify({ v: 2, text: `${field},"stream":"${stream}","v":1}` })));
      }),
      { numRuns: 300 },
    );
  });

  it('is never another than decoding finds, whichever bytes were damaged', () => {
    const good = encodeRecord(record());
    const damage = fc.record({
      at: fc.oneof(fc.nat(good.length - 1), fc.integer({ min: good.length - 45, max: good.length - 1 })),
      byte: fc.oneof(fc.nat(255), fc.constantFrom(...Buffer.from('"\\{},:1 '))),
    });
    fc.assert(
      fc.property(fc.array(damage, { maxLength: 3 }), fc.nat(good.length), (damages, length) => {
        const bytes = Buffer.from(good);
        for (const { at, byte } of damages) bytes[at] = byte;
        keepsItsWord(bytes);
        keepsItsWord(bytes.subarray(length));
        keepsItsWord(bytes.subarray(0, length));
      }),
      { numRuns: 1_000 },
    );
  });

  it('is not looked for in a newer envelope, in other bytes, or beyond their beginning', () => {
    const text = Buffer.from(encodeRecord(record())).toString();
    const none = [
      `${text.slice(0, -2)}2}`,
      `${text} `,
      '',
      '}',
      '","v":1}',
      ',"stream":"","v":1}',
      `,"stream":"${'x'.repeat(300)}","v":1}`,
    ];
    expect(none.map((one) => streamAtEnd(Buffer.from(one)))).toEqual(none.map(() => undefined));
  });
});
