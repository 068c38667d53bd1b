import type { Sample, Side } from './rounds.js';

/** One playthrough as one of the sides knows it: `next(0)` starts it, `next(n)` makes its n-th choice. */
export interface Player {
  next(turn: number): Promise<void>;
}

export interface DriveOptions {
  readonly writers: number;
  /** Commands per playthrough, the start among them; then the writer opens another. */
  readonly commands: number;
  readonly ms: number;
}

export interface Driven extends Sample {
  /** Playthroughs begun. */
  readonly playthroughs: number;
}

/** Concurrent writers, each with one command under way at a time, for a time. Value: commands per second. */
export async function drive(open: () => Player, { writers, commands, ms }: DriveOptions): Promise<Driven> {
  const latencies: number[] = [];
  let playthroughs = 0;
  const begun = performance.now();
  const until = begun + ms;
  const write = async (): Promise<void> => {
    for (;;) {
      const player = open();
      playthroughs++;
      for (let turn = 0; turn < commands; turn++) {
        const sent = performance.now();
        await player.next(turn);
        const answered = performance.now();
        latencies.push(answered - sent);
        if (answered >= until) return;
      }
    }
  };
  await Promise.all(Array.from({ length: writers }, write));
  const seconds = (performance.now() - begun) / 1000;
  return { value: latencies.length / seconds, operations: latencies.length, latencies, playthroughs };
}

/** A side of `drive` for so many seconds a round, fewer to warm up; `acknowledged` is told how many commands were, after each round. */
export function drivenSide(
  seconds: number,
  load: Omit<DriveOptions, 'ms'>,
  open: () => Player,
  acknowledged: (operations: number) => void,
): Side {
  return async (round) => {
    const driven = await drive(open, { ...load, ms: 1000 * (round === 0 ? Math.min(2, seconds) : seconds) });
    acknowledged(driven.operations);
    return driven;
  };
}

/** Concurrent workers over a fixed list, each item once. Value: items per second. */
export async function driveEach<T>(items: readonly T[], workers: number, work: (item: T) => Promise<void>): Promise<Sample> {
  const latencies: number[] = [];
  let at = 0;
  const begun = performance.now();
  const run = async (): Promise<void> => {
    for (let item = items[at++]; item !== undefined; item = items[at++]) {
      const sent = performance.now();
      await work(item);
      latencies.push(performance.now() - sent);
    }
  };
  await Promise.all(Array.from({ length: workers }, run));
  return { value: items.length / ((performance.now() - begun) / 1000), operations: items.length, latencies };
}
