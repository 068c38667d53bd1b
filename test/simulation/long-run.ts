import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { addCounts, replayHint, runSeed } from './run-seed.js';

/*
 * Hundreds of thousands of seeds: two processes, each with its own half (even and odd seeds) and its own state file, so that a run that was
 * broken off goes on where it stood. Delete `.fabula/test-long/simulation-*.json` to begin again.
 */

const PROCESSES = 2;
const FOLDER = join('.fabula', 'test-long');
const SAVE_EVERY = 200;
const REPORT_MS = 30_000;

interface Progress {
  /** Seeds of this half that are done. */
  readonly done: number;
  readonly counts: { readonly [what: string]: number };
  readonly failed?: string;
}

const fileOf = (half: number, seeds: number): string => join(FOLDER, `simulation-${seeds}-${half}-of-${PROCESSES}.json`);

function load(file: string): Progress {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Progress;
  } catch {
    // No file yet, or one that was cut off: this half begins again.
    return { done: 0, counts: {} };
  }
}

function save(file: string, progress: Progress): void {
  writeFileSync(`${file}.new`, JSON.stringify(progress));
  renameSync(`${file}.new`, file);
}

/** One half of the seeds, in this process: called by long-run.process.ts. */
export async function runHalf(half: number, seeds: number): Promise<void> {
  mkdirSync(FOLDER, { recursive: true });
  const file = fileOf(half, seeds);
  const before = load(file);
  const counts = new Map(Object.entries(before.counts));
  let { done } = before;
  for (let seed = 1 + half + done * PROCESSES; seed <= seeds; seed += PROCESSES) {
    const result = await runSeed(seed);
    if (result.violations.length > 0) {
      const failed = `seed ${seed} breaks an invariant; ${replayHint(seed)}\n  ${result.violations.slice(0, 10).join('\n  ')}`;
      save(file, { done, counts: Object.fromEntries(counts), failed });
      throw new Error(failed);
    }
    addCounts(counts, result.counts);
    if (++done % SAVE_EVERY === 0) save(file, { done, counts: Object.fromEntries(counts) });
  }
  save(file, { done, counts: Object.fromEntries(counts) });
}

/** All seeds; prints progress and the time left. @throws with the failing seed and how to replay it. */
export async function runInProcesses(seeds: number): Promise<ReadonlyMap<string, number>> {
  const halves = Array.from({ length: PROCESSES }, (_, half) => half);
  const progress = (): readonly Progress[] => halves.map((half) => load(fileOf(half, seeds)));
  const total = (): number => progress().reduce((sum, { done }) => sum + done, 0);
  compile();
  const begun = { at: performance.now(), done: total() };
  const report = setInterval(() => {
    const done = total();
    const perSecond = ((done - begun.done) * 1_000) / (performance.now() - begun.at);
    const left = perSecond > 0 ? `${Math.ceil((seeds - done) / perSecond / 60)} min left` : 'no estimate yet';
    process.stderr.write(`simulation: ${done} of ${seeds} seeds, ${perSecond.toFixed(0)} per second, ${left}\n`);
  }, REPORT_MS);
  try {
    await Promise.all(halves.map((half) => startHalf(half, seeds)));
  } finally {
    clearInterval(report);
  }
  const counts = new Map<string, number>();
  for (const half of progress()) addCounts(counts, new Map(Object.entries(half.counts)));
  return counts;
}

/** Compiled code runs a seed in half the time that it takes under jest. */
function compile(): void {
  const tsc = join('node_modules', 'typescript-7', 'bin', 'tsc');
  const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', join('test', 'simulation')], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`the simulation does not compile:\n${stdout}`);
}

function startHalf(half: number, seeds: number): Promise<void> {
  const program = join('dist', 'test', 'simulation', 'long-run.process.js');
  const child = spawn(process.execPath, [program, String(half), String(seeds)], { stdio: 'ignore' });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      if (code === 0) return resolve();
      reject(new Error(load(fileOf(half, seeds)).failed ?? `the process of half ${half} ended with ${code ?? signal}`));
    });
  });
}
