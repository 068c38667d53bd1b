import type { Batch, EventLog } from './event-log.js';
import { createMemoryLog } from './memory/memory-log.js';
import { OldestWaiting } from './oldest-waiting.js';

const HOUR_MS = 3_600_000;

/** Timers that run out when a test says so. */
function handTimers(): { after(ms: number, callback: () => void): () => void; runOut(): void; waiting(): number } {
  const due = new Set<() => void>();
  return {
    after: (_ms, callback) => {
      due.add(callback);
      return () => void due.delete(callback);
    },
    runOut: () => due.forEach((callback) => due.delete(callback) && callback()),
    waiting: () => due.size,
  };
}

function bench(): {
  readonly clock: { time: number; now(): number };
  readonly timers: ReturnType<typeof handTimers>;
  readonly log: EventLog;
  put(count: number): Promise<number>;
} {
  const clock = { time: 1_800_000_000_000, now: () => clock.time };
  const log = createMemoryLog({ partitions: 2, clock });
  const put = (count: number): Promise<number> =>
    log.append(
      1,
      Array.from({ length: count }, () => ({ key: 'x', value: Buffer.from('{}') })),
    );
  return { clock, timers: handTimers(), log, put };
}

describe('the lag of a role', () => {
  it('is the age of the first record that it has not taken, however long nothing came before that', async () => {
    const { clock, timers, log, put } = bench();
    const oldest = new OldestWaiting(log, clock, timers);
    await put(3);
    expect(await oldest.lagMs(1, 3, 3)).toBe(0);
    clock.time += HOUR_MS;
    await put(1);
    clock.time += 20;
    await put(1);
    clock.time += 5;
    expect([await oldest.lagMs(1, 3, 5), await oldest.lagMs(1, 4, 5), await oldest.lagMs(1, 5, 5)]).toEqual([25, 5, 0]);
    // A role that never took anything is as late as the beginning of the log is old.
    expect(await oldest.lagMs(1, 0, 5)).toBe(HOUR_MS + 25);
    expect(timers.waiting()).toBe(0);
  });

  it('asks the log once for each record, whoever waits for it, and keeps only some of what it heard', async () => {
    const { clock, timers, log, put } = bench();
    await put(1_000);
    await put(2);
    const asked: number[] = [];
    const counting = Object.create(log) as EventLog;
    counting.read = (partition, from, options) => {
      asked.push(from);
      return log.read(partition, from, options);
    };
    const oldest = new OldestWaiting(counting, clock, timers);
    const at = (offset: number): Promise<number> => oldest.lagMs(1, offset, 1_002);
    await Promise.all([at(7), at(7), at(8)]);
    clock.time += 10;
    expect(await at(7)).toBe(10);
    expect(asked).toEqual([7, 8]);
    for (let offset = 0; offset < 1_002; offset++) await at(offset);
    expect(asked.length).toBe(1_002);
    await at(7);
    expect(asked.length).toBe(1_003);
  });

  it('is the age of the first record that is left where the one that it would take was forgotten', async () => {
    const { clock, timers, log, put } = bench();
    const oldest = new OldestWaiting(log, clock, timers);
    await put(2);
    clock.time += HOUR_MS;
    await put(1);
    await log.forget(1, 2);
    clock.time += 40;
    expect([await oldest.lagMs(1, 0, 3), await oldest.lagMs(1, 1, 3), await oldest.lagMs(1, 2, 3)]).toEqual([40, 40, 40]);
    await log.forget(1, 3);
    const nothingLeft = oldest.lagMs(1, 0, 3);
    for (let turns = 0; turns < 50; turns++) await Promise.resolve();
    timers.runOut();
    expect(await nothingLeft).toBe(0);
    clock.time += 7;
    const later = oldest.lagMs(1, 0, 3);
    for (let turns = 0; turns < 50; turns++) await Promise.resolve();
    timers.runOut();
    expect(await later).toBe(7);
    expect(timers.waiting()).toBe(0);
  });

  it('is at least the time since it was first asked for while the log fails or shows nothing in time, and exact again afterwards', async () => {
    const { clock, timers, log, put } = bench();
    await put(2);
    clock.time += HOUR_MS;
    let mode: 'fails' | 'hangs' | 'works' = 'fails';
    const troubled = Object.create(log) as EventLog;
    const answers: (() => void)[] = [];
    troubled.read = async function* (partition, from, options): AsyncGenerator<Batch> {
      if (mode === 'fails') throw new Error('no broker');
      if (mode === 'hangs') await new Promise<void>((resolve) => answers.push(resolve));
      yield* log.read(partition, from, options);
    };
    const oldest = new OldestWaiting(troubled, clock, timers);
    expect(await oldest.lagMs(1, 0, 2)).toBe(0);
    clock.time += 700;
    expect(await oldest.lagMs(1, 0, 2)).toBe(700);
    mode = 'hangs';
    clock.time += 50;
    const hanging = oldest.lagMs(1, 0, 2);
    await Promise.resolve();
    timers.runOut();
    expect(await hanging).toBe(750);
    // Passed: what comes next has not waited as long.
    const next = oldest.lagMs(1, 1, 2);
    await Promise.resolve();
    timers.runOut();
    expect(await next).toBe(0);
    answers.forEach((answer) => answer());
    mode = 'works';
    await new Promise((resolve) => setImmediate(resolve));
    clock.time += 3;
    expect(await oldest.lagMs(1, 0, 2)).toBe(HOUR_MS + 753);
  });
});
