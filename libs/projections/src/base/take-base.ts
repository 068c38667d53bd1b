import type { Pool, PoolClient } from 'pg';
import { createPostgresReleases, type EventLog, type LogId, type Offset } from '#lib/log';
import type { Timers } from '#lib/platform';
import { settleDeadLetters } from '../dead-letter-statements.js';
import { generationDdl, LAYOUT, schemaOf } from '../generation-ddl.js';
import { listGenerations, locked, transaction } from '../generations.js';
import { PostgresProjection } from '../postgres-projection.js';
import { Projector } from '../projector.js';
import { readPositions } from '../stored-positions.js';
import type { StreamKinds } from '../stream-kinds.js';
import { columnName, TABLES, type TableName } from '../tables.js';
import { reductions } from './base-rows.js';
import { digestNow, dropBase, listBases, LogBaseDamaged, patient, seed, type LogBase } from './log-base.js';

export interface TakeBase {
  /** One whose statements may take long. */
  readonly pool: Pool;
  readonly log: EventLog;
  readonly logId: LogId;
  readonly timers: Timers;
  readonly partition: number;
  /** Up to where records are to be forgotten. */
  readonly offset: Offset;
  /** The action of two people. */
  readonly action: string;
  readonly signal?: AbortSignal;
  readonly kinds?: StreamKinds;
}

/** The records cannot be forgotten, because what they led to cannot be kept. */
export class BaseRefused extends Error {
  override readonly name = 'BaseRefused';
  constructor(partition: number, offset: Offset, why: string) {
    super(`partition ${partition} cannot be pruned before offset ${offset}: ${why}`);
  }
}

/**
 * Folds the records of a partition up to an offset into rows of their own, beginning at what the partition begins with now, keeps of them what may
 * still be asked for, and says their digest. Nothing begins with them yet and nothing is forgotten. Broken off anywhere it goes on; what was begun
 * for another offset or action gives way. Beside another call for the same partition one of the two fails.
 * @throws BaseRefused; LogBaseDamaged; RecordsForgotten when the log begins elsewhere than its base ends; what log and database throw
 */
export async function takeBase(options: TakeBase): Promise<LogBase> {
  const { pool, partition, offset } = options;
  const base = await locked(pool, (client) => opened(client, options));
  if (base.state === 'folded') return base;
  await fold(options, base);
  const folded = await transaction(pool, (client) => frozen(client, options, base));
  if (folded.offset !== offset) throw new BaseRefused(partition, offset, `its base was taken up to ${folded.offset}`);
  return folded;
}

/** The one that is being taken, or a new one. */
async function opened(client: PoolClient, { log, logId, partition, offset, action }: TakeBase): Promise<LogBase> {
  const bases = (await listBases(client, logId)).filter((one) => one.partition === partition);
  const next = bases.find(({ state }) => state === 'building' || state === 'folded');
  if (next !== undefined) {
    const mine = next.offset === offset && next.action === action && next.layout === LAYOUT;
    // Changed since: the records are still there, so it is folded again.
    if (mine && (next.state === 'building' || (await isSound(client, next)))) return next;
    await dropBase(client, next);
  }
  const current = bases.find(({ state }) => state === 'current');
  if (current !== undefined && current.offset >= offset) throw new BaseRefused(partition, offset, `it begins at ${current.offset} already`);
  const end = await log.end(partition);
  if (offset > end) throw new BaseRefused(partition, offset, `it ends at ${end}`);
  const begin = await log.begin(partition);
  if (begin > (current?.offset ?? 0)) throw new BaseRefused(partition, offset, `it begins at ${begin}, which no base reaches`);
  const { rows } = await client.query<{ id: number }>(
    `insert into fabula.log_bases (log_id, partition, "offset", layout, action, state) values ($1, $2, $3, $4, $5, 'building') returning id`,
    [logId, partition, offset, LAYOUT, action],
  );
  const id = rows[0]?.id ?? 0;
  await client.query(generationDdl(-id));
  await client.query(
    `insert into ${schemaOf(-id)}.positions select p, $1, 0, 0, 0, 0, 0, 0, 0, 0 from generate_series(0, $2::integer - 1) p`,
    [logId, log.partitions],
  );
  if (current !== undefined) await seed(client, -id, [current]);
  return { id, logId, partition, offset, layout: LAYOUT, action, state: 'building', digest: null };
}

async function isSound(client: PoolClient, base: LogBase): Promise<boolean> {
  await client.query('set local statement_timeout = 0');
  try {
    return (await digestNow(client, base)) === base.digest;
  } catch (error) {
    if (error instanceof LogBaseDamaged) return false;
    throw error;
  }
}

