import { randomUUID } from 'node:crypto';
import type { Pool, PoolClient } from 'pg';
import { errorCode } from '#lib/platform';
import { assertForgettable, assertPartition, LARGEST_RECORD_BYTES, recordBytes, refuseOverLimits } from '../append-limits.js';
import {
  LogDamaged,
  LogUnavailable,
  MAX_BATCH_BYTES,
  MAX_BATCH_RECORDS,
  RecordsForgotten,
  type Batch,
  type EventLog,
  type LogId,
  type LogRecord,
  type Offset,
  type ReadOptions,
  type StoredRecord,
} from '../event-log.js';
import { WakeUps } from '../wake-ups.js';
import { appendFailure, forgetFailure, unavailable } from './append-outcome.js';
import { openIdentity, refuseWithoutDurability } from './log-identity.js';
import { TailNotifier } from './tail-notifier.js';

export { LogDamaged };

export interface PostgresLogOptions {
  /** Connections for appends and reads; the log takes one more of its own to listen on. Not closed by the log. */
  readonly pool: Pool;
  /** Written once at creation; another count later is refused. */
  readonly partitions: number;
  /** Id of a log created by this call; random unless given. */
  readonly id?: LogId;
  /** How long a reader at the tail sleeps without news, in ms (default 1,000): the net under lost notifications. */
  readonly pollMs?: number;
  /** Tests only: accept a database that does not flush what it commits. */
  readonly allowNotDurable?: boolean;
}

/** Readers poll this often while the listening connection is down, in ms. */
const DEAF_POLL_MS = 100;

/**
 * One statement, so one transaction and one round trip. The head row's lock is held from the update to the commit, so
 * offsets are given out in commit order: a reader that sees offset n sees everything before it, with no gaps to guess about.
 * Values travel as one binary parameter cut up by the server: an array of bytea would travel as text of twice the size.
 */
export const APPEND = `
  with head as (
    update fabula.log_partitions
    set next_offset = next_offset + $2::int,
        last_time = greatest(last_time, floor(extract(epoch from clock_timestamp()) * 1000)::bigint)
    where partition = $1::int
    returning next_offset - $2::int as base, last_time
  ), stored as (
    insert into fabula.log_records (partition, "offset", key, value, headers, time)
    select $1::int, head.base + record.n - 1, record.key, substring($3::bytea from record.start for record.length), record.headers, head.last_time
    from head, unnest($4::text[], $5::int[], $6::int[], $7::text[]) with ordinality as record (key, start, length, headers, n)
  )
  select base from head`;

/**
 * One page: a range of the primary key, ended by count and by bytes. The first record comes whatever its size. Offsets are
 * dense, so the range has an upper bound instead of a limit: with stale statistics no plan can walk the whole rest of the log.
 */
export const PAGE = `
  select "offset", key, value, headers, time
  from (
    select page.*, sum(octet_length(value) + octet_length(key) + coalesce(octet_length(headers), 0)) over (order by "offset") as bytes
    from (
      select "offset", key, value, headers, time from fabula.log_records
      where partition = $1::int and "offset" >= $2::bigint and "offset" < $2::bigint + $3::int
    ) page
  ) sized
  where bytes <= $4::int or "offset" = $2::bigint
  order by "offset"`;

const BEGIN = 'select first_offset from fabula.log_begins where log_id = $1 and partition = $2';

/** Where the partition begins, and what lies before, in one transaction. The bound is taken first, so that two who forget wait for each other there. */
export const FORGET = `
  with begun as (
    insert into fabula.log_begins (log_id, partition, first_offset) values ($1, $2::int, $3::bigint)
    on conflict (log_id, partition) do update set first_offset = greatest(log_begins.first_offset, excluded.first_offset)
    returning first_offset
  )
  delete from fabula.log_records
  where partition = $2::int and "offset" < $3::bigint and (select first_offset from begun) >= $3::bigint`;
/** A transaction that deletes millions would hold up vacuum, and end as nothing when it is cut off. */
const FORGOTTEN_AT_ONCE = 5_000;

