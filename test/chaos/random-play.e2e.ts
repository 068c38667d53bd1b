import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import path from 'node:path';
import { promisify } from 'node:util';
import { Engine, PostgresContentStore } from '#lib/engine';
import { systemClock, systemIds, systemTimers } from '#lib/platform';
import { createReadSide, Projector } from '#lib/projections';
import { canonicalStory, type CompiledStory } from '#lib/story';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { isLong } from '../support/requirement.js';
import { progress, verified, type Figures } from '../support/verification.js';
import { KafkaArenaLog, PostgresArenaLog, type ArenaLog } from './arena-log.js';
import { pause } from './crowd.js';
import { foldTruth, type LogTruth } from './log-truth.js';
import { onEachLog } from './on-each-log.js';
import { foreignStories, haveStories, sampleStories, STORIES_DIR, type PlayableStory } from './playable-stories.js';
import { RandomPlayer, type PlayCounts, type Told } from './random-player.js';

const PLAYTHROUGHS = isLong ? 1_000 : 20;
const LONGEST = isLong ? 200 : 60;
const AT_ONCE = isLong ? 64 : 20;
const PARTITIONS = 4;
const ROOT = path.resolve(__dirname, '../..');
const run = promisify(execFile);

const stories = [...sampleStories(), ...foreignStories()];

onEachLog('Random play', ({ log: kind, row }) => {
  let database: TestDatabase;
  let arenaLog: ArenaLog | undefined;
  beforeEach(async () => {
    database = await createTestDatabase();
  }, 120_000);
  afterEach(async () => {
    await arenaLog?.close();
    await database?.drop();
  }, 60_000);

  // Of what is the same on every log, Kafka's short form plays one story again.
  it.each(kind === 'kafka' && !isLong ? stories.slice(0, 1) : stories)(
    'of $name: each state hash told is that of a fold of the log, here and in a process that knows nothing else',
    async (story) => {
      arenaLog =
        kind === 'kafka' ? await KafkaArenaLog.open(PARTITIONS, 1, 4) : new PostgresArenaLog(database.pool, database.url, PARTITIONS);
      const log = arenaLog;
      const figures = await verified(row(`4 random play: ${story.name}`), () => played(database, log, story));
      expect(figures).toMatchObject({ differences: 0 });
    },
    isLong ? 1_800_000 : 180_000,
  );

  if (!haveStories)
    it.skip(`of other people's stories is skipped: there is no folder ${STORIES_DIR} (FABULA_STORIES_DIR names another)`, () => undefined);
});

async function played(database: TestDatabase, arenaLog: ArenaLog, { name, story }: PlayableStory): Promise<Figures> {
  const { pool } = database;
  const log = await arenaLog.openAsServers();
  const content = new PostgresContentStore(pool);
  await content.put(story.hash, canonicalStory(story.story));
  let ahead = 0;
  const clock = { now: () => systemClock.now() + ahead };
  const side = createReadSide({ pool, logId: await log.id(), partitions: PARTITIONS, timers: systemTimers, clock: systemClock });
  const projector = await Projector.open({ log, store: side.projection, timers: systemTimers });
  const engine = new Engine({ log, clock, timers: systemTimers, ids: systemIds, cold: side.cold, content });
  const told: Told = new Map();
  const counts: PlayCounts = { turns: 0, outcomes: new Map() };
  const begun = performance.now();
  const faults = new AppendCutter(arenaLog);
  try {
    await engine.start();
    projector.start();
    const report = progress(`4 random play: ${name}`);
    let next = 1;
    let done = 0;
    const playOn = async (): Promise<void> => {
      for (let seed = next++; seed <= PLAYTHROUGHS; seed = next++) {
        await new RandomPlayer(engine, story, seed, told, counts, (ms) => void (ahead += ms)).play(LONGEST);
        report(++done, PLAYTHROUGHS, 'playthroughs');
      }
    };
    const all = Promise.all(Array.from({ length: AT_ONCE }, playOn));
    await faults.cutUntil(() => done > PLAYTHROUGHS * 0.7, all);
    await all;
  } finally {
    await engine.stop();
    await projector.stop();
  }
  const seconds = (performance.now() - begun) / 1_000;
  const truth = await foldTruth(log);
  await log.close();
  const differences = [...truth.broken, ...differencesOf(told, truth), ...(await replayDifferences(arenaLog, truth))];
  expect(differences).toEqual([]);
  expect(lacking(counts, story, faults.cut)).toEqual([]);
  const records = truth.partitions.reduce((sum, { length }) => sum + length, 0);
  return {
    ...{ playthroughs: PLAYTHROUGHS, longest: LONGEST, streams: truth.playthroughs.size, turns: counts.turns, records },
    ...{
      turnsPerSecond: Math.round(counts.turns / seconds),
      appendsCutOff: faults.cut,
      ofTheseStored: truth.verdicts.duplicate,
      differences: differences.length,
    },
    outcomes: [...counts.outcomes].map(([what, count]) => `${what} ${count}`).toSorted(),
  };
}

