import { readFileSync } from 'node:fs';
import path from 'node:path';
import { COMPLIANCE_STREAM } from '#lib/compliance';
import { partitionOf } from '#lib/decision';
import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { createMemoryLog, type EventLog } from '#lib/log';
import { testTimers } from './contract/projection-contract.js';
import { readAll } from './contract/read-all.js';
import { writeRandomHistory } from './contract/random-history.js';
import { ComplianceReads } from './compliance-reads.js';
import { foldLog } from './fold-log.js';
import { dropRetired, listGenerations } from './generations.js';
import { Fenced } from './partition-projector.js';
import { Projector } from './projector.js';
import { readModelDigest } from './read-model-digest.js';
import { createReadSide, type ReadSide } from './read-side.js';
import { ParityFailed, rebuild, RebuildRunning, type RebuildOptions, type RebuildProgress } from './rebuild.js';

const clock = { now: () => Date.now() };
const PARTITIONS = 2;

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
}, 60_000);
afterAll(() => database.drop());

let log: EventLog;
let side: ReadSide;
let projector: Projector;

beforeEach(async () => {
  for (const { n } of await listGenerations(database.pool)) await database.pool.query(`drop schema projection_${n} cascade`);
  await database.pool.query('delete from fabula.projection_generations');
  log = createMemoryLog({ partitions: PARTITIONS, clock });
  await writeRandomHistory(log, { seed: 1, partitions: PARTITIONS, playthroughs: 8, records: 400 });
  side = createReadSide({ pool: database.pool, logId: await log.id(), partitions: PARTITIONS, clock, timers: testTimers });
  projector = await Projector.open({ log, store: side.projection, timers: testTimers });
});
afterEach(() => projector.stop());

const options = (more: Partial<RebuildOptions> = {}): RebuildOptions => ({
  databaseUrl: database.url,
  log,
  clock,
  timers: testTimers,
  ...more,
});

async function settled(): Promise<void> {
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const offset = (await log.end(partition)) - 1;
    for (let tries = 0; tries < 5; tries++) {
      if ((await side.waiter.waitFor({ logId: await log.id(), partition, offset })) === 'visible') break;
    }
    expect(await side.cold.position(partition, true)).toBe(offset + 1);
  }
}

async function expectFolded(): Promise<void> {
  expect(await readModelDigest(side.projection)).toEqual(await readModelDigest(await foldLog(await log.id(), await readAll(log))));
}

