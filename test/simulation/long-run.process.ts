import { runHalf } from './long-run.js';

/** Compiled and started by long-run.ts, once per process: `node dist/test/simulation/long-run.process.js <half> <seeds>`. */
runHalf(Number(process.argv[2]), Number(process.argv[3])).catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = 1;
});
