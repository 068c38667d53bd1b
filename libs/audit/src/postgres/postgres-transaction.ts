import type { Pool, PoolClient } from 'pg';
import { WINDOW_SIZE, type StreamId } from '#lib/decision';
import { errorCode } from '#lib/platform';
import { AuditStopped, noteNotNewer, onlyGrows, termsKept, type AuditTransaction, type Growth, type KeptNote } from '../audit-store.js';
import type { LogName } from '../log-name.js';
import type { TileAddress } from '../tlog/index.js';
import { pruneRows, readBase, readStreamBases } from './base-rows.js';
import { saveTermBlocks } from './term-block-rows.js';
import { addSigningKey, readSigningKeys } from './signing-key-rows.js';
import { booleanArray, numberArray, textArray } from './array-literals.js';
import { headOf, noteOf, numberOf, type HeadRow, type NoteRow } from './rows.js';

const LOCK_HEAD = `
  select log, log_id, next_offset, size, frontier, previous_leaf,
         (select max(size) from fabula.audit_notes note where note.log_id = head.log_id and note.log = head.log) as newest_note,
         (select size from fabula.audit_bases base where base.log_id = head.log_id and base.log = head.log) as base
  from fabula.audit_heads head where log = $1 for update of head`;

/** A stream's newest accepted leaves by the stream index, newest first. */
export const ACCEPTED = `
  select wanted.stream, found.leaf from unnest($2::text[]) as wanted (stream)
  cross join lateral (
    select leaf, leaf_index from fabula.audit_leaves
    where stream = wanted.stream and log = $1 and accepted and leaf_index >= $3::bigint
    order by leaf_index desc limit ${WINDOW_SIZE}
  ) found order by wanted.stream, found.leaf_index`;

/**
 * Everything a batch changes, in one round trip. Bytes travel as one binary parameter cut up by the server: an array of bytea
 * would travel as text of twice the size.
 */
export const GROW = `
  with leaves as (
    insert into fabula.audit_leaves (log, leaf_index, log_offset, time, leaf, stream, correlation_id, actor, accepted)
    select $1::smallint, $2::bigint + n - 1, log_offset, time, substring($3::bytea from start for length), stream, correlation_id, actor, accepted
    from unnest($4::int[], $5::int[], $6::bigint[], $7::bigint[], $8::text[], $9::text[], $10::text[], $11::boolean[])
      with ordinality as leaf (start, length, log_offset, time, stream, correlation_id, actor, accepted, n)
  ), tiles as (
    insert into fabula.audit_tiles (log, level, tile, hashes)
    select $1::smallint, level, tile, substring($12::bytea from start for length)
    from unnest($13::int[], $14::int[], $15::smallint[], $16::bigint[]) as tile (start, length, level, tile)
    on conflict (log, level, tile) do update set hashes = excluded.hashes
  )
  update fabula.audit_heads set next_offset = $17, size = $18, frontier = $19, previous_leaf = $20
  where log = $1::smallint and size = $2::bigint`;

const KEEP_NOTE = `
  insert into fabula.audit_notes (log, log_id, size, root, note, signed_at, published_at, root_index, terms)
  select $1::smallint, $2::text, $3::bigint, $4, $5, $6, $7, $8, $9
  where not exists (select from fabula.audit_notes where log_id = $2 and log = $1 and size >= $3)`;

const KEEP_TERMS = `
  update fabula.audit_notes set terms = $4, terms_index = $5
  where log_id = $2 and log = $1 and size = $3 and terms is null and terms_index is null`;

type LockedHead = HeadRow & { readonly newest_note: string | null; readonly base: string | null };

/** Runs `work` while the head's row is locked; whoever else appends to that tree waits, then sees the new head. */
export async function runTransaction<T>(pool: Pool, log: LogName, work: (transaction: AuditTransaction) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken = true;
  try {
    await client.query('begin');
    const { rows } = await client.query<LockedHead>({ name: 'audit-lock-head', text: LOCK_HEAD, values: [numberOf(log)] });
    const row = rows[0];
    // Somebody rebuilds: the next attempt opens the tree anew.
    if (row === undefined) throw new Error(`the audit tree ${log} was just forgotten`);
    const result = await work(transactionOf(client, row, row.newest_note === null ? -1n : BigInt(row.newest_note)));
    await client.query('commit');
    broken = false;
    return result;
  } catch (error) {
    broken = !(await rolledBack(client));
    // Integrity constraints and the head's trigger: trying again would fail again.
    if (errorCode(error)?.startsWith('23') === true) throw onlyGrowsBecause(log, error);
    throw error;
  } finally {
    client.release(broken);
  }
}

async function rolledBack(client: PoolClient): Promise<boolean> {
  try {
    await client.query('rollback');
    return true;
  } catch {
    // The connection is gone, and the transaction with it; the pool throws the client away.
    return false;
  }
}

function onlyGrowsBecause(log: LogName, error: unknown): AuditStopped {
  const stopped = onlyGrows(log);
  stopped.cause = error;
  return stopped;
}

