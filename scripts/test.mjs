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
if (only.length === 0) {
  for (const [title, [command, args]] of checks) {
    const { ok } = await step(title, command, args);
    if (ok) passed++;
    else failed++;
  }
}

// The simulation by itself: other specs leave asynchronous hooks behind in the process that they share, which makes each of its promises
// several times as dear.
const runs =
  only.length > 0
    ? [only]
    : [['/test/simulation/'], ['--testPathIgnorePatterns=/node_modules/', '--testPathIgnorePatterns=/test/simulation/']];
const report = path.join(root, 'dist', 'jest-report.json');
const skips = [];
for (const args of runs) {
  fs.rmSync(report, { force: true });
  const jest = spawn(node, ['node_modules/jest/bin/jest.js', '--json', '--outputFile', report, ...args], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, FABULA_TEST_BUILT: '1', ...(long ? { FABULA_TEST_LONG: '1' } : {}) },
  });
  const code = await new Promise((resolve) => jest.once('exit', (status) => resolve(status ?? 1)));
  const results = fs.existsSync(report) ? JSON.parse(fs.readFileSync(report, 'utf8')) : undefined;
  for (const file of results?.testResults ?? []) {
    for (const test of file.assertionResults) if (test.status === 'pending' || test.status === 'todo') skips.push(test.fullName);
  }
  const before = failed;
  passed += results?.numPassedTests ?? 0;
  failed += results === undefined ? 1 : results.numFailedTests + results.numRuntimeErrorTestSuites;
  if (code !== 0 && failed === before) failed++;
}
if (skips.length > 0) console.log(`\nSkipped here:\n${skips.map((name) => `  - ${name}`).join('\n')}`);
console.log(`\n${passed} passed, ${failed} failed, ${skips.length} skipped`);
process.exit(failed === 0 ? 0 : 1);