const END = 'select next_offset from fabula.log_partitions where partition = $1';

/**
 * Opens the log of a migrated database, creating it at first.
 * @throws PartitionCountDiffers, NotDurable, LogNotMigrated, or what the driver says when the database cannot be reached
 */
export async function openPostgresLog(options: PostgresLogOptions): Promise<EventLog> {
  if (options.allowNotDurable !== true) await refuseWithoutDurability(options.pool);
  const id = await openIdentity(options.pool, options.partitions, options.id ?? randomUUID());
  const log = new PostgresLog(options, id);
  await log.start();
  return log;
}

interface Row {
  readonly offset: string;
  readonly key: string;
  readonly value: Buffer;
  readonly headers: string | null;
  readonly time: string;
}

class PostgresLog implements EventLog {
  readonly partitions: number;
  private readonly pool: Pool;
  private readonly pollMs: number;
  private readonly wakeUps: WakeUps;
  private readonly notifier: TailNotifier;
  private closed = false;

  constructor(
    options: PostgresLogOptions,
    private readonly logId: LogId,
  ) {
    this.partitions = options.partitions;
    this.pool = options.pool;
    this.pollMs = options.pollMs ?? 1_000;
    this.wakeUps = new WakeUps(options.partitions);
    this.notifier = new TailNotifier(options.pool.options, this.wakeUps);
  }

  start(): Promise<void> {
    return this.notifier.start();
  }

  async append(partition: number, records: readonly LogRecord[]): Promise<Offset> {
    refuseOverLimits(this.partitions, partition, records);
    const client = await this.connection();
    client.on('error', alsoRejectsTheQuery);
    let base: string | undefined;
    try {
      const values = appendParameters(partition, records);
      base = (await client.query<{ base: string }>({ name: 'fabula_append', text: APPEND, values })).rows[0]?.base;
    } catch (error) {
      // The session may be half-way through anything: it is not used again.
      client.release(true);
      throw appendFailure(error);
    }
    client.off('error', alsoRejectsTheQuery);
    client.release();
    if (base === undefined) throw new LogDamaged(`The log has lost the head row of partition ${partition}.`);
    this.wakeUps.wake(partition);
    this.notifier.announce(partition);
    return Number(base);
  }

  async *read(partition: number, from: Offset, options: ReadOptions = {}): AsyncGenerator<Batch> {
    assertPartition(this.partitions, partition);
    const { signal, upTo = Infinity } = options;
    const maxRecords = Math.min(options.maxRecords ?? MAX_BATCH_RECORDS, MAX_BATCH_RECORDS);
    let next = from;
    while (next < upTo) {
      // Taken before the look: what is appended meanwhile wakes us, so no second look is needed before sleeping.
      const seen = this.wakeUps.version(partition);
      const limit = Math.min(maxRecords, upTo - next);
      if (isAborted(signal)) return;
      const records = await this.pageOrHole(partition, next, limit);
      if (isAborted(signal)) return;
      next += records.length;
      if (records.length > 0) yield { partition, records };
      const atTail = next < upTo && !isFull(records, limit);
      if (atTail) await this.wakeUps.sleep(partition, seen, signal, this.notifier.listening ? this.pollMs : DEAF_POLL_MS);
    }
  }

  async end(partition: number): Promise<Offset> {
    assertPartition(this.partitions, partition);
    if (this.closed) throw new LogUnavailable('The log is closed.');
    try {
      const { rows } = await this.pool.query<{ next_offset: string }>({ name: 'fabula_end', text: END, values: [partition] });
      return Number(rows[0]?.next_offset ?? 0);
    } catch (error) {
      throw unavailable(error);
    }
  }

  async begin(partition: number): Promise<Offset> {
    assertPartition(this.partitions, partition);
    if (this.closed) throw new LogUnavailable('The log is closed.');
    try {
      const { rows } = await this.pool.query<{ first_offset: string }>(BEGIN, [this.logId, partition]);
      return Number(rows[0]?.first_offset ?? 0);
    } catch (error) {
      // The database of an earlier release, which could not forget.
      if (errorCode(error) === '42P01') return 0;
      throw unavailable(error);
    }
  }

