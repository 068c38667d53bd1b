import type { ColdSource } from '#lib/engine';
import type { Random } from './random.js';
import type { Process } from './scheduler.js';

/** The read models as one process sees them: answers are old when they arrive, and sometimes none comes. */
export function slowColdSource(
  cold: ColdSource,
  process: Process,
  random: Random,
  failing: () => number,
  count: (fault: string) => void,
): ColdSource {
  async function over<T>(call: () => Promise<T>): Promise<T> {
    await process.wait(random.int(0, 3));
    if (random.chance(failing())) {
      count('read models failed');
      throw new Error('simulated outage of the read models');
    }
    const answer = await call();
    await process.wait(random.int(0, 12));
    return answer;
  }
  return {
    load: (partition, streams) => over(() => cold.load(partition, streams)),
    position: (partition) => over(() => cold.position(partition)),
    past: (stream, turn) => over(() => cold.past(stream, turn)),
    accepted: (stream, commandId) => over(() => cold.accepted(stream, commandId)),
    kept: (stream, offset) => over(() => cold.kept(stream, offset)),
    overdue: (partition, before, limit) => over(() => cold.overdue(partition, before, limit)),
  };
}
