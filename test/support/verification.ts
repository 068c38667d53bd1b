import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { mkdir, open, readFile, rename, unlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createHash } from 'node:crypto';
import { isLong } from './requirement.js';

const execute = promisify(execFile);

/** What one row of the checks came to, in numbers and short words. */
export type Figures = Readonly<Record<string, number | string | boolean | readonly string[]>>;

export interface Verification {
  readonly row: string;
  readonly command: string;
  readonly at: string;
  readonly figures: Figures;
}

const ROOT = path.resolve(__dirname, '../..');
const REPORT = path.join(ROOT, 'docs', 'reference', 'verification.json');
const RESULTS = path.join(ROOT, '.fabula', 'test-long');
const PRETTIER = path.join(ROOT, 'node_modules', 'prettier', 'bin', 'prettier.cjs');
const COMMAND = 'npm run test:long';

/**
 * Runs a row. Full size (`FABULA_TEST_LONG`): its figures are kept, so that a broken-off `npm run test:long` does not do the row again as
 * long as the build is the same (delete `.fabula/test-long` to begin anew), and they are appended to docs/reference/verification.json.
 * The figures are printed either way.
 */
export async function verified<F extends Figures>(row: string, run: () => Promise<F>): Promise<F> {
  if (!isLong) {
    const figures = await run();
    print(`${row}: ${wordsOf(figures)}`);
    return figures;
  }
  const build = await buildOf();
  const file = path.join(RESULTS, `${row.replaceAll(/[^a-z0-9]+/gi, '-')}.json`);
  const kept = await keptResult(file);
  if (kept !== undefined && build !== undefined && kept.build === build) {
    print(`${row}: was done for this build at ${kept.at}: ${wordsOf(kept.figures)}`);
    return kept.figures as F;
  }
  const figures = await run();
  print(`${row}: ${wordsOf(figures)}`);
  const at = new Date().toISOString();
  await mkdir(RESULTS, { recursive: true });
  await writeFile(`${file}.new`, JSON.stringify({ build, at, figures }));
  await rename(`${file}.new`, file);
  await append({ row, command: COMMAND, at, figures });
  return figures;
}

/** Reports how far a row in full size is, and how long it will still take, now and then. */
export function progress(row: string, everyMs = 10_000): (done: number, of: number, what: string) => void {
  const begun = performance.now();
  let last = begun;
  return (done, of, what) => {
    const now = performance.now();
    if (!isLong || now - last < everyMs) return;
    last = now;
    const left = done > 0 ? `about ${Math.ceil((((now - begun) / done) * (of - done)) / 1_000)} s left` : 'no estimate yet';
    print(`${row}: ${done} of ${of} ${what}, ${left}`);
  };
}

/** jest's own output is quiet under npm test; progress goes to the terminal itself. */
function print(line: string): void {
  process.stderr.write(`${line}\n`);
}

function wordsOf(figures: Figures): string {
  return Object.entries(figures)
    .map(([name, value]) => `${name} ${Array.isArray(value) ? `[${value.join('; ')}]` : String(value)}`)
    .join(', ');
}

/** Changes whenever the tested program does; absent when it was not built by the build. */
async function buildOf(): Promise<string | undefined> {
  try {
    return createHash('sha256')
      .update(await readFile(path.join(ROOT, 'dist', '.fabula-built')))
      .digest('hex');
  } catch {
    // Not built by scripts/build.mjs: nothing is taken up again.
    return undefined;
  }
}

async function keptResult(file: string): Promise<{ readonly build?: string; readonly at: string; readonly figures: Figures } | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as { build?: string; at: string; figures: Figures };
  } catch {
    // None yet, or one that was cut off: the row is done again.
    return undefined;
  }
}

/** Several jest workers may want to at once: a lock file lets one in after the other. */
async function append(entry: Verification): Promise<void> {
  const lock = `${REPORT}.lock`;
  for (let i = 0; ; i++) {
    try {
      await (await open(lock, 'wx')).close();
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || i === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  try {
    const before = await readFile(REPORT, 'utf8').then(
      (text) => JSON.parse(text) as Verification[],
      () => [],
    );
    await writeFile(`${REPORT}.new`, `${JSON.stringify([...before, entry], null, 2)}\n`);
    // As the formatter wants it, or the next `npm test` would complain.
    await execute(process.execPath, [PRETTIER, '--parser', 'json', '--write', `${REPORT}.new`], { cwd: ROOT });
    await rename(`${REPORT}.new`, REPORT);
  } finally {
    await unlink(lock);
  }
}
