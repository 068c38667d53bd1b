import { createMemoryLog } from '#lib/log';
import { Engine } from '#lib/engine';
import { systemClock, systemIds, systemTimers } from '#lib/platform';
import { MemoryProjection } from '#lib/projections';
import { compiledRooms, roomStoryText } from '../story/room-story.js';
import { EnginePlayer } from './engine-player.js';
import { readLog } from './read-log.js';

export const contentOfRooms = {
  get: async (hash: string): Promise<string | undefined> => (hash === compiledRooms.hash ? roomStoryText : undefined),
  put: async (): Promise<void> => {},
};

/** The bytes of one real playthrough's records: what floors write, so that all sides write the same amount. */
export async function sampleRecords(commands: number): Promise<readonly Uint8Array[]> {
  const log = createMemoryLog({ partitions: 1, clock: systemClock });
  const cold = new MemoryProjection();
  await cold.open(await log.id(), 1);
  const engine = new Engine({ log, clock: systemClock, timers: systemTimers, ids: systemIds, cold, content: contentOfRooms });
  await engine.start();
  const player = new EnginePlayer(engine);
  for (let turn = 0; turn < commands; turn++) await player.next(turn);
  await engine.stop();
  return (await readLog(log)).flat().map(({ value }) => value);
}
