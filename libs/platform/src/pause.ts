import type { Timers } from './clock.js';

/** Until `ms` have gone or the signal aborts. */
export function pause(timers: Timers, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const cancel = timers.after(ms, finish);
    function finish(): void {
      signal.removeEventListener('abort', aborted);
      resolve();
    }
    function aborted(): void {
      cancel();
      finish();
    }
    signal.addEventListener('abort', aborted);
  });
}
