import type { Pool, PoolClient } from 'pg';
import type { StreamId } from '#lib/decision';
import { rowsStatement } from './commit-statement.js';
import { printable } from './dead-letter.js';
import { settleMended } from './dead-letter-statements.js';
import { foldParked } from './fold-parked.js';
import { schemaOf } from './generation-ddl.js';
import { transaction } from './generations.js';
import type { RetryOutcome } from './projection-store.js';
import type { ParkedRecordRow } from './read-model.js';
import { isDataError } from './sql-errors.js';
import type { StreamKinds } from './stream-kinds.js';

/**
 * Takes a parked stream of a generation up again. The partition's position is locked meanwhile, so that its projector neither retains a
 * record beside us nor goes on with the stream as it remembers it (the epoch is raised).
 */
export async function retryParkedStream(pool: Pool, generation: number, stream: StreamId, kinds: StreamKinds): Promise<RetryOutcome> {
  let outcome: RetryOutcome;
  try {
    outcome = await transaction(pool, (client) => retried(client, schemaOf(generation), stream, kinds));
  } catch (error) {
    if (!isDataError(error)) throw error;
    outcome = { kind: 'still-parked', reason: printable(error.message), offset: await firstOffset(pool, generation, stream) };
  }
  if (outcome.kind === 'still-parked') await noteRetry(pool, stream, outcome.reason);
  return outcome;
}

async function retried(client: PoolClient, schema: string, stream: StreamId, kinds: StreamKinds): Promise<RetryOutcome> {
  const parked = await client.query<{ partition: number; state: string | null }>(
    `select k.partition, s.state from ${schema}.parked k join ${schema}.stream_heads s on s.stream = k.stream where k.stream = $1`,
    [stream],
  );
  const partition = parked.rows[0]?.partition;
  if (partition === undefined) return { kind: 'not-parked' };
  await client.query(`select 1 from ${schema}.positions where partition = $1 for update`, [partition]);
  // Read after the lock: nothing changes these rows now.
  const head = await client.query<{ version: string; previous: string | null; state: string | null; updated_offset: string }>(
    `select s.version, s.previous, s.state, s.updated_offset from ${schema}.stream_heads s
     join ${schema}.parked k on k.stream = s.stream where s.stream = $1`,
    [stream],
  );
  const [row] = head.rows;
  if (row === undefined) return { kind: 'not-parked' };
  const records = await retainedRecords(client, schema, stream);
  const folded = foldParked({ stream, partition, state: row.state, records }, kinds);
  if (folded.kind === 'still-parked') return folded;
  const { version, previous, updated_offset: updatedOffset } = row;
  folded.rows.stream({ stream, version: Number(version), previous, state: folded.state, updatedOffset: Number(updatedOffset) });
  const statement = rowsStatement(schema, folded.rows.all());
  if (statement !== undefined) await client.query(statement);
  await client.query(`delete from ${schema}.parked_records where stream = $1`, [stream]);
  await client.query(`delete from ${schema}.parked where stream = $1`, [stream]);
  await client.query(`update ${schema}.positions set epoch = epoch + 1 where partition = $1 and epoch >= 0`, [partition]);
  await client.query('delete from fabula.parked_retries where stream = $1', [stream]);
  await client.query(settleMended(schema));
  return { kind: 'applied', records: records.length };
}

async function retainedRecords(client: PoolClient, schema: string, stream: StreamId): Promise<readonly ParkedRecordRow[]> {
  const { rows } = await client.query<{ offset: string; bytes: Buffer; time: string }>(
    `select "offset", bytes, time from ${schema}.parked_records where stream = $1 order by "offset"`,
    [stream],
  );
  return rows.map(({ offset, bytes, time }) => ({ stream, offset: Number(offset), bytes, time: Number(time) }));
}

async function firstOffset(pool: Pool, generation: number, stream: StreamId): Promise<number> {
  const { rows } = await pool.query<{ from_offset: string }>(`select from_offset from ${schemaOf(generation)}.parked where stream = $1`, [
    stream,
  ]);
  return Number(rows[0]?.from_offset ?? 0);
}

async function noteRetry(pool: Pool, stream: StreamId, reason: string): Promise<void> {
  await pool.query(
    `update fabula.dead_letters set attempts = attempts + 1, last_error = $2, changed_at = now() where stream = $1 and status = 'open'`,
    [stream, reason.slice(0, 500)],
  );
  await pool.query(
    `insert into fabula.parked_retries as known (stream, attempts, last_error) values ($1, 1, $2)
     on conflict (stream) do update set attempts = known.attempts + 1, last_error = excluded.last_error, last_at = now()`,
    [stream, reason.slice(0, 500)],
  );
}
