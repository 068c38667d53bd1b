import fc from 'fast-check';
import type { DecisionRecord } from '#lib/decision';
import { TailIndex, type TailRecord } from './tail-index.js';

const record = (stream: string, offset: number): TailRecord => ({ record: { stream } as DecisionRecord, digest: `d${offset}`, offset });
const STREAMS = ['a', 'b', 'c'];

describe('TailIndex', () => {
  it('holds every record from `from` on of every stream that was not released, whatever is added, pruned and forgotten', () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ add: fc.constantFrom(...STREAMS), size: fc.integer({ min: 1, max: 40 }) }) },
      { weight: 2, arbitrary: fc.record({ prune: fc.integer({ min: 0, max: 40 }) }) },
      { weight: 1, arbitrary: fc.record({ release: fc.constantFrom(...STREAMS) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.integer({ min: 60, max: 600 }), (steps, cap) => {
        const index = new TailIndex(0, cap);
        let model: TailRecord[] = [];
        let next = 0;
        for (const one of steps) {
          if ('add' in one) {
            const added = record(one.add, next++);
            index.add(added, one.size);
            model.push(added);
          } else if ('prune' in one) index.prune(Math.min(one.prune, next));
          else {
            index.release(one.release);
            model = model.filter((known) => known.record.stream !== one.release);
          }
          expect(index.bytes).toBeLessThanOrEqual(cap);
          expect(index.from).toBeLessThanOrEqual(next);
          for (const stream of STREAMS) {
            const expected = model.filter((known) => known.record.stream === stream && known.offset >= index.from);
            expect(index.of(stream, index.from)).toEqual(expected);
          }
        }
      }),
    );
  });

  it('answers only what stands at or above a row’s position', () => {
    const index = new TailIndex(5, 1_000);
    for (const offset of [5, 6, 7]) index.add(record('a', offset), 10);
    expect(index.of('a', 6).map(({ offset }) => offset)).toEqual([6, 7]);
    expect(index.of('b', 5)).toEqual([]);
    index.prune(7);
    expect([index.from, index.of('a', 0).length]).toEqual([7, 1]);
  });
});
