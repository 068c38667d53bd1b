import type { Pool, QueryConfig } from 'pg';
import type { AcceptedCommand, StreamId } from '#lib/decision';
import { WINDOW_SIZE } from '#lib/decision';
import type { LogId } from '#lib/log';
import type { BatchChanges } from './batch-changes.js';
import { binaryArray } from './binary-arrays.js';
import { commitStatement } from './commit-statement.js';
import type { DeadLetterRow } from './dead-letter.js';
import { keepOne } from './dead-letter-statements.js';
import { schemaOf } from './generation-ddl.js';
import {
  completeLiveGeneration,
  dropRetired,
  ensureLiveGeneration,
  isUndefinedTable,
  queryGeneration,
  type LiveGeneration,
} from './generations.js';
import {
  checkPositions,
  DataRefused,
  positionText,
  type ProjectionPosition,
  type ProjectionStore,
  type RetryOutcome,
} from './projection-store.js';
import { retryParkedStream } from './parked-streams.js';
import { STREAM_KINDS, type StreamKinds } from './stream-kinds.js';
import { isDataError } from './sql-errors.js';
import type { DigestSource } from './read-model-digest.js';
import type { StoredStreamRow } from './read-model.js';
import { readPositions } from './stored-positions.js';
import { columnName, fromSql, rowText, TABLES, type AnyRow, type ColumnType, type Table, type TableName } from './tables.js';

/** A generation in Postgres as a projector writes it: the live one, whichever that is, or a given one that is being built. */
export class PostgresProjection implements ProjectionStore, DigestSource {
  /** Which generation each partition's projector works on: looked up when it asks for its position, kept until it does so again. */
  private readonly bound = new Map<number, number>();

  constructor(
    private readonly pool: Pool,
    private readonly target: LiveGeneration | number,
  ) {}

  async open(logId: LogId, partitions: number): Promise<readonly ProjectionPosition[]> {
    if (typeof this.target !== 'number') await dropRetired(this.pool);
    const live = typeof this.target === 'number' ? this.target : (await ensureLiveGeneration(this.pool, logId, partitions)).n;
    const positions = await readPositions(this.pool, live);
    checkPositions(positions, logId, partitions);
    return positions;
  }

  async readPosition(partition: number): Promise<ProjectionPosition> {
    if (typeof this.target !== 'number') await completeLiveGeneration(this.pool);
    const generation = await this.latest();
    this.bound.set(partition, generation);
    const position = (await readPositions(this.pool, generation)).find((row) => row.partition === partition);
    if (position === undefined) throw new RangeError(`generation ${generation} has no partition ${partition}`);
    return position;
  }

  async loadStreams(partition: number, streams: readonly StreamId[]): Promise<ReadonlyMap<StreamId, StoredStreamRow>> {
    const rows = await queryGeneration<StoredStreamRecord>(this.pool, await this.generation(partition), 'load_streams', loadStreamsText, [
      binaryArray('text', streams),
    ]);
    return new Map(rows.map((row) => [row.stream, storedStream(row)]));
  }

  async commit(changes: BatchChanges): Promise<'committed' | 'fenced'> {
    const schema = schemaOf(await this.generation(changes.partition));
    // Not awaited here: this call would hold the rows until Postgres has answered.
    return this.send(refusing(() => commitStatement(schema, changes)));
  }

  private async send(statement: QueryConfig): Promise<'committed' | 'fenced'> {
    try {
      const { rowCount } = await this.pool.query(statement);
      return rowCount === 1 ? 'committed' : 'fenced';
    } catch (error) {
      if (isUndefinedTable(error)) return 'fenced';
      throw refusal(error);
    }
  }

  async keepDeadLetter(logId: LogId, letter: DeadLetterRow): Promise<'new' | 'known'> {
    const { rowCount } = await this.pool.query(keepOne(logId, letter));
    return rowCount === 1 ? 'new' : 'known';
  }

  async retryParked(stream: StreamId, kinds: StreamKinds = STREAM_KINDS): Promise<RetryOutcome> {
    return retryParkedStream(this.pool, await this.latest(), stream, kinds);
  }

  async digestPositions(): Promise<readonly string[]> {
    return (await readPositions(this.pool, await this.latest())).map(positionText);
  }

  async rowTexts(name: TableName): Promise<readonly string[]> {
    const table = TABLES[name] as Table<never>;
    const columns = Object.entries(table.columns) as [string, ColumnType][];
    const schema = schemaOf(await this.latest());
    const { rows } = await this.pool.query<AnyRow>(
      `select ${columns.map(([property]) => `${columnName(property)} as "${property}"`).join(', ')} from ${schema}.${table.sql}`,
    );
    return rows.map((row) =>
      rowText(table, Object.fromEntries(columns.map(([property, type]) => [property, fromSql(type, row[property])]))),
    );
  }

  private async latest(): Promise<number> {
    return typeof this.target === 'number' ? this.target : this.target.refresh();
  }

  private async generation(partition: number): Promise<number> {
    if (typeof this.target === 'number') return this.target;
    return this.bound.get(partition) ?? this.target.current();
  }
}

/** @throws DataRefused when the values are at fault. */
function refusing<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw refusal(error);
  }
}

function refusal(error: unknown): unknown {
  return isDataError(error) ? new DataRefused(error.message, { cause: error }) : error;
}

export interface StoredStreamRecord {
  readonly stream: string;
  readonly version: string;
  readonly previous: string | null;
  readonly state: string | null;
  readonly updated_offset: string;
  readonly parked: string | null;
  readonly accepted: string | null;
}

/** A stream's row with its window: one line per command, oldest first; command ids hold no spaces (see decision-record.ts). */
export const STREAM_COLUMNS = 's.stream, s.version, s.previous, s.state, s.updated_offset, k.reason as parked, w.accepted';

/** Joins to a row `s` of stream_heads. */
export function streamJoins(schema: string): string {
  return `left join ${schema}.parked k on k.stream = s.stream
    left join lateral (
      select string_agg(concat_ws(' ', c.version, c."offset", c.command_digest, c.command_id), E'\\n' order by c.version) as accepted
      from (
        select version, "offset", command_digest, command_id from ${schema}.stream_commands
        where stream = s.stream order by version desc limit ${WINDOW_SIZE}
      ) c
    ) w on true`;
}

function loadStreamsText(schema: string): string {
  return `select ${STREAM_COLUMNS} from ${schema}.stream_heads s ${streamJoins(schema)} where s.stream = any($1::text[])`;
}

export function storedStream(row: StoredStreamRecord): StoredStreamRow {
  const { stream, previous, state, parked } = row;
  return {
    stream,
    version: Number(row.version),
    previous,
    state,
    updatedOffset: Number(row.updated_offset),
    parked,
    window: row.accepted === null ? [] : row.accepted.split('\n').map(acceptedCommand),
  };
}

function acceptedCommand(line: string): AcceptedCommand {
  const [version, offset, commandDigest, commandId] = line.split(' ') as [string, string, string, string];
  return { commandId, commandDigest, version: Number(version), offset: Number(offset) };
}