async function fold({ pool, log, logId, timers, partition, offset, signal, kinds }: TakeBase, { id }: LogBase): Promise<void> {
  const store = new PostgresProjection(pool, -id);
  const projector = await Projector.open({
    ...{ log, store, timers, releases: createPostgresReleases(pool, logId) },
    ...(kinds && { kinds }),
  });
  const reached = await projector.catchUp(partition, offset, signal);
  signal?.throwIfAborted();
  if (reached !== offset) throw new BaseRefused(partition, offset, `the record at ${reached} cannot be understood`);
}

/** All of it or nothing: reduced, like the live read models, and with its digest. */
async function frozen(client: PoolClient, { logId, partition, offset }: TakeBase, base: LogBase): Promise<LogBase> {
  await client.query('set local statement_timeout = 0');
  await client.query('set local synchronous_commit = on');
  const schema = schemaOf(-base.id);
  // Against another process at the same: the row is there and still being built.
  const { rowCount } = await client.query(`select from fabula.log_bases where id = $1 and state = 'building' for update`, [base.id]);
  if (rowCount !== 1) throw new Error(`the base of partition ${partition} is being taken elsewhere`);
  const at = (await readPositions(client, -base.id)).find((one) => one.partition === partition);
  if (at?.nextOffset !== offset || at.logId !== logId)
    throw new Error(`the base of partition ${partition} is at ${at?.nextOffset}, not at ${offset}`);
  for (const statement of reductions(schema)) await patient(client, statement);
  await compare(client, schema, partition, offset);
  const digest = await digestNow(client, base);
  await client.query(`update fabula.log_bases set state = 'folded', digest = $2 where id = $1`, [base.id, digest]);
  return { ...base, state: 'folded', digest };
}

/** Rows by the key that they have in both; of rows that go on changing only those that no later record touched. */
const COMPARED: readonly (readonly [name: TableName, unchanged: string])[] = [
  ['streams', 'l.updated_offset < $1'],
  ['commands', 'true'],
  ['turns', 'true'],
  ['complianceEvents', 'true'],
  ['playthroughs', `exists (select from LIVE.stream_heads s where s.stream = 'playthrough/' || l.id and s.updated_offset < $1)`],
  ['stories', `exists (select from LIVE.stream_heads s where s.stream = 'story/' || l.id and s.updated_offset < $1)`],
];

/**
 * What was folded again says the same as the live read models, where no later record changed them; and nothing in it is held back: it could never be
 * folded again. After this the records are gone, so the two accounts must agree now.
 */
async function compare(client: PoolClient, schema: string, partition: number, offset: Offset): Promise<void> {
  const live = (await listGenerations(client)).find(({ state }) => state === 'live');
  if (live === undefined || live.layout !== LAYOUT)
    throw new BaseRefused(partition, offset, 'there are no live read models to compare with');
  const there = schemaOf(live.n);
  const { rows: positions } = await client.query<{ next_offset: string }>(
    `select next_offset from ${there}.positions where partition = $1`,
    [partition],
  );
  if (Number(positions[0]?.next_offset ?? 0) < offset) throw new BaseRefused(partition, offset, 'the live read models are behind it');
  const { rows: parked } = await client.query<{ stream: string }>(
    `select stream from ${schema}.parked where partition = $1
     union all select stream from ${there}.parked where partition = $1 and from_offset < $2 limit 1`,
    [partition, offset],
  );
  if (parked[0] !== undefined)
    throw new BaseRefused(partition, offset, `${parked[0].stream} is parked: its records are still needed to mend it`);
  for (const [name, unchanged] of COMPARED) {
    const { sql, key } = TABLES[name];
    const keys = (key as readonly string[]).map((one) => `l.${columnName(one)} = b.${columnName(one)}`).join(' and ');
    const differs = unchanged.replaceAll('LIVE', there);
    const { rows } = await client.query<{ n: string }>({
      text: `select count(*) as n from ${schema}.${sql} b left join ${there}.${sql} l on ${keys}
        where l.partition is null or (${differs} and row(l.*) is distinct from row(b.*)) ${unchanged.includes('$1') ? '' : 'and $1::bigint is not null'}`,
      values: [offset],
    });
    if (Number(rows[0]?.n ?? 1) > 0)
      throw new BaseRefused(
        partition,
        offset,
        `${rows[0]?.n ?? 'some'} rows of ${sql} differ from the live read models; build those anew first (\`fabula projection rebuild\`)`,
      );
  }
  // Folding again met what was mended since: their status is what the live generation says.
  await settleDeadLetters(client, there);
}
