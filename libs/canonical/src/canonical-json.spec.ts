import canonicalize from 'canonicalize';
import * as fc from 'fast-check';
import { canonicalJson, MAX_CANONICAL_DEPTH, NotCanonical } from '#lib/canonical';

const jsonOfIntegers = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.string({ unit: 'grapheme' }),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(fc.string(), tie('value'), { maxKeys: 5 }),
  ),
})).value;

describe('canonical JSON', () => {
  it('equals an independent RFC 8785 implementation on every JSON value of integers', () => {
    fc.assert(
      fc.property(jsonOfIntegers, (value) => {
        expect(canonicalJson(value)).toBe(canonicalize(value));
      }),
      { numRuns: 500 },
    );
  });

  it('reads back as the value it was written from', () => {
    fc.assert(
      fc.property(jsonOfIntegers, (value) => {
        expect(canonicalJson(JSON.parse(canonicalJson(value)))).toBe(canonicalJson(value));
      }),
    );
  });

  it('sorts keys by UTF-16 code units, as RFC 8785 §3.2.3 shows', () => {
    expect(canonicalJson({ '\u20ac': 1, '\r': 2, '\ufb33': 3, '1': 4, '\ud83d\ude00': 5, '\u0080': 6, '\u00f6': 7 })).toBe(
      '{"\\r":2,"1":4,"\u0080":6,"\u00f6":7,"\u20ac":1,"\ud83d\ude00":5,"\ufb33":3}',
    );
  });

  it.each([
    ['undefined', { a: undefined }, 'a'],
    ['NaN', { a: [1, Number.NaN] }, 'a[1]'],
    ['a fraction', 0.5, ''],
    ['an unsafe integer', 2 ** 53, ''],
    ['a lone surrogate', { a: { b: '\ud800' } }, 'a.b'],
    ['a lone surrogate as a key', { '\udc00': 1 }, ''],
    ['a Date', { at: new Date(0) }, 'at'],
    ['a Map', new Map(), ''],
    ['a function', { f: () => 1 }, 'f'],
    ['a bigint', 1n, ''],
  ])('refuses %s and says where it stands', (_what, value, path) => {
    const refusal = () => canonicalJson(value);
    expect(refusal).toThrow(NotCanonical);
    try {
      refusal();
    } catch (error) {
      expect((error as NotCanonical).path).toBe(path);
    }
  });

  it('refuses nesting beyond its bound instead of exhausting the stack', () => {
    let deep: unknown = 0;
    for (let i = 0; i < 100_000; i++) deep = [deep];
    expect(() => canonicalJson(deep)).toThrow(NotCanonical);
    let allowed: unknown = 0;
    for (let i = 0; i < MAX_CANONICAL_DEPTH; i++) allowed = [allowed];
    expect(canonicalJson(allowed)).toHaveLength(2 * MAX_CANONICAL_DEPTH + 1);
  });

  it('keeps a key named __proto__ as data', () => {
    expect(canonicalJson(JSON.parse('{"__proto__":1}'))).toBe('{"__proto__":1}');
  });
});
