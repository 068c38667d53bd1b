import { Readable } from 'node:stream';
import { verifyBundle } from '#lib/audit';
import { Arena } from '../chaos/arena.js';
import { chaosStory } from '../chaos/chaos-story.js';
import { countsOf, Crowd } from '../chaos/crowd.js';
import { checkDerived, settle } from '../chaos/derived-checks.js';
import { checkHistory } from '../chaos/history-checker.js';
import { History } from '../chaos/history.js';
import { notEnough } from '../chaos/outcome-table.js';
import { buildPreviousRelease, whyNoPreviousRelease, type PreviousRelease } from '../support/previous-release.js';
import { ApiClient } from '../support/api-client.js';
import { describeWith, isLong } from '../support/requirement.js';
import { verified } from '../support/verification.js';
import { eventually } from './expectations.js';

const PARTITIONS = 4;
/** So many that none of the partitions is left without a playthrough by chance: 4 × 0.75^48. */
const READERS = 48;
const DEVICES = 48;
const TURNS = isLong ? 1_000 : 40;
const MOST_ROUNDS = 25;
const ROW = 'rolling upgrade';
const [OLD, NEW] = [0, 1];
/** As an orchestrator does: 0.1.0 needs 20 s to stop under load. */
const GRACE_MS = 3_000;
const HABITS = { choose: 80, doubled: 4, stale: 2, replay: 5, reuse: 2, rewind: 4, fork: 2, checkpoint: 3, look: 6 };

const why = whyNoPreviousRelease();

describeWith('previous', why === undefined, why ?? '', 'A rolling upgrade from the last release', () => {
  let previous: PreviousRelease | undefined;
  let arena: Arena;
  let crowd: Crowd | undefined;
  beforeAll(async () => {
    previous = await buildPreviousRelease();
    const roots = [previous.root, undefined];
    arena = await Arena.open({ servers: 2, partitions: PARTITIONS, roots, startFirst: 1, emptyDatabase: true });
  }, 240_000);
  afterAll(async () => {
    await crowd?.abandon();
    await arena?.close();
    await previous?.remove();
  }, 60_000);

  it(
    'goes on under load: the new node migrates beside the old one, both accept, either may go, and back again; nothing is lost or doubled',
    async () => {
      const history = new History();
      const figures = await verified(ROW, async () => {
        const problems: string[] = [];
        const phases: string[] = [];
        let phaseBegan = performance.now();
        const phase = (name: string): void => {
          phases.push(`${name} ${Math.round(performance.now() - phaseBegan)} ms`);
          phaseBegan = performance.now();
        };
        const readers = await arena.readers(READERS);
        const urls = (): readonly string[] => arena.urls();
        const problem = (): string | undefined => arena.problem();
        const devices = { readers, devices: DEVICES, storyId: chaosStory.id, seed: 11, history, habits: HABITS };
        crowd = new Crowd({ problem, urls, ...devices });
        await crowd.start();
        await crowd.turns(TURNS, 120_000);
        const migrated = [await migrations(arena)];
        phase('old alone');

        // The new node comes and migrates, while the old one plays.
        await arena.startServer(NEW);
        migrated.push(await migrations(arena));
        await arena.allOwn();
        problems.push(...(await everyPartitionMoves(arena, crowd)));
        phase('both');

        // It goes again, as when an upgrade is taken back: the old one plays on upon what the new one wrote and migrated …
        const newUrl = arena.server(NEW).url;
        if ((await arena.stopServer(NEW)) !== 0) problems.push('the new node did not end well');
        await arena.allOwn();
        if ((await arena.owners()).includes(newUrl)) problems.push('a partition still belongs to the new node');
        problems.push(...(await everyPartitionMoves(arena, crowd)));
        phase('old alone again');

        // … and comes back, and the old one goes for good.
        await arena.startServer(NEW);
        await arena.allOwn();
        problems.push(...(await everyPartitionMoves(arena, crowd)));
        phase('both again');
        const oldUrl = arena.server(OLD).url;
        await arena.stopServer(OLD, GRACE_MS);
        await arena.allOwn();
        if ((await arena.owners()).includes(oldUrl)) problems.push('a partition still belongs to the old node');
        problems.push(...(await everyPartitionMoves(arena, crowd)));
        phase('new alone');

        await crowd.stop();
        await settle(arena);
        phase('settled');
        const { truth, wrong, records, leaves, notes } = await checkDerived(arena);
        const violations = [
          ...problems,
          ...(await narrowedDown(arena)),
          ...wrong,
          ...checkHistory(history, truth.playthroughs),
          ...notEnough(history, { turns: 4_000, outcomes: ['accepted', 'duplicate'] }),
        ];
        if (history.of('unknown INTERNAL') > 0) violations.push(`${history.of('unknown INTERNAL')} answers were INTERNAL`);
        expect(violations).toEqual([]);
        return {
          ...{ clients: DEVICES, playthroughs: READERS, attempts: history.attempts.length, acceptedTurns: history.acceptedTurns },
          ...{ records, leaves, notes, migrationsBefore: migrated[0] ?? 0, migrationsAfter: migrated[1] ?? 0 },
          ...{ violations: violations.length, phases, outcomes: countsOf(history) },
        };
      });
      expect(figures).toMatchObject({ violations: 0 });
      expect(figures['migrationsBefore']).toBeGreaterThan(0);
      expect(figures['migrationsAfter']).toBeGreaterThanOrEqual(figures['migrationsBefore'] as number);
    },
    isLong ? 1_800_000 : 180_000,
  );
});

