import type { Sample } from './rounds.js';

/**
 * Repeats work in this thread until it has used that much CPU time, and answers operations per CPU second: on an idle machine the same as
 * per second, on a busy one still true.
 * @param work answers how many operations it did
 */
export function perCpuSecond(ms: number, work: () => number): Sample {
  const begun = process.cpuUsage();
  let operations = 0;
  let micros: number;
  do {
    operations += work();
    const { user, system } = process.cpuUsage(begun);
    micros = user + system;
  } while (micros < ms * 1000);
  return { value: operations / (micros / 1e6), operations };
}
