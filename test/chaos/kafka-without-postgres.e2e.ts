import { randomUUID } from 'node:crypto';
import { partitionOf } from '#lib/decision';
import { playthroughStream } from '#lib/playthrough';
import { ApiClient, Refused } from '../support/api-client.js';
import { describeWithOwnKafka } from '../support/kafka.js';
import { isLong } from '../support/requirement.js';
import { verified } from '../support/verification.js';
import { Arena, until } from './arena.js';
import { chaosStory } from './chaos-story.js';
import { pause } from './crowd.js';
import { checkDerived, settle } from './derived-checks.js';

const SERVERS = 2;
const PARTITIONS = 4;
/** So many that each server owns playthroughs of some. */
const READERS = 10;
const AWAY_MS = isLong ? 30_000 : 5_000;
const ROW = 'Kafka 4 without Postgres';
/** Orchestrators ask for readiness, and give up on an answer, about so often. */
const PROBE_MS = 3_000;

type Way = 'killed' | 'frozen';
const WAYS: readonly Way[] = ['killed', 'frozen'];
/** In the short form one of three is tried; the others are not registered, since nothing here keeps them from running. */
const TRIED = (n: number): boolean => isLong || SEED % 3 === n;
/** FABULA_TEST_SEED=n repeats what a run drew. */
const SEED = Number(process.env['FABULA_TEST_SEED'] ?? Date.now() % 1_000_000);

/** A reader with a playthrough that is in memory and one that is not. */
interface Reader {
  readonly token: string;
  readonly hot: { readonly id: string; turn: number };
  readonly cold: { readonly id: string; turn: number };
}
/** How something ended: `accepted`, or the code of the error and whether it may be tried again. */
type Ended = 'accepted' | { readonly code: string; readonly retryable: unknown };

const OVERLOADED: Ended = { code: 'OVERLOADED', retryable: true };

