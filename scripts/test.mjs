// `npm test`: every check there is. The last line is `N passed, N failed, N skipped`; a skip says why in its name.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { ensureBuilt, ensureInstalled, ensureNode, root, step } from './ensure.mjs';

const long = process.argv.includes('--long');
const only = process.argv.slice(2).filter((argument) => argument !== '--long');
const node = process.execPath;

ensureNode();
await ensureInstalled();
await ensureBuilt();

const checks = [
  ['types are sound', [node, ['node_modules/typescript-7/bin/tsc', '-p', 'tsconfig.json', '--noEmit']]],
  ['types of the pages are sound', [node, ['node_modules/typescript-7/bin/tsc', '-p', 'apps/studio', '--noEmit']]],
  ['the linter finds nothing', [node, ['node_modules/oxlint/bin/oxlint', '--deny-warnings']]],
  ['the formatter finds nothing', [node, ['node_modules/prettier/bin/prettier.cjs', '--check', '--log-level', 'warn', '.']]],
  [
    'rooms import only what they may',
    [
      node,
      ['node_modules/dependency-cruiser/bin/dependency-cruise.mjs', '--config', '.dependency-cruiser.cjs', 'apps', 'libs', 'migrations'],
    ],
  ],
  ['generated references are fresh', [node, ['scripts/generate.mjs', '--check']]],
];
let passed = 0;
let failed = 0;
const skips = [];

/** One after another: some of them use several processors by themselves. */
async function runChecks() {
  for (const [title, [command, args]] of checks) {
    const { ok } = await step(title, command, args);
    if (ok) passed++;
    else failed++;
  }
}

const jestArguments = (report, args) => ['node_modules/jest/bin/jest.js', '--json', '--outputFile', report, ...args];
const reportNamed = (name) => {
  const report = path.join(root, 'dist', `${name}.json`);
  fs.rmSync(report, { force: true });
  return report;
};
const env = { ...process.env, FABULA_TEST_BUILT: '1', ...(long ? { FABULA_TEST_LONG: '1' } : {}) };

function count(report, succeeded) {
  const results = fs.existsSync(report) ? JSON.parse(fs.readFileSync(report, 'utf8')) : undefined;
  for (const file of results?.testResults ?? []) {
    for (const test of file.assertionResults) if (test.status === 'pending' || test.status === 'todo') skips.push(test.fullName);
  }
  const before = failed;
  passed += results?.numPassedTests ?? 0;
  failed += results === undefined ? 1 : results.numFailedTests + results.numRuntimeErrorTestSuites;
  if (!succeeded && failed === before) failed++;
}

/** By themselves, in one process: other specs would have some of its time. */
const SIMULATION = ['--runInBand', '/test/simulation/'];

/** Beside the checks, and quietly like them. */
async function runSimulation() {
  const report = reportNamed('jest-simulation-report');
  const { ok } = await step('simulated faults break no promise', node, jestArguments(report, SIMULATION), { env });
  count(report, ok);
}

async function runSpecs(args) {
  const report = reportNamed('jest-report');
  const jest = spawn(node, jestArguments(report, args), { cwd: root, stdio: ['ignore', 'ignore', 'inherit'], env });
  const code = await new Promise((resolve) => jest.once('exit', (status) => resolve(status ?? 1)));
  count(report, code === 0);
}

if (only.length > 0) await runSpecs(only);
else {
  await Promise.all([runChecks(), ...(long ? [] : [runSimulation()])]);
  // It takes hours, and says how far it is.
  if (long) await runSpecs(SIMULATION);
  await runSpecs(['--testPathIgnorePatterns=/node_modules/', '--testPathIgnorePatterns=/test/simulation/']);
}
if (skips.length > 0) console.log(`\nSkipped here:\n${skips.map((name) => `  - ${name}`).join('\n')}`);
console.log(`\n${passed} passed, ${failed} failed, ${skips.length} skipped`);
process.exit(failed === 0 ? 0 : 1);
