import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { createMemoryLog } from '#lib/log';
import { projected, testTimers } from './contract/projection-contract.js';
import { readAll } from './contract/read-all.js';
import { appendUnstorable } from './contract/poison.js';
import { writeRandomHistory, type HistoryTruth } from './contract/random-history.js';
import { foldLog } from './fold-log.js';
import { coldLoadText, overdueText } from './postgres-cold-source.js';
import { answer, myPlaythroughs, playthroughs, turns } from './read-model-queries.js';
import { Projector } from './projector.js';
import { createReadSide, type ReadSide } from './read-side.js';

const clock = { now: () => Date.now() };
let database: TestDatabase;
let side: ReadSide;
let truth: HistoryTruth;
const log = createMemoryLog({ partitions: 2, clock });

beforeAll(async () => {
  database = await createTestDatabase();
  truth = await writeRandomHistory(log, { seed: 31, partitions: 2, playthroughs: 300, records: 3_000, filler: 50 });
  side = createReadSide({ pool: database.pool, logId: await log.id(), partitions: 2, clock, timers: testTimers });
  const projector = await Projector.open({ log, store: side.projection, timers: testTimers });
  await projector.catchUp(0);
  await projector.catchUp(1);
}, 60_000);
afterAll(() => database.drop());

async function plan(text: string, values: readonly unknown[]): Promise<string> {
  const client = await database.pool.connect();
  try {
    await client.query('begin');
    // Small tables are scanned and sorted for good reason; what matters is that an index answers, in order.
    await client.query('set local enable_seqscan = off; set local enable_bitmapscan = off');
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(`explain ${text}`, [...values]);
    await client.query('rollback');
    return rows.map((row) => row['QUERY PLAN']).join('\n');
  } finally {
    client.release();
  }
}

describe('hot queries are answered by indexes, without sorting', () => {
  it('a cold load', async () => {
    const text = await plan(coldLoadText('projection_1'), [0, ['playthrough/a', 'playthrough/b']]);
    expect(text).toMatch(/Index Scan using stream_heads_pkey/);
    expect(text).toMatch(/Index Scan Backward using stream_commands_pkey/);
    expect(text).not.toMatch(/Seq Scan on (stream_heads|stream_commands)/);
  });

  it('the sweep of overdue playthroughs', async () => {
    const text = await plan(overdueText('projection_1'), [0, 5, 10]);
    expect(text).toMatch(/Index Scan using playthroughs_overdue/);
    expect(text).not.toMatch(/Sort/);
  });

  it("a reader's own playthroughs, first page and next", async () => {
    for (const [after, key] of [
      [false, [null, null]],
      [true, [5, 'x']],
    ] as const) {
      const text = await plan(myPlaythroughs(after)('projection_1'), ['reader-1', ...key, 21, null]);
      expect(text).toMatch(/Index Scan using playthroughs_of_reader/);
      expect(text).not.toMatch(/Sort/);
    }
  });

  it("support's list of a story, and a history page", async () => {
    expect(await plan(playthroughs(true, true)('projection_1'), [5, 'x', 21, null, 's'])).toMatch(/Index Scan using playthroughs_of_story/);
    const page = await plan(answer('projection_1', turns(false)('projection_1')), ['x', 3, 4, 21]);
    expect(page).toMatch(/Index Scan using turns_pkey/);
    expect(page).not.toMatch(/Sort/);
  });
});

describe('the round trips of a batch', () => {
  it('are one load of what is not hot and one commit', async () => {
    const another = createMemoryLog({ partitions: 2, clock, id: await log.id() });
    for (const [partition, records] of (await readAll(log)).entries()) {
      for (let at = 0; at < records.length; at += 500) await another.append(partition, records.slice(at, at + 500));
    }
    await writeRandomHistory(another, { seed: 32, partitions: 2, playthroughs: 20, records: 400, filler: 10 });
    const projector = await Projector.open({ log: another, store: side.projection, timers: testTimers, maxRecords: 1000 });
    const statements = jest.spyOn(database.pool, 'query');
    let batches = 0;
    projector.onCommit(() => batches++);
    await projector.catchUp(0);
    const names = statements.mock.calls.map(([query]) => (query as unknown as { name?: string }).name ?? 'unnamed');
    statements.mockRestore();
    expect(batches).toBeGreaterThan(0);
    expect(names.filter((name) => name.includes('_commit_'))).toHaveLength(batches);
    expect(names.filter((name) => name.endsWith('load_streams')).length).toBeLessThanOrEqual(batches);
    expect(names).toHaveLength(names.filter((name) => /commit|load_streams|positions|projection_live/.test(name)).length);
    await projector.catchUp(1);
  });
});

