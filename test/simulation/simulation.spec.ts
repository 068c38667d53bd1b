import { addCounts, replayHint, runSeed } from './run-seed.js';
import { runInProcesses } from './long-run.js';

/*
 * Issue row 11. Short: 3,000 seeds here. FABULA_TEST_LONG: 500,000 in two processes, resumable (see long-run.ts).
 * FABULA_TEST_SEED=n runs one seed; FABULA_TEST_SEEDS=n another number of them.
 */
const LONG = process.env['FABULA_TEST_LONG'] !== undefined;
const ONE = process.env['FABULA_TEST_SEED'];
const SEEDS = Number(process.env['FABULA_TEST_SEEDS'] ?? (LONG ? 500_000 : 3_000));
const MINUTE = 60_000;

/** What must have happened over all seeds, or the simulation tested nothing: at least this often per 1,000 seeds. */
const AT_LEAST_PER_1000 = {
  accepted: 5_000,
  'accepted duplicate': 500,
  'answered COMMAND_REUSED': 100,
  'answered OUTCOME_UNKNOWN': 20,
  'answered nothing': 500,
  'rejected TURN_STALE': 1_000,
  'verdict conflict': 100,
  'verdict duplicate': 500,
  'append late': 100,
  'append lost': 100,
  'append unanswered': 100,
  'append doubled': 100,
  'fault kill': 300,
  'fault pause': 300,
  'fault clock': 100,
  'fault kill during an append': 100,
  'fault pause during an append': 100,
  'accepted after the last fault': 500,
  'event TimedOut': 50,
  'event Rewound': 100,
  'event WhatIfForked': 50,
  'event CheckpointSet': 100,
  'event PlaythroughEnded': 20,
};

function expectEnough(counts: ReadonlyMap<string, number>, seeds: number): void {
  for (const [what, least] of Object.entries(AT_LEAST_PER_1000)) {
    expect({ [what]: (counts.get(what) ?? 0) >= (least * seeds) / 1_000 }).toEqual({ [what]: true });
  }
}

function table(counts: ReadonlyMap<string, number>): string {
  return [...counts]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([what, count]) => `  ${what.padEnd(28)} ${count}`)
    .join('\n');
}

async function runHere(seeds: readonly number[]): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>();
  for (const seed of seeds) {
    const result = await runSeed(seed);
    if (result.violations.length > 0) {
      throw new Error(`seed ${seed} breaks an invariant; ${replayHint(seed)}\n  ${result.violations.slice(0, 10).join('\n  ')}`);
    }
    addCounts(counts, result.counts);
  }
  return counts;
}

describe('Clients, two engines on one log, projector and auditor', () => {
  it('do the same thing again when the same seed runs again', async () => {
    for (const seed of [3, 40]) {
      const [first, second] = [await runSeed(seed), await runSeed(seed)];
      expect([...second.counts]).toEqual([...first.counts]);
      expect(first.counts.get('accepted')).toBeGreaterThan(0);
    }
  });

  it(
    'keep every invariant whatever fails, seed after seed',
    async () => {
      const one = ONE === undefined ? undefined : Number(ONE);
      const here = one === undefined ? Array.from({ length: SEEDS }, (_, i) => i + 1) : [one];
      const counts = LONG && one === undefined ? await runInProcesses(SEEDS) : await runHere(here);
      process.stdout.write(`${here.length} seeds\n${table(counts)}\n`);
      if (one === undefined) expectEnough(counts, SEEDS);
    },
    LONG ? 24 * 60 * MINUTE : 10 * MINUTE,
  );
});
