import * as fc from 'fast-check';
import { createMemoryLog, MAX_BATCH_BYTES, SharedReads, type Batch, type EventLog, type ReadOptions } from '#lib/log';

/** Time that stands still until it is told to go on. */
class HandTime {
  private at = 0;
  private readonly waiting = new Map<() => void, number>();
  now = (): number => this.at;
  after(ms: number, callback: () => void): () => void {
    this.waiting.set(callback, this.at + ms);
    return () => void this.waiting.delete(callback);
  }
  pass(ms: number): void {
    this.at += ms;
    for (const [callback, due] of [...this.waiting])
      if (due <= this.at) {
        this.waiting.delete(callback);
        callback();
      }
  }
}

const record = (n: number, bytes = 10) => ({ key: 'playthrough/p', value: Buffer.alloc(bytes, String(n)) });
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A memory log that counts what was read of it. */
function counted(): { readonly log: EventLog; readonly reads: { records: number; open: number } } {
  const log = createMemoryLog({ partitions: 2, clock: { now: () => 1 } });
  const reads = { records: 0, open: 0 };
  async function* read(partition: number, from: number, options?: ReadOptions): AsyncGenerator<Batch> {
    reads.open++;
    try {
      for await (const batch of log.read(partition, from, options)) {
        reads.records += batch.records.length;
        yield batch;
      }
    } finally {
      reads.open--;
    }
  }
  const { partitions } = log;
  return {
    log: {
      partitions,
      append: (partition, records) => log.append(partition, records),
      read,
      end: (partition) => log.end(partition),
      begin: (partition) => log.begin(partition),
      forget: (partition, before) => log.forget(partition, before),
      id: () => log.id(),
      close: () => log.close(),
    },
    reads,
  };
}

/** Takes the next batch when told to. */
function reader(log: EventLog, from: number, options: ReadOptions = {}) {
  const batches = log.read(0, from, options)[Symbol.asyncIterator]();
  return {
    next: async (): Promise<number[]> => {
      const { value, done } = await batches.next();
      return done === true ? [] : (value as Batch).records.map(({ offset }) => offset);
    },
    end: () => batches.return?.(),
  };
}

describe('shared reads', () => {
  it('take from memory what another follower read just now, and go on in the log behind it', async () => {
    const { log, reads } = counted();
    const time = new HandTime();
    const shared = new SharedReads(log, time, time).shared();
    const stop = new AbortController();
    const [quick, slow] = [reader(shared, 0, stop), reader(shared, 0, stop)];
    await log.append(0, [record(0)]);
    expect(await quick.next()).toEqual([0]);
    await log.append(0, [record(1), record(2)]);
    expect(await quick.next()).toEqual([1, 2]);
    expect(await slow.next()).toEqual([0, 1, 2]);
    expect(reads.records).toBe(3);
    await log.append(0, [record(3)]);
    expect(await slow.next()).toEqual([3]);
    expect(await quick.next()).toEqual([3]);
    expect(reads.records).toBe(4);
    const waiting = [quick.next(), slow.next()];
    await settled();
    await log.append(0, [record(4)]);
    expect(await Promise.all(waiting)).toEqual([[4], [4]]);
    stop.abort();
    expect([await quick.next(), await slow.next()]).toEqual([[], []]);
    expect(reads.open).toBe(0);
  });

  it('hold nothing longer than two seconds, nothing that is forgotten, and no more than a batch', async () => {
    const { log, reads } = counted();
    const time = new HandTime();
    const shared = new SharedReads(log, time, time).shared();
    await log.append(0, [record(0), record(1)]);
    const read = async (from: number): Promise<[number[], number]> => {
      const before = reads.records;
      const one = reader(shared, from);
      const offsets = await one.next();
      await one.end();
      return [offsets, reads.records - before];
    };
    expect(await read(0)).toEqual([[0, 1], 2]);
    expect(await read(0)).toEqual([[0, 1], 0]);
    expect(await read(1)).toEqual([[1], 0]);
    time.pass(2_000);
    expect(await read(0)).toEqual([[0, 1], 2]);
    await shared.forget(0, 1);
    await expect(read(0)).rejects.toMatchObject({ name: 'RecordsForgotten' });
    expect(await read(1)).toEqual([[1], 1]);
    const large = 120 * 1024;
    for (let i = 2; i < 12; i++) {
      await log.append(0, [record(i, large)]);
      expect((await read(i))[1]).toBe(1);
    }
    const held = Math.floor(MAX_BATCH_BYTES / large);
    expect((await read(12 - held))[1]).toBe(0);
    expect((await read(11 - held))[1]).toBeGreaterThan(0);
    expect(reads.open).toBe(0);
  });

  it('give every follower every record once and in order, whatever they do and are told', async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('append' as const), count: fc.integer({ min: 1, max: 5 }) }),
      fc.record({ do: fc.constant('read' as const), who: fc.integer({ min: 0, max: 2 }) }),
      fc.record({ do: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 1500 }) }),
      fc.record({ do: fc.constant('restart' as const), who: fc.integer({ min: 0, max: 2 }) }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 60 }),
        fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 3, maxLength: 3 }),
        async (steps, sizes) => {
          const { log, reads } = counted();
          const time = new HandTime();
          const shared = new SharedReads(log, time, time).shared();
          const open = (who: number, from: number) => reader(shared, from, { maxRecords: sizes[who] as number });
          const followers = [0, 1, 2].map((who) => ({ next: 0, reader: open(who, 0) }));
          let end = 0;
          const take = async (follower: (typeof followers)[number], who: number): Promise<void> => {
            const offsets = await follower.reader.next();
            expect(offsets.length).toBeGreaterThan(0);
            expect(offsets.length).toBeLessThanOrEqual(sizes[who] as number);
            for (const offset of offsets) expect(offset).toBe(follower.next++);
          };
          for (const one of steps) {
            if (one.do === 'append') {
              await log.append(
                0,
                Array.from({ length: one.count }, () => record(end++)),
              );
            } else if (one.do === 'pass') time.pass(one.ms);
            else {
              const follower = followers[one.who] as (typeof followers)[number];
              if (one.do === 'restart') {
                await follower.reader.end();
                follower.reader = open(one.who, follower.next);
              } else if (follower.next < end) await take(follower, one.who);
            }
          }
          for (const [who, follower] of followers.entries()) {
            while (follower.next < end) await take(follower, who);
            await follower.reader.end();
          }
          expect(reads.open).toBe(0);
        },
      ),
    );
  });
});
