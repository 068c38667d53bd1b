import type { Pool, PoolClient } from 'pg';
import type { StreamId } from '#lib/decision';
import type { LogId } from '#lib/log';
import { windowFromJson, windowToJson, type PrunedClass, type PruneStep, type StreamBase, type TreeBase } from '../retention/tree-base.js';
import { HASH_BYTES, tileWidth } from '../tlog/index.js';
import { edgeTiles } from '../tree-growth.js';
import { hashes, logOf, numberOf } from './rows.js';

interface BaseRow {
  readonly log: number;
  readonly log_id: string;
  readonly size: string;
  readonly next_offset: string;
  readonly frontier: Buffer;
  readonly previous_leaf: Buffer;
}
interface StreamRow {
  readonly stream: string;
  readonly version: string;
  readonly previous: string | null;
  readonly accepted: unknown;
  readonly first_offset: string;
  readonly version_hash: string | null;
}

const BASE = 'log, log_id, size, next_offset, frontier, previous_leaf';

export async function readBases(client: Pick<Pool, 'query'>, logId: LogId): Promise<readonly TreeBase[]> {
  const { rows } = await client.query<BaseRow>(`select ${BASE} from fabula.audit_bases where log_id = $1 order by log`, [logId]);
  return rows.map(baseOf);
}

export async function readBase(client: Pick<Pool, 'query'>, logId: LogId, log: number): Promise<TreeBase | undefined> {
  const { rows } = await client.query<BaseRow>(`select ${BASE} from fabula.audit_bases where log_id = $1 and log = $2`, [logId, log]);
  return rows[0] === undefined ? undefined : baseOf(rows[0]);
}

const baseOf = (row: BaseRow): TreeBase => ({
  log: logOf(row.log),
  logId: row.log_id,
  size: BigInt(row.size),
  nextOffset: Number(row.next_offset),
  frontier: hashes(row.frontier),
  previousLeaf: row.previous_leaf,
});

export async function readPruned(client: Pick<Pool, 'query'>, logId: LogId): Promise<readonly PrunedClass[]> {
  const { rows } = await client.query<{ log: number; retention: string; below: string; leaves: string; action: string }>(
    'select log, retention, below, leaves, action from fabula.audit_pruned where log_id = $1 order by log, retention',
    [logId],
  );
  return rows.map(({ log, below, leaves, ...row }) => ({ ...row, log: logOf(log), below: BigInt(below), leaves: Number(leaves) }));
}

export async function readStreamBases(
  client: PoolClient,
  logId: LogId,
  log: number,
  streams: readonly StreamId[],
): Promise<ReadonlyMap<StreamId, StreamBase>> {
  const { rows } = await client.query<StreamRow>({
    name: 'audit-stream-bases',
    text: `select stream, version, previous, accepted, first_offset, version_hash from fabula.audit_stream_bases
           where log_id = $1 and log = $2 and stream = any($3::text[])`,
    values: [logId, log, streams],
  });
  return new Map(rows.map((row) => [row.stream as StreamId, streamOf(row)]));
}

function streamOf(row: StreamRow): StreamBase {
  const head = { version: Number(row.version), previous: row.previous, window: windowFromJson(row.accepted) };
  return { stream: row.stream as StreamId, head, firstOffset: Number(row.first_offset), versionHash: row.version_hash };
}

/** All of a step within the caller's transaction. */
export async function pruneRows(client: PoolClient, logId: LogId, log: number, step: PruneStep): Promise<void> {
  const { base, streams, leaves, blocks, pruned } = step;
  if (base !== undefined)
    await client.query(
      `insert into fabula.audit_bases (${BASE}) values ($1, $2, $3, $4, $5, $6)
       on conflict (log_id, log) do update set size = excluded.size, next_offset = excluded.next_offset,
         frontier = excluded.frontier, previous_leaf = excluded.previous_leaf`,
      [log, logId, base.size, base.nextOffset, Buffer.concat(base.frontier), base.previousLeaf],
    );
  await client.query(
    `insert into fabula.audit_stream_bases (log_id, log, stream, version, previous, accepted, first_offset, version_hash)
     select $1, $2::smallint, stream, version, previous, accepted::jsonb, first_offset, version_hash
     from unnest($3::text[], $4::bigint[], $5::text[], $6::text[], $7::bigint[], $8::text[])
       as given (stream, version, previous, accepted, first_offset, version_hash)
     on conflict (log_id, log, stream) do update set version = excluded.version, previous = excluded.previous,
       accepted = excluded.accepted, version_hash = excluded.version_hash`,
    [
      logId,
      log,
      streams.map(({ stream }) => stream),
      streams.map(({ head }) => head.version),
      streams.map(({ head }) => head.previous),
      streams.map(({ head }) => windowToJson(head.window)),
      streams.map(({ firstOffset }) => firstOffset),
      streams.map(({ versionHash }) => versionHash),
    ],
  );
  await client.query('delete from fabula.audit_leaves where log = $1 and leaf_index = any($2::bigint[])', [log, leaves]);
  await client.query(`update fabula.audit_term_blocks set summary = '' where log = $1 and block = any($2::bigint[])`, [log, blocks]);
  await client.query(
    `insert into fabula.audit_pruned (log_id, log, retention, below, leaves, action) values ($1, $2, $3, $4, $5, $6)
     on conflict (log_id, log, retention) do update set below = excluded.below, leaves = excluded.leaves, action = excluded.action`,
    [logId, log, pruned.retention, pruned.below, pruned.leaves, pruned.action],
  );
}

/** Sets a tree back to its base: what is below it stays as it is. */
export async function backToBase(client: PoolClient, { logId, log, size, nextOffset, frontier, previousLeaf }: TreeBase): Promise<void> {
  const number = numberOf(log);
  await client.query('delete from fabula.audit_heads where log = $1', [number]);
  await client.query('delete from fabula.audit_leaves where log = $1 and leaf_index >= $2', [number, size]);
  await client.query('delete from fabula.audit_term_blocks where log = $1 and block >= $2', [number, size / 256n]);
  const edges = edgeTiles(size);
  for (let level = 0; level < 8; level++) {
    const edge = edges.find((tile) => tile.level === level);
    const full = size >> BigInt(8 * (level + 1));
    await client.query('delete from fabula.audit_tiles where log = $1 and level = $2 and tile >= $3', [
      number,
      level,
      edge === undefined ? full : edge.index + 1n,
    ]);
    if (edge !== undefined)
      await client.query(
        'update fabula.audit_tiles set hashes = substring(hashes from 1 for $4) where log = $1 and level = $2 and tile = $3',
        [number, level, edge.index, tileWidth(size, edge) * HASH_BYTES],
      );
  }
  await client.query(
    'insert into fabula.audit_heads (log, log_id, next_offset, size, frontier, previous_leaf) values ($1, $2, $3, $4, $5, $6)',
    [number, logId, nextOffset, size, Buffer.concat(frontier), previousLeaf],
  );
}
