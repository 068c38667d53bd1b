import { describeWithOwnKafka } from '../support/kafka.js';
import { isLong } from '../support/requirement.js';
import { progress, verified } from '../support/verification.js';
import { Arena, until } from './arena.js';
import { countsOf, type Crowd, crowdOf, pause } from './crowd.js';
import { checkDerived, settle } from './derived-checks.js';
import { checkHistory } from './history-checker.js';
import { History } from './history.js';
import { notEnough } from './outcome-table.js';

const PARTITIONS = 12;
const READERS = 16;
const DEVICES = isLong ? 32 : 16;
const ROW = 'kafka 5 joins and leaves';
/** A server joins, leaves in good order, or is killed. */
type Change = readonly ['join' | 'leave' | 'kill', number];
const [SERVERS, FIRST, CHANGES]: readonly [number, number, readonly Change[]] = isLong
  ? [
      5,
      3,
      [
        ['join', 3],
        ['leave', 0],
        ['join', 4],
        ['kill', 1],
        ['join', 0],
        ['leave', 2],
        ['join', 1],
        ['leave', 3],
        ['join', 2],
        ['kill', 4],
      ],
    ]
  : [
      3,
      2,
      [
        ['join', 2],
        ['leave', 0],
        ['join', 0],
      ],
    ];
/** Ten changes in two minutes. */
const BETWEEN_MS = isLong ? 12_000 : 1_000;
const TURNS_BETWEEN = isLong ? 300 : 30;
const SETTLED_WITHIN_MS = 60_000;

const HABITS = { choose: 90, doubled: 3, stale: 1, replay: 4, reuse: 1, rewind: 3, fork: 1, checkpoint: 1, look: 4 };

describeWithOwnKafka('When servers join and leave under load', () => {
  let arena: Arena;
  let crowd: Crowd | undefined;
  beforeAll(async () => {
    arena = await Arena.open({
      ...{ servers: SERVERS, startFirst: FIRST, log: 'kafka', partitions: PARTITIONS },
      env: { LOG_LEVEL: 'info' },
    });
  }, 300_000);
  afterAll(async () => {
    await crowd?.abandon();
    await arena?.close();
  }, 60_000);

  it(
    'each time the fewest partitions move that a fair share allows, and no command is lost',
    async () => {
      const figures = await verified(ROW, async () => {
        const history = new History();
        crowd = await crowdOf(arena, { readers: READERS, devices: DEVICES, seed: 11, history, habits: HABITS });
        let owners = await fairOwners(arena);
        await crowd.start();
        await crowd.turns(TURNS_BETWEEN, 300_000);
        const calm = performance.now();
        const report = progress(ROW);
        const sharings = new Sharings(arena);
        const moves: string[] = [];
        const violations: string[] = [];
        for (const [i, [what, server]] of CHANGES.entries()) {
          const begun = performance.now();
          const before = history.acceptedTurns;
          history.fault(what);
          if (what === 'join') await arena.startServer(server);
          else if (what === 'kill') await arena.killServer(server);
          else {
            const { output } = arena.server(server);
            const code = await arena.stopServer(server);
            if (code !== 0) violations.push(`server ${server} ended with ${code}; its last words: ${output().slice(-2_000)}`);
          }
          const now = await fairOwners(arena);
          const took = Math.round(performance.now() - begun);
          const moved = now.filter((owner, partition) => owner !== owners[partition]).length;
          const fewest = fewestMoves(owners, arena.urls());
          const onTheWay = sharings.moved();
          moves.push(
            `${what}: ${moved} of ${PARTITIONS} moved, ${fewest} is the fewest, within ${took} ms, ${history.acceptedTurns - before} turns meanwhile`,
          );
          if (moved !== fewest) violations.push(`${what} of server ${server} moved ${moved} partitions, ${fewest} would do`);
          if (onTheWay !== fewest)
            violations.push(`${what} of server ${server} moved ${onTheWay} partitions on the way, ${fewest} would do`);
          owners = now;
          await crowd.turns(TURNS_BETWEEN, 300_000);
          await pause(Math.max(0, BETWEEN_MS - (performance.now() - begun)));
          report(i + 1, CHANGES.length, 'joins and leaves');
        }
        const changing = performance.now();
        await crowd.stop();
        await settle(arena);
        const { truth, wrong, records, leaves } = await checkDerived(arena);
        violations.push(
          ...wrong,
          ...checkHistory(history, truth.playthroughs),
          ...notEnough(history, { turns: 3_000, outcomes: ['accepted', 'duplicate'] }),
        );
        expect(violations).toEqual([]);
        return {
          ...{ servers: SERVERS, changes: CHANGES.length, clients: DEVICES, violations: violations.length, moves },
          ...{ attempts: history.attempts.length, acceptedTurns: history.acceptedTurns, records, leaves },
          ...{ conflicts: truth.verdicts.conflict, appendedTwice: truth.verdicts.duplicate },
          ...answered(history, calm, changing),
          outcomes: countsOf(history),
        };
      });
      expect(figures).toMatchObject({ violations: 0, changes: CHANGES.length });
    },
    isLong ? 1_800_000 : 240_000,
  );
});

