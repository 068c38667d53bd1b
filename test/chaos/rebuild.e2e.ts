import { isLong } from '../support/requirement.js';
import type { ApiClient } from '../support/api-client.js';
import { progress, verified } from '../support/verification.js';
import { Arena } from './arena.js';
import { appendPast } from './bulk-history.js';
import { countsOf, type Crowd, crowdOf, pause } from './crowd.js';
import { checkDerived, settle } from './derived-checks.js';
import { checkHistory } from './history-checker.js';
import { History } from './history.js';
import { onEachLog } from './on-each-log.js';
import { cutOffs, notEnough, turnsAfterLastFault } from './outcome-table.js';

const PARTITIONS = 4;
const READERS = 8;
const DEVICES = 16;
/** Every playthrough takes one more than its turns: the start. */
const PAST = isLong ? { playthroughs: 1_000, turns: 39 } : { playthroughs: 150, turns: 39 };
const ROUNDS = isLong ? 5 : 1;
const TURNS_PER_ROUND = isLong ? 1_050 : 30;
const REBUILT_WITHIN_MS = 180_000;
const ROW = '10 rebuild';
const HABITS = { choose: 90, doubled: 3, stale: 1, replay: 5, reuse: 1, rewind: 3, fork: 1, checkpoint: 1, look: 8 };

interface Projections {
  readonly generations: readonly { readonly n: number; readonly state: string }[];
  readonly rebuild: {
    readonly state: 'none' | 'running' | 'done' | 'failed';
    readonly partitions?: readonly { readonly partition: number; readonly done: number; readonly end: number }[];
    readonly report?: {
      readonly generation: number;
      readonly replaced: number;
      readonly records: number;
      readonly parity: { readonly kind: string };
    };
    readonly error?: string;
  };
}

onEachLog(
  'A rebuild of the read models under load, with the server that does it killed half-way',
  ({ log, row }) => {
    let arena: Arena;
    let crowd: Crowd | undefined;
    let reading: Reading | undefined;
    beforeAll(async () => {
      arena = await Arena.open({ servers: log === 'kafka' ? 3 : 2, log, partitions: PARTITIONS });
    }, 180_000);
    afterAll(async () => {
      await reading?.stop();
      await crowd?.abandon();
      await arena?.close();
    }, 60_000);

    it(
      'goes on where it was, comes out equal, and is switched to while every read is answered',
      async () => {
        const history = new History();
        const figures = await verified(row(ROW), async () => {
          const beside = await arena.log.open();
          const past = await appendPast(beside, PAST.playthroughs, PAST.turns).finally(() => beside.close());
          await settle(arena);
          crowd = await crowdOf(arena, { readers: READERS, devices: DEVICES, seed: 8, history, habits: HABITS });
          await crowd.start();
          // Server 1 is never killed: it must answer every read, whatever happens beside it.
          reading = new Reading(await arena.api(['reader'], 1), await arena.api(['author'], 1), arena.server(1).url, crowd);
          const report = progress(row(ROW));
          const resumed: string[] = [];
          const steps: number[] = [];
          for (let round = 0; round < ROUNDS; round++) {
            const { generation, at } = await killedHalfWay(arena, history);
            const operator = await arena.api(['operator'], 1);
            const { seen, done } = await rebuilt(operator);
            expect(done.report).toMatchObject({ generation, parity: { kind: 'equal' } });
            const live = (await projections(operator)).generations.filter(({ state }) => state === 'live');
            expect(live.map(({ n }) => n)).toEqual([generation]);
            // It folded what was missing, not everything again.
            const all = await arena.records();
            expect(done.report?.records ?? Infinity).toBeLessThanOrEqual(all - at);
            resumed.push(`generation ${generation} killed at ${at}, then ${done.report?.records} of ${all}`);
            steps.push(seen);
            await arena.startServer(0);
            await crowd.turns(TURNS_PER_ROUND, 300_000);
            report(round + 1, ROUNDS, 'rebuilds');
          }
          await crowd.stop();
          const read = await reading.stop();
          await settle(arena);
          const { truth, wrong, records, rows } = await checkDerived(arena);
          const after = turnsAfterLastFault(history, truth);
          const violations = [...wrong, ...read.failures, ...checkHistory(history, truth.playthroughs)];
          violations.push(...notEnough(history, { turns: 5_000, outcomes: ['accepted', 'duplicate', 'unknown', 'refused TURN_STALE'] }));
          if (after < (isLong ? 100 : 20)) violations.push(`only ${after} turns after the last fault`);
          if (read.reads < (isLong ? 1_000 : 20)) violations.push(`only ${read.reads} reads`);
          expect(violations).toEqual([]);
          return {
            ...{ rebuilds: ROUNDS, killed: history.of('fault server'), recordsBefore: past, records, readModelRows: rows, parity: 'equal' },
            ...{ reads: read.reads, readsFailed: read.failures.length, progressReports: steps.map(String), resumed },
            ...{ acceptedTurns: history.acceptedTurns, turnsAfterLastFault: after, violations: violations.length },
            faults: cutOffs(history, truth).map((one) => `${one.what}: ${one.inFlight} cut off, ${one.storedUnanswered} stored`),
            outcomes: countsOf(history),
          };
        });
        expect(figures).toMatchObject({ readsFailed: 0, parity: 'equal', violations: 0 });
      },
      isLong ? 3_600_000 : 240_000,
    );
  },
  { one: 2, of: 3 },
);