describeWithOwnKafka('On Kafka, while Postgres is away', () => {
  let arena: Arena;
  beforeAll(async () => {
    arena = await Arena.open({ servers: SERVERS, partitions: PARTITIONS, log: 'kafka', ownPostgres: true });
    await arena.allOwn();
  }, 240_000);
  afterAll(() => arena?.close(), 60_000);

  const client = (token: string, i: number): ApiClient => new ApiClient(arena.server(i % SERVERS).url, token);

  /** Every server forgets what it had in memory; then each reader's first playthrough is opened, and each server has met each reader. */
  async function readersOf(name: string): Promise<readonly Reader[]> {
    const readers: Reader[] = [];
    for (let i = 0; i < READERS; i++) {
      const token = await arena.token(['reader'], `${name}-${i}`);
      const start = async (): Promise<Reader['hot']> => ({ id: (await client(token, i).start(chaosStory.id)).playthrough.id, turn: 0 });
      readers.push({ token, hot: await start(), cold: await start() });
    }
    await settle(arena);
    const all = [...Array(SERVERS).keys()];
    await Promise.all(all.map((i) => arena.stopServer(i)));
    await Promise.all(all.map((i) => arena.startServer(i)));
    await arena.allOwn();
    for (const { token, hot } of readers) for (let i = 0; i < SERVERS; i++) await walk(token, hot, i);
    return readers;
  }

  async function walk(token: string, playthrough: Reader['hot'], i: number): Promise<void> {
    playthrough.turn = (await client(token, i).choose(playthrough.id, 'walk', playthrough.turn)).turn;
  }

  async function ready(i: number): Promise<{ readonly status: number; readonly problems: object; readonly notes: string[] }> {
    const response = await fetch(`${arena.server(i).url}/health/ready`, { signal: AbortSignal.timeout(PROBE_MS) });
    const { problems, notes } = (await response.json()) as { problems: object; notes: object };
    return { status: response.status, problems, notes: Object.keys(notes) };
  }

  for (const how of WAYS.filter((_, n) => TRIED(n)))
    it(
      `(${how}) what is in memory is played and read on, the rest is refused as overloaded, and everything derived catches up afterwards`,
      async () => {
        const figures = await verified(`${ROW}, ${how}`, async () => {
          const readers = await readersOf(how);
          const owners = await arena.owners();
          const stranger = await arena.token(['reader'], `${how}-stranger`);
          const pids = arena.servers.map((server) => server?.pid);
          let turns = 0;
          let probes = 0;
          const away = async (): Promise<void> => {
            const over = performance.now() + AWAY_MS;
            // Those that need Postgres wait for it beside those that do not.
            const refusals = Promise.all([
              ...readers.map(({ token, cold }, i) => ended(client(token, i).choose(cold.id, 'walk', cold.turn))),
              ...readers.map(({ token }, i) => ended(client(token, i).start(chaosStory.id))),
              ended(client((readers[0] as Reader).token, 0).setCheckpoint((readers[0] as Reader).hot.id, 'here', 0, randomUUID())),
              ended(client(stranger, 0).start(chaosStory.id)),
            ]);
            const play = async (): Promise<void> => {
              while (performance.now() < over) {
                for (const [i, { token, hot }] of readers.entries()) await walk(token, hot, i + turns++);
                await pause(50);
              }
            };
            const look = async (): Promise<void> => {
              for (let i = 0; performance.now() < over; i++) {
                const { token, hot } = readers[i % READERS] as Reader;
                const { turn } = hot;
                const owner = owners[partitionOf(playthroughStream(hot.id), PARTITIONS)];
                const seen = await new ApiClient(String(owner), token).playthrough(hot.id);
                expect(seen?.moment.passage.id).toBe('hall');
                expect(seen?.turn).toBeGreaterThanOrEqual(turn);
                expect(await ready(i % SERVERS)).toEqual({ status: 200, problems: {}, notes: expect.arrayContaining(['database']) });
                probes++;
              }
            };
            await Promise.all([play(), look()]);
            expect(await refusals).toEqual(Array.from({ length: 2 * READERS + 2 }, () => OVERLOADED));
            expect(arena.problem()).toBeUndefined();
          };
          await (how === 'killed' ? arena.withoutPostgres(away) : arena.freezePostgres(away));
          await until('the cold playthroughs to open', async () => {
            const [first] = readers as readonly [Reader];
            return (await ended(client(first.token, 0).choose(first.cold.id, 'walk', 0))) === 'accepted';
          });
          await settle(arena);
          const { wrong, records, rows, leaves } = await checkDerived(arena);
          expect(wrong).toEqual([]);
          for (const [i, { token, hot }] of readers.entries())
            expect(await client(token, i + 1).playthrough(hot.id)).toMatchObject({ turn: hot.turn });
          expect(arena.servers.map((server) => server?.pid)).toEqual(pids);
          expect(await Promise.all(pids.map((_, i) => ready(i)))).toMatchObject(pids.map(() => ({ status: 200, problems: {} })));
          return {
            servers: SERVERS,
            awayMs: AWAY_MS,
            turnsWhileAway: turns,
            readinessProbes: probes,
            records,
            readModelRows: rows,
            leaves,
          };
        });
        expect(figures.turnsWhileAway).toBeGreaterThan(READERS);
      },
      isLong ? 300_000 : 180_000,
    );

  if (TRIED(2))
    it('a server that takes partitions over meanwhile keeps the others playable and itself ready, and recovers them when Postgres is back', async () => {
      const figures = await verified(`${ROW}, takeover`, async () => {
        const readers = await readersOf('takeover');
        const owners = await arena.owners();
        const [stays, goes] = [arena.server(0).url, arena.server(1).url];
        const ownedBy = (url: string): readonly Reader[] =>
          readers.filter(({ hot }) => owners[partitionOf(playthroughStream(hot.id), PARTITIONS)] === url);
        const taken = owners.flatMap((owner, partition) => (owner === goes ? [`engine p${partition}`] : []));
        let turns = 0;
        await arena.withoutPostgres(async () => {
          await arena.killServer(1);
          await until('the other server to have taken them', async () => {
            const waiting = await notes();
            return taken.every((name) => waiting.includes(name));
          });
          for (let i = 0; i < 5; i++) {
            for (const { token, hot } of ownedBy(stays)) {
              await walk(token, hot, 0);
              turns++;
            }
          }
          for (const { token, hot } of ownedBy(goes).slice(0, 1))
            expect(await ended(client(token, 0).choose(hot.id, 'walk', hot.turn))).toEqual(OVERLOADED);
          expect(await ready(0)).toMatchObject({ status: 200, problems: {} });
        });
        await until('the partitions to be recovered', async () => {
          const { status, notes: left } = await ready(0);
          return status === 200 && !left.some((name) => name === 'database' || name.startsWith('engine'));
        });
        for (const { token, hot } of readers) await walk(token, hot, 0);
        await arena.startServer(1);
        await arena.allOwn();
        await settle(arena);
        const { wrong, records } = await checkDerived(arena);
        expect(wrong).toEqual([]);
        return { servers: SERVERS, partitionsTaken: taken.length, turnsMeanwhile: turns, records };
      });
      expect(figures.turnsMeanwhile).toBeGreaterThan(0);
      expect(figures.partitionsTaken).toBeGreaterThan(0);
    }, 180_000);

  const notes = async (): Promise<readonly string[]> => (await ready(0)).notes;
});

async function ended(command: Promise<unknown>): Promise<Ended> {
  try {
    await command;
    return 'accepted';
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { code: error.code, retryable: error.extensions['retryable'] };
  }
}