/** Owners of all partitions, once exactly the running servers have all of them and none has two more than another. */
async function fairOwners(arena: Arena): Promise<readonly string[]> {
  let owners: readonly (string | undefined)[] = [];
  await until(
    'a fair share of the partitions',
    async () => {
      owners = await arena.owners();
      const counts = arena.urls().map((url) => owners.filter((owner) => owner === url).length);
      return counts.reduce((sum, count) => sum + count, 0) === PARTITIONS && Math.max(...counts) - Math.min(...counts) <= 1;
    },
    SETTLED_WITHIN_MS,
  );
  return owners as readonly string[];
}

/** By counting: each keeps what it had up to the fair share, and as many keep one more as there are partitions left over. */
function fewestMoves(before: readonly string[], present: readonly string[]): number {
  const share = Math.floor(PARTITIONS / present.length);
  const had = present.map((url) => before.filter((owner) => owner === url).length);
  const oneMore = Math.min(PARTITIONS % present.length, had.filter((count) => count > share).length);
  return PARTITIONS - oneMore - had.reduce((sum, count) => sum + Math.min(count, share), 0);
}

/** What servers say about the group of the engines: partitions that moved there and back would show here. */
class Sharings {
  private newest = 0;

  constructor(private readonly arena: Arena) {
    this.moved();
  }

  /** Since it was last asked. */
  moved(): number {
    const generations = new Map<number, number>();
    for (const server of this.arena.servers) {
      for (const [, generation, moved] of server?.output().matchAll(/"work":"engine","generation":(\d+),"moved":(\d+)/g) ?? []) {
        if (Number(generation) > this.newest) generations.set(Number(generation), Number(moved));
      }
    }
    this.newest = Math.max(this.newest, ...generations.keys());
    return [...generations.values()].reduce((sum, moved) => sum + moved, 0);
  }
}

/** From the first time a command was sent until it was decided, also by whom it was sent again to; and of single answers. */
function answered(history: History, from: number, to: number): Readonly<Record<string, string>> {
  const first = new Map<string, number>();
  const commands: number[] = [];
  const answers: number[] = [];
  for (const { commandId, payload, sentAt, endedAt, saw } of history.attempts.toSorted((a, b) => a.sentAt - b.sentAt)) {
    const key = `${commandId} ${payload}`;
    const sent = first.get(key);
    if (sent === undefined) first.set(key, sentAt);
    if (sentAt < from || endedAt > to || (saw.kind !== 'accepted' && saw.kind !== 'refused')) continue;
    answers.push(endedAt - sentAt);
    if (sent === undefined || (saw.kind === 'accepted' && !saw.duplicate)) commands.push(endedAt - (sent ?? sentAt));
  }
  return { commandsMs: percentiles(commands), answersMs: percentiles(answers) };
}

function percentiles(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
  return `p50 ${at(0.5)}, p99 ${at(0.99)}, longest ${at(1)}`;
}
