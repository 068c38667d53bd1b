import { violations } from './checks.js';
import { World, type Plant } from './world.js';

export interface SeedResult {
  readonly seed: number;
  /** Empty: all invariants held. */
  readonly violations: readonly string[];
  readonly counts: ReadonlyMap<string, number>;
}

/** One whole simulated history and its checks; the same seed always gives the same result. */
export async function runSeed(seed: number, plant?: Plant): Promise<SeedResult> {
  const world = new World(seed, plant);
  try {
    await world.run();
    return { seed, violations: await violations(world), counts: world.history.counts };
  } catch (error) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { seed, violations: [`the run broke off: ${message}`], counts: world.history.counts };
  }
}

export function addCounts(total: Map<string, number>, counts: ReadonlyMap<string, number>): void {
  for (const [what, count] of counts) total.set(what, (total.get(what) ?? 0) + count);
}

export function replayHint(seed: number): string {
  return `replay it: FABULA_TEST_SEED=${seed} npx jest test/simulation/simulation`;
}
