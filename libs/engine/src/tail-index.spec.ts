import fc from 'fast-check';
import { TailIndex, type RawRecord } from './tail-index.js';

/** What a record counts for beside its bytes. */
const BESIDE = 256;
const raw = (offset: number, size: number): RawRecord => ({ offset, value: Buffer.alloc(size, offset) });
const seen = (records: readonly RawRecord[]): unknown => records.map(({ offset, value }) => [offset, Buffer.from(value).toString('hex')]);
const STREAMS = ['a', 'b', 'c'];

describe('TailIndex', () => {
  it('holds every record from `from` on of every stream that was not released, whatever is added, pruned and forgotten', () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ add: fc.constantFrom(...STREAMS), size: fc.integer({ min: 0, max: 400 }) }) },
      { weight: 2, arbitrary: fc.record({ prune: fc.integer({ min: 0, max: 40 }) }) },
      { weight: 1, arbitrary: fc.record({ release: fc.constantFrom(...STREAMS) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.integer({ min: 500, max: 12_000 }), (steps, cap) => {
        const index = new TailIndex(0, cap);
        let model: { stream: string; record: RawRecord }[] = [];
        let next = 0;
        for (const one of steps) {
          if ('add' in one) {
            const record = raw(next++, one.size);
            index.add(one.add, record);
            model.push({ stream: one.add, record: raw(record.offset, one.size) });
            record.value.fill(0xff); // the reader's bytes are its own again
          } else if ('prune' in one) index.prune(Math.min(one.prune, next));
          else {
            index.release(one.release);
            model = model.filter(({ stream }) => stream !== one.release);
          }
          expect(index.bytes).toBeLessThanOrEqual(cap);
          expect(index.from).toBeLessThanOrEqual(next);
          for (const stream of STREAMS) {
            const expected = model.filter((known) => known.stream === stream && known.record.offset >= index.from);
            expect(seen(index.of(stream, index.from))).toEqual(seen(expected.map(({ record }) => record)));
          }
        }
      }),
    );
  });

  it('answers only what stands at or above a row’s position', () => {
    const index = new TailIndex(5, 1_000);
    for (const offset of [5, 6, 7]) index.add('a', raw(offset, 10));
    expect(index.of('a', 6).map(({ offset }) => offset)).toEqual([6, 7]);
    expect(index.of('b', 5)).toEqual([]);
    index.prune(7);
    expect([index.from, index.of('a', 0).length, index.bytes]).toEqual([7, 1, 10 + BESIDE]);
  });

  it('holds no more memory than it counts and one slab, however large the answers were that the records came from', () => {
    const index = new TailIndex(0, 256 * 1024);
    const held = new Map<ArrayBufferLike, number>();
    for (let offset = 0; offset < 2_000; offset++) {
      const answer = Buffer.alloc(1024 * 1024);
      const size = offset % 50 === 0 ? 20_000 : 1_000 + (offset % 7) * 100;
      index.add(`s${offset}`, { offset, value: answer.subarray(7, 7 + size) });
    }
    for (let offset = 0; offset < 2_000; offset++) {
      for (const { value } of index.of(`s${offset}`, 0)) held.set(value.buffer, value.buffer.byteLength);
    }
    const bytes = [...held.values()].reduce((sum, size) => sum + size, 0);
    expect(held.size).toBeGreaterThan(3);
    expect(index.bytes).toBeGreaterThan(200 * 1024);
    // An eighth of each slab may stay empty.
    expect(bytes).toBeLessThanOrEqual((index.bytes * 8) / 7 + 2 * 64 * 1024);
  });
});