describe('a rebuild', () => {
  it('switches to an equal generation while writers write, readers read and the live projector goes on', async () => {
    projector.start();
    const done = new AbortController();
    let reads = 0;
    const writer = (async () => {
      for (let seed = 2; !done.signal.aborted; seed++) {
        await writeRandomHistory(log, { seed, partitions: PARTITIONS, playthroughs: 4, records: 40 });
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const reader = (async () => {
      for (; !done.signal.aborted; reads++) {
        const { value } = await side.reads.playthroughs({ first: 5 });
        await side.cold.load(
          0,
          value.rows.map((row) => `playthrough/${row.id}`),
        );
      }
    })();
    const seen: RebuildProgress[] = [];
    const report = await rebuild(options({ onProgress: (progress) => seen.push(progress) }));
    done.abort();
    await Promise.all([writer, reader]);
    expect(report).toMatchObject({ generation: 2, replaced: 1, parity: { kind: 'equal' } });
    expect(report.records).toBeGreaterThanOrEqual(400);
    expect(seen.some(({ partition, done, end }) => partition === 1 && done > 0 && end > 0)).toBe(true);
    expect(reads).toBeGreaterThan(0);
    expect((await listGenerations(database.pool)).map(({ n, state }) => [n, state])).toEqual([
      [1, 'retired'],
      [2, 'live'],
    ]);
    await settled();
    expect((await side.reads.asOf()).generation).toBe(2);
    await expectFolded();
    expect(await dropRetired(database.pool)).toEqual([]);
    expect(await dropRetired(database.pool, 0)).toEqual([1]);
    expect((await side.reads.playthroughs({ first: 5 })).value.rows).toHaveLength(5);
  }, 30_000);

  it('goes on where it was interrupted', async () => {
    for (let partition = 0; partition < PARTITIONS; partition++) await projector.catchUp(partition);
    await writeRandomHistory(log, { seed: 9, partitions: PARTITIONS, playthroughs: 40, records: 4_000 });
    const abort = new AbortController();
    let folded = 0;
    const interrupted = rebuild(
      options({
        signal: abort.signal,
        onProgress: ({ done }) => {
          folded = Math.max(folded, done);
          abort.abort(new Error('killed'));
        },
      }),
    );
    await expect(interrupted).rejects.toThrow('killed');
    const report = await rebuild(options());
    expect(report.generation).toBe(2);
    expect(report.records).toBeLessThan(4_400 - folded + 1);
    expect(report.parity.kind).toBe('equal');
    await settled();
    await expectFolded();
  }, 30_000);

  it('does not switch to a generation that differs, and says in what, unless that is accepted', async () => {
    for (let partition = 0; partition < PARTITIONS; partition++) await projector.catchUp(partition);
    await database.pool.query(`update projection_1.turns set state_hash = repeat('0', 64) where "offset" = 7`);
    const failure = await rebuild(options()).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ParityFailed);
    expect((failure as Error).message).toMatch(/differs from the live one in turns;/);
    expect((await listGenerations(database.pool)).map(({ state }) => state)).toEqual(['live', 'building']);
    const report = await rebuild(options({ parity: 'reported' }));
    expect(report.parity.kind).toBe('different');
    expect((await listGenerations(database.pool)).map(({ state }) => state)).toEqual(['retired', 'live']);
  });

  it('mends read models of another log', async () => {
    for (let partition = 0; partition < PARTITIONS; partition++) await projector.catchUp(partition);
    log = createMemoryLog({ partitions: 3, clock });
    await writeRandomHistory(log, { seed: 5, partitions: 3, playthroughs: 5, records: 100 });
    await expect(Projector.open({ log, store: side.projection, timers: testTimers })).rejects.toThrow(/FABULA_ADOPT_LOG/);
    const report = await rebuild(options());
    expect(report.parity).toMatchObject({ kind: 'incomparable' });
    await Projector.open({ log, store: side.projection, timers: testTimers });
    await side.live.refresh();
    await expectFolded();
  });

  it('runs once at a time', async () => {
    const outcomes = await Promise.allSettled([rebuild(options()), rebuild(options())]);
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
    expect(refused).toHaveLength(1);
    expect(refused[0]?.reason).toBeInstanceOf(RebuildRunning);
  });
});

describe('a live generation that an older release made', () => {
  const compliance = readFileSync(path.join(__dirname, '../../../test/golden/0.2.0-compliance.ndjson'), 'utf8').trimEnd().split('\n');
  const partition = partitionOf(COMPLIANCE_STREAM, PARTITIONS);
  const older = async (): Promise<void> => {
    const [live] = (await listGenerations(database.pool)).filter(({ state }) => state === 'live');
    for (const table of ['actions', 'holds', 'events']) await database.pool.query(`drop table projection_${live?.n}.compliance_${table}`);
    await database.pool.query('update fabula.projection_generations set layout = 1');
  };
  const held = async (): Promise<void> => {
    await log.append(
      partition,
      compliance.map((line) => ({ key: COMPLIANCE_STREAM, value: Buffer.from(line) })),
    );
  };

  it('gets the tables that it lacks when a projector begins on it', async () => {
    for (let p = 0; p < PARTITIONS; p++) await projector.catchUp(p);
    await older();
    await held();
    projector = await Projector.open({ log, store: side.projection, timers: testTimers });
    for (let p = 0; p < PARTITIONS; p++) await projector.catchUp(p);
    await expectFolded();
    const { value } = await new ComplianceReads(side.live).events({ first: 100 });
    expect(value.rows.map(({ sequence }) => sequence)).toEqual(value.rows.map((_, i) => i + 1));
    expect(value.rows.length).toBeGreaterThan(10);
    expect((await rebuild(options())).parity.kind).toBe('equal');
  });

  it('gets them, too, when it was made live under a projector that was at work', async () => {
    for (let p = 0; p < PARTITIONS; p++) await projector.catchUp(p);
    await older();
    await held();
    // Fenced, since the tables are not there; then it begins anew.
    await projector.catchUp(partition).catch((error: unknown) => expect(error).toBeInstanceOf(Fenced));
    await projector.catchUp(partition);
    await expectFolded();
    expect((await new ComplianceReads(side.live).state())?.actions).toHaveLength(1);
  });
});
