import { randomBytes } from 'node:crypto';
import { run } from './program.js';
import { processTerminal } from './terminal.js';

const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });

void run(process.argv.slice(2), {
  terminal: processTerminal(process.env),
  env: process.env,
  fetch: globalThis.fetch,
  now: Date.now,
  sleep,
  randomHex: (bytes) => randomBytes(bytes).toString('hex'),
}).then((exitCode) => {
  process.exitCode = exitCode;
});
