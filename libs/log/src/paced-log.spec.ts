import { createMemoryLog, PacedReads, type Batch, type EventLog } from '#lib/log';

/** Timers that fire only when told. */
class HandTimers {
  readonly waiting = new Set<() => void>();
  after(_ms: number, callback: () => void): () => void {
    this.waiting.add(callback);
    return () => void this.waiting.delete(callback);
  }
  fire(): void {
    for (const callback of [...this.waiting]) {
      this.waiting.delete(callback);
      callback();
    }
  }
}

const record = (n: number) => ({ key: 'playthrough/p', value: Buffer.from(String(n)) });
const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

function following(log: EventLog, signal: AbortSignal): { readonly sizes: number[]; readonly done: Promise<void> } {
  const sizes: number[] = [];
  const done = (async () => {
    for await (const batch of log.read(0, 0, { signal }) as AsyncIterable<Batch>) sizes.push(batch.records.length);
  })();
  return { sizes, done };
}

describe('paced reads', () => {
  const stop = new AbortController();
  const timers = new HandTimers();
  const log = createMemoryLog({ partitions: 1, clock: { now: () => 1 } });
  const pace = new PacedReads(timers, 50);
  const reader = following(pace.of(log), stop.signal);

  it('take together what arrives during a pause', async () => {
    await log.append(0, [record(0)]);
    await settled();
    expect(reader.sizes).toEqual([1]);
    await log.append(0, [record(1)]);
    await log.append(0, [record(2), record(3)]);
    await settled();
    expect(reader.sizes).toEqual([1]);
    timers.fire();
    await settled();
    expect(reader.sizes).toEqual([1, 3]);
  });

  it('end a pause when somebody waits', async () => {
    await log.append(0, [record(4)]);
    await settled();
    expect(reader.sizes).toEqual([1, 3]);
    pace.hurry(0);
    await settled();
    expect(reader.sizes).toEqual([1, 3, 1]);
  });

  it('do not hold up a reader that wants a range, nor one with a backlog', async () => {
    const ranged: number[] = [];
    for await (const batch of pace.of(log).read(0, 0, { upTo: 5, maxRecords: 2 })) ranged.push(batch.records.length);
    expect(ranged).toEqual([2, 2, 1]);
    pace.hurry(0);
    await settled();
    await log.append(
      0,
      Array.from({ length: 300 }, (_, n) => record(n)),
    );
    await settled();
    await log.append(0, [record(0)]);
    await settled();
    expect(reader.sizes).toEqual([1, 3, 1, 300, 1]);
  });

  it('end at once when the reader stops', async () => {
    expect(timers.waiting.size).toBe(1);
    stop.abort();
    await reader.done;
    expect(timers.waiting.size).toBe(0);
  });
});
