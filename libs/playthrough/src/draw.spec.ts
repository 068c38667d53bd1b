import * as fc from 'fast-check';
import { drawInt, drawValue } from './draw.js';

const SEED = '000102030405060708090a0b0c0d0e0f';

describe('draws', () => {
  // The numbers were computed by another implementation (Python's hashlib) from the description in draw.ts.
  it('give the results of the test vector, for ever', () => {
    expect(Array.from({ length: 12 }, (_, n) => drawInt(SEED, 'die', n, 1, 6))).toEqual([4, 2, 3, 5, 6, 5, 1, 3, 6, 6, 2, 1]);
    expect(drawInt(SEED, 'wide', 0, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)).toBe(2839809702757243);
    // Here the first 64-bit number is refused: taking it would favour low results.
    expect(drawInt(SEED, 'wide', 3258, Number.MIN_SAFE_INTEGER, 8_989_624_231_804_913)).toBe(-3768418246527479);
    expect(drawInt('f'.repeat(32), 'die', 0, 1, 1_000_000)).toBe(79905);
  });

  it('stay within their range and depend on nothing but their key', () => {
    const bound = fc.maxSafeInteger();
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.nat(), bound, bound, (seed, id, n, a, b) => {
        const [min, max] = a < b ? [a, b] : [b, a];
        const result = drawInt(seed, id, n, min, max);
        expect(Number.isSafeInteger(result) && result >= min && result <= max).toBe(true);
        expect(drawInt(seed, id, n, min, max)).toBe(result);
      }),
    );
  });

  it('are uniform: each face of a die falls as often as chance allows', () => {
    const throws = 12_000;
    const counts = [0, 0, 0, 0, 0, 0];
    for (let n = 0; n < throws; n++) counts[drawInt(SEED, 'die', n, 0, 5)] = (counts[drawInt(SEED, 'die', n, 0, 5)] ?? 0) + 1;
    const expected = throws / 6;
    const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    // 5 degrees of freedom: 20.5 is passed once in a thousand; the draws are fixed, so this cannot flicker.
    expect(chiSquare).toBeLessThan(20.5);
  });

  it('differ by seed, by id and by counter', () => {
    const results = new Set<number>();
    for (const seed of ['a', 'b']) for (const id of ['x', 'y']) for (let n = 0; n < 50; n++) results.add(drawInt(seed, id, n, 0, 2 ** 50));
    expect(results.size).toBe(200);
  });

  it('fit the variable: ints within both ranges, bools, members of enums, nothing for sets or empty ranges', () => {
    const key = { seed: SEED, id: 'd', n: 0 };
    const int = { type: 'int', public: true, min: 0, max: 10, default: 0 } as const;
    for (let n = 0; n < 50; n++) {
      const result = drawValue(int, { ...key, n }, { min: 8, max: 99 });
      expect([8, 9, 10]).toContain(result);
    }
    expect(drawValue(int, key, { min: 11 })).toBeUndefined();
    expect(drawValue(int, key, { min: 5, max: 4 })).toBeUndefined();
    expect([true, false]).toContain(drawValue({ type: 'bool', public: true, default: false }, key, {}));
    expect(['a', 'b']).toContain(drawValue({ type: 'enum', public: true, values: ['a', 'b'], default: 'a' }, key, {}));
    expect(drawValue({ type: 'set', public: true, values: ['a'], default: [] }, key, {})).toBeUndefined();
  });
});
