import { readFileSync } from 'node:fs';
import path from 'node:path';
import * as fc from 'fast-check';
import { admit, decodeRecord, EMPTY_HEAD, partitionOf } from '#lib/decision';
import { createMemoryLog, RecordsForgotten, type EventLog, type LogId, type Offset } from '#lib/log';
import { createTestDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import { testTimers } from '../contract/projection-contract.js';
import { writeRandomHistory } from '../contract/random-history.js';
import { readAll } from '../contract/read-all.js';
import { decodeBatch, foldBatch, liveStream } from '../fold-batch.js';
import { foldLog } from '../fold-log.js';
import { forgetGenerations, listGenerations } from '../generations.js';
import { MemoryProjection } from '../memory-projection.js';
import { Projector } from '../projector.js';
import type { ProjectionStore } from '../projection-store.js';
import { readModelDigest } from '../read-model-digest.js';
import { createReadSide, type ReadSide } from '../read-side.js';
import { aloneWithReadModels, rebuild, RebuildRunning, type RebuildOptions } from '../rebuild.js';
import { STREAM_KINDS } from '../stream-kinds.js';
import { TABLE_NAMES } from '../tables.js';
import { rowsDigest } from './base-digest.js';
import { reduceRows, type Rows } from './base-rows.js';
import { currentBases, listBases, LogBaseDamaged, type LogBase } from './log-base.js';
import { dropFormer, switchBase, thin } from './switch-base.js';
import { BaseRefused, takeBase, type TakeBase } from './take-base.js';

const clock = { now: () => Date.now() };
const PARTITIONS = 2;
const LONG = process.env['FABULA_TEST_LONG'] !== undefined;

let database: TestDatabase;
let log: EventLog;
let logId: LogId;
let side: ReadSide;
let projector: Projector;

beforeAll(async () => {
  database = await createTestDatabase();
}, 60_000);
afterAll(() => database?.drop());

async function begun(seed: number, records = 400, playthroughs = 6): Promise<void> {
  await cleaned();
  log = createMemoryLog({ partitions: PARTITIONS, clock });
  logId = await log.id();
  // Stories, officers and the playthroughs of an earlier release.
  for (const file of ['0.1.0.ndjson', '0.2.0-compliance.ndjson'])
    for (const line of readFileSync(path.join(__dirname, '../../../../test/golden', file), 'utf8')
      .trimEnd()
      .split('\n')) {
      const { stream } = JSON.parse(line) as { stream: string };
      await log.append(partitionOf(stream, PARTITIONS), [{ key: stream, value: Buffer.from(line) }]);
    }
  await writeRandomHistory(log, { seed, partitions: PARTITIONS, playthroughs, records });
  side = createReadSide({ pool: database.pool, logId, partitions: PARTITIONS, clock, timers: testTimers });
  projector = await Projector.open({ log, store: side.projection, timers: testTimers });
  await folded();
}
async function cleaned(): Promise<void> {
  await forgetGenerations(database.pool, async (client) => {
    const { rows } = await client.query<{ id: number }>('delete from fabula.log_bases returning id');
    for (const { id } of rows) await client.query(`drop schema if exists log_base_${id} cascade`);
  });
}
async function folded(): Promise<void> {
  for (let partition = 0; partition < PARTITIONS; partition++) await projector.catchUp(partition);
}

const asked = (partition: number, offset: Offset, more: Partial<TakeBase> = {}): TakeBase => ({
  ...{ pool: database.pool, log, logId, timers: testTimers, partition, offset, action: 'a-1' },
  ...more,
});
const options = (more: Partial<RebuildOptions> = {}): RebuildOptions => ({
  databaseUrl: database.url,
  log,
  clock,
  timers: testTimers,
  ...more,
});
async function pruned(partition: number, offset: Offset): Promise<LogBase> {
  const base = await takeBase(asked(partition, offset));
  await aloneWithReadModels(database.pool, async () => {
    await switchBase(database.pool, base, base.digest ?? '');
    await log.forget(partition, offset);
    for (const { n, state } of await listGenerations(database.pool)) if (state === 'live') await thin(database.pool, n, logId);
    await dropFormer(database.pool, logId);
  });
  return base;
}
const rowsOf = (memory: MemoryProjection): Rows =>
  Object.fromEntries(TABLE_NAMES.map((name) => [name, [...memory.rows(name).values()]])) as unknown as Rows;
const only = (rows: Rows, partition: number): Rows =>
  Object.fromEntries(
    TABLE_NAMES.map((name) => [name, (rows[name] as readonly { partition: number }[]).filter((row) => row.partition === partition)]),
  ) as unknown as Rows;

/** The oracle: a partition's records below the offset folded from 0 in memory and reduced there; the rest folded on it. */
async function oracle(
  records: Awaited<ReturnType<typeof readAll>>,
  before: readonly Offset[],
): Promise<{ digests: string[]; all: MemoryProjection }> {
  const upTo = await foldLog(
    logId,
    records.map((own, partition) => own.slice(0, before[partition])),
  );
  const all = new MemoryProjection();
  await all.open(logId, PARTITIONS);
  const digests: string[] = [];
  for (const [partition, own] of records.entries()) {
    const position = await upTo.readPosition(partition);
    const rows = reduceRows(only(rowsOf(upTo), partition));
    digests.push(rowsDigest(rows, logId, position));
    all.begin(position, rows);
    const from = before[partition] ?? 0;
    if (own.length === from) continue;
    const batch = decodeBatch(partition, PARTITIONS, from, own.slice(from));
    const known = await all.loadStreams(partition, [...batch.streams]);
    const stream = (id: string) => {
      const row = known.get(id);
      return row === undefined ? undefined : liveStream(row, STREAM_KINDS);
    };
    await all.commit(foldBatch(batch, { logId, epoch: 0, kinds: STREAM_KINDS, stream }).changes);
  }
  return { digests, all };
}

describe('a base of the log', () => {
  it('gives with the records after it what all records gave, for random histories and offsets, one pruning after another', async () => {
    let longest = 0;
    await fc.assert(
      fc.asyncProperty(fc.nat(10_000), fc.array(fc.nat(1_000), { minLength: 1, maxLength: 2 }), async (seed, cuts) => {
        // Few of them have more than 64 commands and snapshots in between.
        await begun(seed, 500, 2 + (seed % 4));
        const records = await readAll(log);
        const ends = records.map((own) => own.length);
        const before: Offset[] = ends.map(() => 0);
        for (const [n, cut] of cuts.entries()) {
          const partition = seed % PARTITIONS;
          const [from, end] = [before[partition] ?? 0, ends[partition] ?? 0];
          if (end - from < 1) continue;
          const offset = from + 1 + (cut % (end - from));
          const base = await pruned(partition, offset);
          before[partition] = offset;
          const { digests, all } = await oracle(records, before);
          // The second is folded from the first: it says what a fold of all records would.
          expect([n, base.digest]).toEqual([n, digests[partition]]);
          const { rows } = await database.pool.query<{ most: string }>(
            `select max(n) filter (where stream like 'playthrough/%') as most
             from (select stream, count(*) as n from log_base_${base.id}.stream_commands group by 1) counted`,
          );
          expect(Number(rows[0]?.most ?? 0)).toBeLessThanOrEqual(64);
          longest = Math.max(longest, Number(rows[0]?.most ?? 0));
          expect(await readModelDigest(side.projection)).toEqual(await readModelDigest(all));
        }
        expect((await rebuild(options())).parity.kind).toBe('equal');
        await expectSameVerdicts(records);
      }),
      { numRuns: LONG ? 200 : 6 },
    );
    // Windows were cut off, not only carried over.
    expect(longest).toBe(64);
  }, 7_200_000);

  it('answers retries inside the window and states that are kept as before, and no older ones', async () => {
    await begun(11, 500);
    const records = await readAll(log);
    const before = await foldLog(logId, records);
    const offset = Math.floor((records[0]?.length ?? 0) / 2);
    await pruned(0, offset);
    let [kept, gone] = [0, 0];
    for (const row of before.rows('turns').values()) {
      const stream = `playthrough/${row.playthroughId}`;
      const was = await before.past(stream, row.turn);
      const now = await side.cold.past(stream, row.turn);
      const { first } = await side.cold.kept(stream, row.offset);
      if (row.partition === 1 || row.offset >= offset || row.turn >= (first ?? 0)) {
        // A snapshot may be nearer than the one that is kept, never another.
        expect([row.playthroughId, row.turn, now?.stateHash]).toEqual([row.playthroughId, row.turn, was?.stateHash]);
        kept++;
      } else {
        expect(now).toBeUndefined();
        gone++;
      }
    }
    expect([kept > 100, gone > 10]).toEqual([true, true]);
  });

  it('has the window of each playthrough, and all that officers and authors ever asked', () => {
    const command = (stream: string, version: number) => ({
      ...{ stream, partition: 0, version, commandId: `c:${version}`, commandDigest: 'd', offset: version },
    });
    const commands = ['playthrough/a', 'compliance/main', 'story/b'].flatMap((stream) =>
      Array.from({ length: 100 }, (_, version) => command(stream, 100 - version)),
    );
    const none = Object.fromEntries(TABLE_NAMES.map((name) => [name, []])) as unknown as Rows;
    const kept = reduceRows({ ...none, commands }).commands;
    const of = (stream: string): number[] => kept.filter((row) => row.stream === stream).map(({ version }) => version);
    expect([of('playthrough/a').length, Math.min(...of('playthrough/a'))]).toEqual([64, 37]);
    expect([of('compliance/main').length, of('story/b').length]).toEqual([100, 100]);
  });

  it('is taken anew for another action or offset, and refused where the log begins already', async () => {
    await begun(2);
    const first = await takeBase(asked(0, 40));
    expect(await takeBase(asked(0, 40))).toEqual(first);
    const other = await takeBase(asked(0, 60, { action: 'a-2' }));
    expect(other.id).not.toBe(first.id);
    expect((await listBases(database.pool, logId)).map(({ id, state }) => [id, state])).toEqual([[other.id, 'folded']]);
    await pruned(0, 50);
    await expect(takeBase(asked(0, 50))).rejects.toThrow(BaseRefused);
    await expect(takeBase(asked(0, 20))).rejects.toThrow(/it begins at 50 already/);
    // Records that nobody kept anything of.
    await log.forget(1, 10);
    await expect(takeBase(asked(1, 20))).rejects.toThrow(/it begins at 10, which no base reaches/);
    await expect(rebuild(options())).rejects.toThrow(RecordsForgotten);
  });

  it('is refused while a stream is parked, and where the live read models say something else', async () => {
    await begun(4);
    const live = (await listGenerations(database.pool)).find(({ state }) => state === 'live')?.n ?? 0;
    const { rows } = await database.pool.query<{ stream: string }>(
      `update projection_${live}.stream_heads set previous = repeat('0', 64) where stream =
         (select stream from projection_${live}.stream_heads where partition = 0 order by updated_offset limit 1) returning stream`,
    );
    expect(rows).toHaveLength(1);
    const end = await log.end(0);
    await expect(takeBase(asked(0, end))).rejects.toThrow(/1 rows of stream_heads differ from the live read models/);
    await rebuild(options({ parity: 'reported' }));
    await database.pool.query(
      `insert into projection_${live + 1}.parked (stream, partition, code, reason, from_offset, parked_at) values ($1, 0, 'FOLD_FAILED', 'x', 3, 0)`,
      [rows[0]?.stream],
    );
    await expect(takeBase(asked(0, end))).rejects.toThrow(/is parked: its records are still needed/);
    expect(await currentBases(database.pool, logId)).toEqual([]);
    expect(await log.begin(0)).toBe(0);
  });

  it('that was tampered with is found, and nothing begins with it', async () => {
    await begun(5);
    const taken = await takeBase(asked(0, 80));
    const schema = `log_base_${taken.id}`;
    const change = `update ${schema}.choice_stats set picked = picked + 1
      where (story_id, version_hash, passage_id, choice_id) = (select story_id, version_hash, passage_id, choice_id from ${schema}.choice_stats
        order by 1, 2, 3, 4 limit 1)`;
    const undo = change.replace('picked + 1', 'picked - 1');
    await database.pool.query(change);
    await expect(switchBase(database.pool, taken, taken.digest ?? '')).rejects.toThrow(LogBaseDamaged);
    await database.pool.query(undo);
    await expect(switchBase(database.pool, taken, '0'.repeat(64))).rejects.toThrow(LogBaseDamaged);
    expect(await currentBases(database.pool, logId)).toEqual([]);
    await pruned(0, 80);
    await database.pool.query(change);
    await expect(rebuild(options())).rejects.toThrow(LogBaseDamaged);
    await expect(takeBase(asked(0, 90))).rejects.toThrow(LogBaseDamaged);
    await database.pool.query(undo);
    await database.pool.query(`delete from ${schema}.stream_commands where version = 1`);
    await expect(rebuild(options())).rejects.toThrow(/was recorded: nothing is built on it/);
    await database.pool.query(`drop schema ${schema} cascade`);
    await expect(rebuild(options())).rejects.toThrow(/there is no schema/);
  });

  it('is what a database begins with that has lost its read models, and a new one is taken on', async () => {
    await begun(6);
    await expect(takeBase(asked(0, (await log.end(0)) + 1))).rejects.toThrow(/it ends at/);
    const offset = Math.floor((await log.end(0)) / 2);
    await pruned(0, offset);
    const before = await readModelDigest(side.projection);
    await forgetGenerations(database.pool, () => Promise.resolve());
    const again = createReadSide({ pool: database.pool, logId, partitions: PARTITIONS, clock, timers: testTimers });
    projector = await Projector.open({ log, store: again.projection, timers: testTimers });
    expect(projector.status().map(({ nextOffset }) => nextOffset)).toEqual([offset, 0]);
    await folded();
    expect(await readModelDigest(again.projection)).toEqual(before);
    await writeRandomHistory(log, { seed: 7, partitions: PARTITIONS, playthroughs: 3, records: 100 });
    await folded();
    await pruned(0, await log.end(0));
    await pruned(1, await log.end(1));
    expect((await rebuild(options())).records).toBe(0);
    await folded();
  });

  it('gives way in a rebuild that was broken off before it, and waits for none that runs', async () => {
    await begun(8);
    const stopped = new AbortController();
    const broken = rebuild(options({ signal: stopped.signal, onProgress: () => stopped.abort(new Error('broken off')) }));
    await expect(broken).rejects.toThrow('broken off');
    expect((await listGenerations(database.pool)).map(({ state }) => state)).toEqual(['live', 'building']);
    const base = await takeBase(asked(0, 60));
    await aloneWithReadModels(database.pool, async () => {
      await expect(aloneWithReadModels(database.pool, () => Promise.resolve())).rejects.toThrow(RebuildRunning);
      await switchBase(database.pool, base, base.digest ?? '');
    });
    expect((await listGenerations(database.pool)).map(({ state }) => state)).toEqual(['live']);
    // Killed there: what the live one has too much is taken by the rebuild.
    expect((await rebuild(options())).parity.kind).toBe('equal');
  });
});

/** Each record again: the live read models and memory that folded everything say the same of it. */
async function expectSameVerdicts(records: Awaited<ReturnType<typeof readAll>>): Promise<void> {
  const all = await foldLog(logId, records);
  for (const [partition, own] of records.entries()) {
    for (const { value } of own.slice(-20)) {
      const decoded = decodeRecord(value);
      if (decoded.kind !== 'record') continue;
      const verdictOf = async (store: ProjectionStore) => {
        const row = (await store.loadStreams(partition, [decoded.record.stream])).get(decoded.record.stream);
        return admit(row ?? EMPTY_HEAD, decoded.record, decoded.digest, 1_000_000).verdict;
      };
      expect(await verdictOf(side.projection)).toBe(await verdictOf(all));
    }
  }
}
