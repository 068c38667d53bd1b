import { Sampled } from './sampled.js';

/** A clock and timers that a test moves. */
function handTime(): {
  readonly clock: { now(): number };
  readonly timers: { after(ms: number, work: () => void): () => void };
  pass(ms: number): void;
} {
  let now = 0;
  const waiting = new Map<() => void, number>();
  return {
    clock: { now: () => now },
    timers: {
      after: (ms, work) => {
        waiting.set(work, now + ms);
        return () => void waiting.delete(work);
      },
    },
    pass(ms) {
      now += ms;
      for (const [work, at] of waiting) if (at <= now && waiting.delete(work)) work();
    },
  };
}

describe('what a scrape asks the database', () => {
  it('is asked once for all scrapes of five seconds', async () => {
    const time = handTime();
    let asked = 0;
    const sampled = new Sampled(() => Promise.resolve(++asked), time.clock, time.timers);
    expect(await Promise.all([sampled.get(), sampled.get()])).toEqual([1, 1]);
    time.pass(4_999);
    expect(await sampled.get()).toBe(1);
    time.pass(1);
    expect(await sampled.get()).toBe(2);
  });

  it('is left out when no answer comes within a second, and one question stays open at most', async () => {
    const time = handTime();
    let asked = 0;
    let answer = (_value: string): void => undefined;
    const sampled = new Sampled(
      () => {
        asked++;
        return new Promise<string>((resolve) => (answer = resolve));
      },
      time.clock,
      time.timers,
    );
    for (let scrape = 0; scrape < 3; scrape++) {
      const got = sampled.get();
      time.pass(1_000);
      expect(await got).toBeUndefined();
    }
    expect(asked).toBe(1);
    answer('late');
    const got = sampled.get();
    expect(await got).toBe('late');
  });

  it('is left out when it fails, and asked again', async () => {
    const time = handTime();
    const answers = [Promise.reject(new Error('no database')), Promise.resolve(7)];
    const sampled = new Sampled(() => answers.shift() as Promise<number>, time.clock, time.timers);
    expect([await sampled.get(), await sampled.get()]).toEqual([undefined, 7]);
  });
});