describe('what the read models answer', () => {
  it('pages through everything exactly once, newest first, with the position of the answer', async () => {
    const seen: string[] = [];
    const starts: number[] = [];
    let after: string | undefined;
    for (let page = 0; ; page++) {
      const { value, asOf } = await side.reads.playthroughs({ first: 100, after });
      expect(asOf.partitions.map(({ nextOffset }) => nextOffset).every((offset) => offset > 100)).toBe(true);
      seen.push(...value.rows.map((row) => row.id));
      starts.push(...value.rows.map((row) => row.startedAt ?? 0));
      if (!value.hasNextPage) break;
      after = value.cursors.at(-1);
      expect(page).toBeLessThan(10);
    }
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.length).toBeGreaterThanOrEqual(truth.states.size);
    expect(starts).toEqual([...starts].sort((a, b) => b - a));
    const mine = await side.reads.myPlaythroughs({ reader: 'reader-1', first: 7 });
    const next = await side.reads.myPlaythroughs({ reader: 'reader-1', first: 7, after: mine.value.cursors[6] });
    expect([...mine.value.rows, ...next.value.rows].every((row) => row.reader === 'reader-1')).toBe(true);
    expect(next.value.rows[0]?.id).not.toBe(mine.value.rows[6]?.id);
    expect(next.value.rows[0]?.startedAt ?? 0).toBeLessThanOrEqual(mine.value.rows[6]?.startedAt ?? 0);
    await expect(side.reads.myPlaythroughs({ reader: 'x', first: 7, after: 'bm90IG91cnM' })).rejects.toThrow('cursor');
  });

  it('gives a history without checkpoints, in turn order, and the checkpoints apart', async () => {
    const [stream, state] = [...truth.states].find(([, some]) => some.checkpoints.length > 0 && some.turn > 3) ?? [];
    const id = stream?.slice('playthrough/'.length) ?? '';
    const { value } = await side.reads.turns(id, { first: 100 });
    const numbers = value.rows.map((row) => row.turn);
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    expect(numbers.at(-1)).toBe(state?.turn);
    expect(value.rows.some((row) => row.kind === 'CheckpointSet')).toBe(false);
    expect((await side.reads.checkpoints(id)).value.map((row) => row.mark)).toEqual(state?.checkpoints.map((row) => row.mark));
    const rest = await side.reads.turns(id, { first: 100, after: value.cursors[1] });
    expect(rest.value.rows).toEqual(value.rows.slice(2));
  });

  it('counts so that who came and did not leave is who stands there', async () => {
    const own = new Map<string, number>();
    const all = new Map<string, number>();
    const oracle = await foldLog(await log.id(), await readAll(log));
    for (const row of oracle.rows('playthroughs').values()) {
      if (row.status !== 'active' || row.versionHash !== 'a'.repeat(64)) continue;
      all.set(row.passageId, (all.get(row.passageId) ?? 0) + 1);
      if (!row.preview && row.forkedFromId === null) own.set(row.passageId, (own.get(row.passageId) ?? 0) + 1);
    }
    const fresh = createReadSide({ pool: database.pool, logId: await log.id(), partitions: 2, clock, timers: testTimers });
    await database.pool.query('drop schema projection_1 cascade; delete from fabula.projection_generations');
    await projected(log, fresh.projection, 1_000);
    const { value } = await fresh.reads.versionStats('lighthouse', 'a'.repeat(64));
    expect(value.passages.length).toBeGreaterThan(3);
    for (const { passageId, dropOff, standing } of value.passages) {
      expect({ passageId, dropOff, standing }).toEqual({ passageId, dropOff: own.get(passageId) ?? 0, standing: all.get(passageId) ?? 0 });
    }
    for (const choice of value.choices) {
      expect(choice.offered).toBeGreaterThanOrEqual(choice.visible);
      expect(choice.visible).toBeGreaterThanOrEqual(choice.enabled);
      expect(choice.enabled).toBeGreaterThanOrEqual(choice.picked);
    }
    expect(value.endings.reduce((sum, { reached }) => sum + reached, 0)).toBe(value.passages.reduce((sum, { ended }) => sum + ended, 0));
  }, 30_000);

  it('waits for a write to become visible, and says when it does not', async () => {
    const logId = await log.id();
    const end = await log.end(0);
    expect(await side.waiter.waitFor({ logId, partition: 0, offset: end - 1 })).toBe('visible');
    expect(await side.waiter.waitFor({ logId, partition: 0, offset: end + 5_000 }, 30)).toBe('not-yet-visible');
    expect(await side.waiter.waitFor({ logId: 'other', partition: 0, offset: 0 })).toBe('another-log');
    expect(await side.waiter.waitFor({ logId, partition: 2, offset: 0 })).toBe('no-such-partition');
    const waiting = side.waiter.waitFor({ logId, partition: 0, offset: end + 9_000 });
    side.waiter.committed({ partition: 0, to: end + 9_001 });
    expect(await waiting).toBe('visible');
  });

  it('parks only the stream whose value Postgres cannot hold, out of one batch of many', async () => {
    const single = createMemoryLog({ partitions: 1, clock });
    await writeRandomHistory(single, { seed: 41, partitions: 1, playthroughs: 6, records: 60 });
    const stream = await appendUnstorable(single);
    await writeRandomHistory(single, { seed: 42, partitions: 1, playthroughs: 6, records: 60 });
    await database.pool.query('drop schema projection_1 cascade; delete from fabula.projection_generations');
    const own = createReadSide({ pool: database.pool, logId: await single.id(), partitions: 1, clock, timers: testTimers });
    const projector = await Projector.open({ log: single, store: own.projection, timers: testTimers });
    expect(await projector.catchUp(0)).toBe(121);
    const { value } = await own.reads.parked({ first: 10 });
    expect(value.rows).toMatchObject([{ stream, code: 'STORE_REFUSED', fromOffset: 60, records: 1, attempts: 0 }]);
    expect(await own.projection.retryParked(stream)).toMatchObject({ kind: 'still-parked', offset: 60 });
    expect((await own.reads.parked({ first: 10 })).value.rows).toMatchObject([{ stream, attempts: 1 }]);
    const oracle = await foldLog(await single.id(), await readAll(single));
    const others = [...oracle.rows('streams').values()].filter((row) => row.stream !== stream);
    const loaded = await own.cold.load(
      0,
      others.map((row) => row.stream),
    );
    for (const row of others) expect(loaded.streams.get(row.stream)).toMatchObject({ state: row.state, parked: null });
  });
});