/** Orders a rebuild from server 0 and kills the server when some of it is done; again until it was not too quick for us. */
async function killedHalfWay(arena: Arena, history: History): Promise<{ readonly generation: number; readonly at: number }> {
  for (let attempt = 0; attempt < 10; attempt++) {
    const operator = await arena.api(['operator'], 0);
    const { status } = await operator.rest('POST', '/admin/projections/rebuild');
    expect(status).toBe(202);
    const total = await arena.records();
    for (;;) {
      const building = await buildingPosition(arena);
      if (building !== undefined && building.at > total / 4) {
        history.fault('server');
        await arena.killServer(0);
        const still = await buildingPosition(arena);
        if (still !== undefined) return { generation: still.n, at: still.at };
        await arena.startServer(0);
        break;
      }
      if ((await projections(operator)).rebuild.state !== 'running') break;
    }
  }
  throw new Error('every rebuild was done before the server could be killed');
}

/** Orders the rebuild from the surviving server until it is taken up, and watches it: progress never goes back. */
async function rebuilt(operator: ApiClient): Promise<{ readonly seen: number; readonly done: Projections['rebuild'] }> {
  const deadline = performance.now() + REBUILT_WITHIN_MS;
  const highest = new Map<number, number>();
  let seen = 0;
  await operator.rest('POST', '/admin/projections/rebuild');
  for (;;) {
    const { rebuild } = await projections(operator);
    for (const { partition, done, end } of rebuild.partitions ?? []) {
      expect(done).toBeGreaterThanOrEqual(highest.get(partition) ?? 0);
      expect(end).toBeGreaterThan(0);
      if (done > (highest.get(partition) ?? 0)) seen++;
      highest.set(partition, done);
    }
    if (rebuild.state === 'done') return { seen, done: rebuild };
    // The killed server's session may hold the guard for a moment.
    if (rebuild.state === 'failed' && /another process is rebuilding/.test(rebuild.error ?? ''))
      await operator.rest('POST', '/admin/projections/rebuild');
    else if (rebuild.state === 'failed') throw new Error(`the rebuild failed: ${rebuild.error}`);
    if (performance.now() > deadline) throw new Error(`the rebuild was not done in time: ${JSON.stringify(rebuild)}`);
    await pause(20);
  }
}

async function projections(operator: ApiClient): Promise<Projections> {
  const { status, body, text } = await operator.rest('GET', '/admin/projections');
  if (status !== 200) throw new Error(`GET /admin/projections: ${text}`);
  return body as Projections;
}

/** The generation that is being built, and how many records it has taken. */
async function buildingPosition(arena: Arena): Promise<{ readonly n: number; readonly at: number } | undefined> {
  const { rows } = await arena.pool.query<{ n: number }>(`select n from fabula.projection_generations where state = 'building'`);
  const n = rows[0]?.n;
  if (n === undefined) return undefined;
  const { rows: positions } = await arena.pool.query<{ at: string }>(
    `select coalesce(sum(next_offset), 0) as at from projection_${n}.positions`,
  );
  return { n, at: Number(positions[0]?.at ?? 0) };
}

/** Reads that go on all the time at one server; each must be answered. */
class Reading {
  private readonly failures: string[] = [];
  private reads = 0;
  private stopping = false;
  private readonly running: Promise<void>;

  constructor(
    private readonly reader: ApiClient,
    private readonly author: ApiClient,
    private readonly url: string,
    private readonly crowd: Crowd,
  ) {
    this.running = this.readOn();
  }

  async stop(): Promise<{ readonly reads: number; readonly failures: readonly string[] }> {
    this.stopping = true;
    await this.running;
    return { reads: this.reads, failures: this.failures };
  }

  private async readOn(): Promise<void> {
    for (let i = 0; !this.stopping; i++) {
      try {
        await this.read(i);
      } catch (error) {
        this.failures.push(`a read of kind ${i % 4} failed: ${String(error)}`);
      }
      this.reads++;
      await pause(25);
    }
  }

  private async read(i: number): Promise<void> {
    const { playthroughs } = this.crowd;
    const one = playthroughs[i % playthroughs.length];
    if (one === undefined) return;
    switch (i % 4) {
      case 0: {
        const body = await this.asReader(
          one.token,
          `query { playthrough(id: "${one.id}") { turn history(first: 5) { edges { node { turn } } } } }`,
        );
        if ((body as { playthrough?: object | null }).playthrough == null) throw new Error('nothing was found');
        return;
      }
      case 1: {
        const body = await this.asReader(one.token, 'query { myPlaythroughs { edges { node { id turn } } } }');
        if ((body as { myPlaythroughs: { edges: unknown[] } }).myPlaythroughs.edges.length === 0) throw new Error('nothing was found');
        return;
      }
      case 2: {
        const { status, text } = await this.author.rest('GET', `/admin/playthroughs/${one.id}/turns`);
        if (status !== 200) throw new Error(`${status} ${text}`);
        return;
      }
      default:
        if ((await this.reader.data<{ story: object | null }>('query { story(id: "chaos") { id } }')).story === null)
          throw new Error('nothing was found');
    }
  }

  private async asReader(token: string, query: string): Promise<unknown> {
    const response = await fetch(`${this.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
      body: JSON.stringify({ query }),
    });
    const { data, errors } = (await response.json()) as { data?: unknown; errors?: unknown };
    if (errors !== undefined) throw new Error(JSON.stringify(errors));
    return data;
  }
}