function transactionOf(client: PoolClient, row: LockedHead, newestNote: bigint): AuditTransaction {
  const head = headOf(row);
  const { log, logId } = head;
  return {
    head,
    acceptedLeaves: async (streams) => {
      const values = [row.log, streams, row.base ?? 0];
      const { rows } = await client.query<{ stream: StreamId; leaf: Buffer }>({ name: 'audit-accepted', text: ACCEPTED, values });
      const found = new Map<StreamId, Buffer[]>();
      for (const { stream, leaf } of rows) {
        const leaves = found.get(stream);
        if (leaves === undefined) found.set(stream, [leaf]);
        else leaves.push(leaf);
      }
      return found;
    },
    base: () => readBase(client, logId, row.log),
    streamBases: async (streams) => (row.base === null ? new Map() : readStreamBases(client, logId, row.log, streams)),
    prune: (step) => pruneRows(client, logId, row.log, step),
    tiles: (addresses) => readTiles(client, row.log, addresses),
    grow: (growth) => grow(client, log, head.size, growth),
    keepNotes: async (notes) => {
      for (const note of notes) await keepNote(client, note);
    },
    keepTerms: async (notes) => {
      for (const note of notes) {
        const { rowCount } = await client.query(KEEP_TERMS, [numberOf(note.log), note.logId, note.size, note.terms, note.rootIndex]);
        if (rowCount !== 1) throw termsKept(note);
      }
    },
    keepTermBlocks: (blocks) => saveTermBlocks(client, row.log, blocks),
    notes: async (above, upTo) => {
      if (newestNote <= above) return [];
      const { rows } = await client.query<NoteRow>(
        'select * from fabula.audit_notes where log_id = $1 and log = $2 and size > $3 and size <= $4 order by size',
        [logId, row.log, above, upTo],
      );
      return rows.map(noteOf);
    },
    latestNote: async (name) => {
      const { rows } = await client.query<NoteRow>(
        'select * from fabula.audit_notes where log_id = $1 and log = $2 order by size desc limit 1',
        [logId, numberOf(name)],
      );
      return rows[0] === undefined ? undefined : noteOf(rows[0]);
    },
    signingKeys: () => readSigningKeys(client, logId),
    announceKey: (key) => addSigningKey(client, logId, key),
  };
}

async function grow(client: PoolClient, log: LogName, size: bigint, { leaves, tiles, head }: Growth): Promise<void> {
  const leafPlaces = places(leaves.map((leaf) => leaf.bytes));
  const tilePlaces = places(tiles.map((tile) => tile.hashes));
  const dense = leaves.every((leaf, i) => leaf.index === size + BigInt(i));
  if (!dense || head.size !== size + BigInt(leaves.length)) throw onlyGrows(log);
  const { rowCount } = await client.query({
    name: 'audit-grow',
    text: GROW,
    values: [
      numberOf(log),
      size,
      leafPlaces.bytes,
      numberArray(leafPlaces.starts),
      numberArray(leafPlaces.lengths),
      numberArray(leaves.map((leaf) => leaf.offset)),
      numberArray(leaves.map((leaf) => leaf.time)),
      textArray(leaves.map((leaf) => leaf.stream)),
      textArray(leaves.map((leaf) => leaf.correlationId)),
      textArray(leaves.map((leaf) => leaf.actor)),
      booleanArray(leaves.map((leaf) => leaf.accepted)),
      tilePlaces.bytes,
      numberArray(tilePlaces.starts),
      numberArray(tilePlaces.lengths),
      numberArray(tiles.map((tile) => tile.level)),
      numberArray(tiles.map((tile) => tile.index)),
      head.nextOffset,
      head.size,
      Buffer.concat(head.frontier),
      head.previousLeaf,
    ],
  });
  if (rowCount !== 1) throw onlyGrows(log);
}

/** Pieces laid end to end, with SQL's positions (from 1). */
function places(pieces: readonly Buffer[]): { readonly bytes: Buffer; readonly starts: number[]; readonly lengths: number[] } {
  const starts: number[] = [];
  let at = 1;
  for (const piece of pieces) {
    starts.push(at);
    at += piece.length;
  }
  return { bytes: Buffer.concat(pieces), starts, lengths: pieces.map((piece) => piece.length) };
}

async function keepNote(client: PoolClient, note: KeptNote): Promise<void> {
  const { rowCount } = await client.query(KEEP_NOTE, [
    numberOf(note.log),
    note.logId,
    note.size,
    note.root,
    note.note,
    note.signedAt,
    note.publishedAt,
    note.rootIndex,
    note.terms ?? null,
  ]);
  if (rowCount !== 1) throw noteNotNewer(note, note.size);
}

export async function readTiles(
  client: Pick<Pool, 'query'>,
  log: number,
  addresses: readonly TileAddress[],
): Promise<readonly (Buffer | undefined)[]> {
  if (addresses.length === 0) return [];
  const { rows } = await client.query<{ n: string; hashes: Buffer | undefined }>({
    name: 'audit-tiles',
    text: `select wanted.n, hashes from unnest($2::smallint[], $3::bigint[]) with ordinality as wanted (level, tile, n)
           join fabula.audit_tiles stored on stored.log = $1 and stored.level = wanted.level and stored.tile = wanted.tile`,
    values: [log, addresses.map((tile) => tile.level), addresses.map((tile) => tile.index)],
  });
  const found: (Buffer | undefined)[] = addresses.map(() => undefined);
  for (const row of rows) {
    found[Number(row.n) - 1] = row.hashes;
    // As in leaf-bytes.ts: rows of queries that are over stay for long.
    row.hashes = undefined;
  }
  return found;
}
