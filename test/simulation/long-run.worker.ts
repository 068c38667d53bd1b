import { runHalf } from './long-run.js';

/** Started by the long run of simulation.spec.ts, once per process; no test file of its own. */
describe('One half of the long run', () => {
  it(
    'keeps every invariant',
    async () => {
      await expect(runHalf(Number(process.env['FABULA_TEST_HALF']), Number(process.env['FABULA_TEST_SEEDS']))).resolves.toBeUndefined();
    },
    24 * 60 * 60_000,
  );
});
