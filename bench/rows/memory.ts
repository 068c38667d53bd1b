import { Engine } from '#lib/engine';
import type { EventLog } from '#lib/log';
import { systemClock, systemIds, systemTimers } from '#lib/platform';
import { MemoryProjection } from '#lib/projections';
import { EnginePlayer } from '../fabula/engine-player.js';
import { contentOfRooms } from '../fabula/sample-records.js';
import { interleaved, type Sample } from '../measure/rounds.js';
import { inkTurn, openInkStory, startInk } from '../peers/ink-rooms.js';
import { NotVerified, verify, type Row } from '../row.js';

/** Commands that each playthrough has had: the head's window holds them all. */
const COMMANDS = 20;

/** Memory per open playthrough: hot state and stream head in the engine, beside a Story object of inkjs. */
export const memory: Row = async (context) => {
  const count = { fabula: context.smoke ? 300 : 1_500, ink: context.smoke ? 10 : 40 };
  const { sides, foreignCpu } = await interleaved(
    { fabula: () => enginePlaythroughs(count.fabula), peer: async () => inkStories(count.ink) },
    {
      rounds: context.rounds,
      onRound: (round, name, { value }) => context.progress(`round ${round}: ${name} ${value.toFixed(1)} KiB`),
    },
  );
  return [
    {
      row: 'memory',
      unit: 'KiB per open playthrough',
      goals: [{ to: 'peer', atMost: 0.02 }],
      sides,
      foreignCpu,
      verified: [
        `${count.fabula} playthroughs of ${COMMANDS} commands were hot, with all their heads`,
        `${count.ink} inkjs stories were played as far`,
      ],
      peer: 'inkjs 2.4.0 Story of the same story',
      extra: { playthroughs: count.fabula, peerStories: count.ink, commands: COMMANDS },
    },
  ];
};

async function enginePlaythroughs(count: number): Promise<Sample> {
  const log = forgetfulLog();
  const cold = new MemoryProjection();
  await cold.open(await log.id(), 1);
  const limits = { hotBytes: 1024 ** 3 };
  const engine = new Engine({ log, clock: systemClock, timers: systemTimers, ids: systemIds, cold, content: contentOfRooms, limits });
  await engine.start();
  const play = async (): Promise<string> => {
    const player = new EnginePlayer(engine);
    for (let turn = 0; turn < COMMANDS; turn++) await player.next(turn);
    return player.id;
  };
  await play();
  const before = heap();
  const ids: string[] = [];
  for (let n = 0; n < count; n++) ids.push(await play());
  // One character is one byte here.
  const value = (heap() - before - ids.length * 48) / 1024 / count;
  for (const id of ids) verify('every playthrough is hot', engine.hot(`playthrough/${id}`) !== undefined, id);
  await engine.stop();
  return { value, operations: count };
}

/** Takes records and keeps none: what is left in memory is the engine's. */
function forgetfulLog(): EventLog {
  let next = 0;
  return {
    partitions: 1,
    append: async (_partition, records) => (next += records.length) - records.length,
    // oxlint-disable-next-line require-yield
    read: async function* () {
      throw new NotVerified('the engine read a log that nobody else writes');
    },
    end: async () => next,
    begin: async () => next,
    forget: async () => {},
    id: async () => 'forgetful',
    close: async () => {},
  };
}

function inkStories(count: number): Sample {
  const open = (): ReturnType<typeof openInkStory> => {
    const story = openInkStory();
    let labels = startInk(story).labels;
    for (let turn = 1; turn < COMMANDS; turn++) {
      const { shown } = inkTurn(story, story.state.toJson(), labels[turn % 2] ?? '');
      labels = shown.labels;
    }
    return story;
  };
  open();
  const before = heap();
  const stories = Array.from({ length: count }, open);
  const value = (heap() - before) / 1024 / count;
  for (const story of stories) verify('the story is open', story.currentChoices.length >= 2);
  return { value, operations: count };
}

function heap(): number {
  if (globalThis.gc === undefined) throw new Error('node runs without --expose-gc');
  globalThis.gc();
  globalThis.gc();
  return process.memoryUsage().heapUsed;
}
