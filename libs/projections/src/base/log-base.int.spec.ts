import * as fc from 'fast-check';
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
import { readModelDigest } from '../read-model-digest.js';
import { createReadSide, type ReadSide } from '../read-side.js';
import { aloneWithReadModels, rebuild, type RebuildOptions } from '../rebuild.js';
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

async function begun(seed: number, records = 400): Promise<void> {
  await cleaned();
  log = createMemoryLog({ partitions: PARTITIONS, clock });
  logId = await log.id();
  await writeRandomHistory(log, { seed, partitions: PARTITIONS, playthroughs: 6, records });
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

it('works', async () => {
  await begun(1);
  const records = await readAll(log);
  const base = await pruned(0, 50);
  const { digests, all } = await oracle(records, [50, 0]);
  expect(base.digest).toBe(digests[0]);
  expect(await readModelDigest(side.projection)).toEqual(await readModelDigest(all));
  expect((await rebuild(options())).parity.kind).toBe('equal');
});
void [fc, RecordsForgotten, LONG, currentBases, listBases, LogBaseDamaged, BaseRefused];