/** A run in which hardly anything happened proves nothing. */
function lacking({ turns, outcomes }: PlayCounts, { story }: CompiledStory, cut: number): string[] {
  // Stories of a handful of passages are over before there is time for much.
  const large = Object.keys(story.passages).length > 10;
  const [fewest, each] = isLong ? [large ? 5_000 : 500, large ? 100 : 1] : [PLAYTHROUGHS, large ? 1 : 0];
  const missing = ['accepted choose', 'accepted rewind', 'accepted fork', 'accepted setCheckpoint', 'duplicate', 'rejected TURN_STALE']
    .filter((outcome) => (outcomes.get(outcome) ?? 0) < each)
    .map((outcome) => `"${outcome}" ${outcomes.get(outcome) ?? 0} times, ${each} are needed`);
  if (turns < fewest) missing.push(`${turns} turns, ${fewest} are needed`);
  if (isLong && large && cut === 0) missing.push('no append was cut off');
  return missing.length === 0 ? [] : [...missing, JSON.stringify([...outcomes])];
}

/** Every hash that was told, against the fold; and nothing in the log that its reader was not told, but time-outs taken by the sweep. */
function differencesOf(told: Told, { playthroughs }: LogTruth): string[] {
  const wrong: string[] = [];
  for (const [stream, entries] of playthroughs) {
    const versions = told.get(stream);
    const logged = new Map(entries.map((entry) => [entry.version.after, entry]));
    for (const [version, hash] of versions ?? []) {
      const entry = logged.get(version);
      if (entry === undefined) wrong.push(`${stream}: version ${version} was told, the log does not have it`);
      else if (entry.stateHash !== hash)
        wrong.push(`${stream}: version ${version} was told with ${hash}, the log leads to ${entry.stateHash}`);
    }
  }
  for (const stream of told.keys()) if (!playthroughs.has(stream)) wrong.push(`${stream} is not in the log`);
  return wrong;
}

/** What a fresh process makes of the same log. */
async function replayDifferences({ where }: ArenaLog, { playthroughs }: LogTruth): Promise<string[]> {
  const script = path.join('test', 'chaos', 'replay-log.mjs');
  const { stdout } = await run(process.execPath, [script, String(PARTITIONS), ...where], { cwd: ROOT, maxBuffer: 256 * 1024 * 1024 });
  const replayed = new Set(stdout.split('\n').filter((line) => line !== ''));
  const wrong: string[] = [];
  for (const [stream, entries] of playthroughs) {
    const sha256 = createHash('sha256');
    for (const { version, turn, stateHash } of entries) sha256.update(`${version.after} ${turn.after} ${stateHash}\n`);
    const line = `${stream} ${entries.length} ${sha256.digest('hex')}`;
    if (!replayed.delete(line)) wrong.push(`a fresh process does not come to "${line}"`);
  }
  for (const line of replayed) wrong.push(`only a fresh process comes to "${line}"`);
  return wrong;
}

/** Cuts appends off, now and then: the engine cannot know what became of it. */
class AppendCutter {
  cut = 0;
  private ended = false;

  constructor(private readonly log: ArenaLog) {}

  async cutUntil(enough: () => boolean, over: Promise<unknown>): Promise<void> {
    const end = (): void => void (this.ended = true);
    over.then(end, end);
    while (!this.ended && !enough()) {
      // A reader's append waits for the next connection: cut off all the time, nobody would get far.
      await pause(isLong || this.log.where[0] === 'kafka' ? 250 : 100);
      if (await this.log.cutAppend()) this.cut++;
    }
  }
}