  async forget(partition: number, before: Offset): Promise<void> {
    assertForgettable(partition, before, await this.end(partition));
    for (let begin = await this.begin(partition); begin < before;) {
      begin = Math.min(before, begin + FORGOTTEN_AT_ONCE);
      try {
        await this.pool.query(FORGET, [this.logId, partition, begin]);
      } catch (error) {
        throw forgetFailure(error);
      }
    }
  }

  async id(): Promise<LogId> {
    return this.logId;
  }

  async close(): Promise<void> {
    this.closed = true;
    this.wakeUps.wakeAll();
    await this.notifier.close();
  }

  private async connection(): Promise<PoolClient> {
    if (this.closed) throw new LogUnavailable('The log is closed.');
    try {
      return await this.pool.connect();
    } catch (error) {
      throw unavailable(error);
    }
  }

  /** An empty page below the end is a hole, unless its records were appended after the first look. */
  private async pageOrHole(partition: number, from: Offset, maxRecords: number): Promise<StoredRecord[]> {
    const records = await this.page(partition, from, maxRecords);
    if (records.length > 0 || (await this.end(partition)) <= from) return records;
    const again = await this.page(partition, from, maxRecords);
    if (again.length === 0) {
      await this.refuseForgotten(partition, from);
      throw new LogDamaged(`Partition ${partition} has no record at offset ${from}, which lies below its end.`);
    }
    return again;
  }

  /** Asked only where a record is missing: what is forgotten is gone in the same instant, so whatever is there may be shown. */
  private async refuseForgotten(partition: number, from: Offset): Promise<void> {
    const begin = await this.begin(partition);
    if (from < begin) throw new RecordsForgotten(partition, from, begin);
  }

  private async page(partition: number, from: Offset, maxRecords: number): Promise<StoredRecord[]> {
    if (this.closed) throw new LogUnavailable('The log is closed.');
    const query = { name: 'fabula_page', text: PAGE, values: [partition, from, maxRecords, MAX_BATCH_BYTES] };
    let rows: Row[];
    try {
      rows = (await this.pool.query<Row>(query)).rows;
    } catch (error) {
      throw unavailable(error);
    }
    if (rows[0] !== undefined && Number(rows[0].offset) !== from) await this.refuseForgotten(partition, from);
    return rows.map((row, index) => {
      const offset = Number(row.offset);
      if (offset !== from + index)
        throw new LogDamaged(`Partition ${partition} has no record at offset ${from + index}; the next one is ${offset}.`);
      const headers = row.headers === null ? {} : { headers: JSON.parse(row.headers) as Record<string, string> };
      return { offset, key: row.key, value: row.value, time: Number(row.time), ...headers };
    });
  }
}

/** A lost connection is reported by the query and, to whoever listens, by the client: without a listener Node would end the process. */
function alsoRejectsTheQuery(): void {}

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

/** Whether a page may have ended by its caps instead of at the tail: another record of the largest size might not have fitted. */
function isFull(records: readonly StoredRecord[], limit: number): boolean {
  if (records.length >= limit) return true;
  let bytes = 0;
  for (const record of records) bytes += recordBytes(record);
  return bytes > MAX_BATCH_BYTES - LARGEST_RECORD_BYTES;
}

function appendParameters(partition: number, records: readonly LogRecord[]): unknown[] {
  const keys: string[] = [];
  const starts: number[] = [];
  const lengths: number[] = [];
  const headers: (string | null)[] = [];
  let at = 0;
  for (const record of records) {
    keys.push(record.key);
    // substring counts from 1
    starts.push(at + 1);
    lengths.push(record.value.byteLength);
    headers.push(record.headers === undefined ? null : JSON.stringify(record.headers));
    at += record.value.byteLength;
  }
  const bytes = Buffer.concat(
    records.map((record) => record.value),
    at,
  );
  return [partition, records.length, bytes, keys, starts, lengths, headers];
}