/** The old release signed trees without saying which terms their leaves have; the new one says it of those too, grown since or not. */
async function narrowedDown(arena: Arena): Promise<readonly string[]> {
  const server = arena.server(NEW);
  const compliance = new ApiClient(server.url, await server.token(['compliance']));
  const ordered = await compliance.rest('POST', '/audit/exports', { filter: { storyId: chaosStory.id } });
  if (ordered.status !== 202) return [`an export narrowed down to a story was refused: ${ordered.text}`];
  const where = `/audit/exports/${(ordered.body as { id: string }).id}`;
  const state = await eventually(async () => {
    const job = (await compliance.rest('GET', where)).body as { state: string; error: string | null };
    return job.state === 'queued' || job.state === 'running' ? undefined : `${job.state} ${job.error}`;
  }, 'the export ends');
  if (state !== 'done null') return [`the export narrowed down to a story: ${state}`];
  const answer = await fetch(`${server.url}${where}/download`, { headers: { authorization: `Bearer ${compliance.token}` } });
  const { findings, trees } = await verifyBundle(Readable.from([Buffer.from(await answer.arrayBuffer())]));
  const shown = trees.filter(({ tree, shown: some }) => tree !== 'root' && some > 0).length;
  return [...findings.map(({ message }) => message), ...(shown === PARTITIONS ? [] : [`leaves of ${shown} partitions are shown`])];
}

async function migrations(arena: Arena): Promise<number> {
  const { rows } = await arena.pool.query<{ count: number }>('select count(*)::int as count from fabula.migrations');
  return rows[0]?.count ?? 0;
}

/** Plays on until every partition, whoever has it, has taken records: some turns may all fall to others. */
async function everyPartitionMoves(arena: Arena, crowd: Crowd): Promise<readonly string[]> {
  const log = await arena.log.open();
  try {
    const ends = (): Promise<readonly number[]> => Promise.all(Array.from({ length: PARTITIONS }, (_, partition) => log.end(partition)));
    const [before, owners] = [await ends(), await arena.owners()];
    for (let round = 1; ; round++) {
      await crowd.turns(TURNS, 120_000);
      const after = await ends();
      const still = after.flatMap((end, i) => (end > (before[i] as number) ? [] : `partition ${i} of ${owners[i]} took nothing`));
      if (still.length === 0 || round === MOST_ROUNDS) return still;
    }
  } finally {
    await log.close();
  }
}
