import { WINDOW_SIZE, type AcceptedCommand, type RecordedEvent, type StreamId } from '#lib/decision';
import type { LogId, Offset } from '#lib/log';
import { playthroughStream } from '#lib/playthrough';
import type { DigestSource } from './read-model-digest.js';
import {
  checkPositions,
  positionText,
  type ColdReads,
  type ColdStream,
  type PastState,
  type ProjectionPosition,
  type ProjectionStore,
  type RetryOutcome,
} from './projection-store.js';
import { addVerdicts, NO_VERDICTS, type BatchChanges } from './batch-changes.js';
import type { DeadLetterRow } from './dead-letter.js';
import { foldParked } from './fold-parked.js';
import { STREAM_KINDS, type StreamKinds } from './stream-kinds.js';
import type { StoredStreamRow } from './read-model.js';
import { mergedRow, rowKey, rowText, TABLE_NAMES, TABLES, type AnyRow, type ReadModelRows, type Table, type TableName } from './tables.js';

type Rows<Name extends TableName> = ReadonlyMap<string, ReadModelRows[Name]>;

/** The read models in memory: for tests and simulations, and the oracle that the Postgres ones are compared with. */
export class MemoryProjection implements ProjectionStore, ColdReads, DigestSource {
  private positions: ProjectionPosition[] = [];
  private readonly tables = new Map<TableName, Map<string, AnyRow>>(TABLE_NAMES.map((name) => [name, new Map<string, AnyRow>()]));
  /** By stream and by playthrough, in log order: what cold loads and past states read. */
  private readonly commandsOf = new Map<StreamId, ReadModelRows['commands'][]>();
  private readonly turnsOf = new Map<string, ReadModelRows['turns'][]>();
  /** By partition and offset. */
  readonly deadLetters = new Map<string, DeadLetterRow>();

  async open(logId: LogId, partitions: number): Promise<readonly ProjectionPosition[]> {
    if (this.positions.length === 0) {
      this.positions = Array.from({ length: partitions }, (_, partition) => ({
        partition,
        logId,
        nextOffset: 0,
        lastTime: 0,
        verdicts: NO_VERDICTS,
        epoch: 0,
      }));
    }
    checkPositions(this.positions, logId, partitions);
    return this.positions;
  }

  /** Begins a partition with what a base of it holds, before anything else of it is folded. */
  begin(position: ProjectionPosition, rows: BatchChanges['rows']): void {
    if (this.positionOf(position.partition).nextOffset !== 0) throw new Error(`partition ${position.partition} has begun already`);
    this.put(rows);
    this.positions[position.partition] = { ...position, epoch: 0 };
  }

  async loadStreams(_partition: number, streams: readonly StreamId[]): Promise<ReadonlyMap<StreamId, StoredStreamRow>> {
    const found = new Map<StreamId, StoredStreamRow>();
    for (const stream of streams) {
      const row = this.rows('streams').get(stream);
      if (row !== undefined)
        found.set(stream, { ...row, window: this.window(stream), parked: this.rows('parked').get(stream)?.reason ?? null });
    }
    return found;
  }

  async commit(changes: BatchChanges): Promise<'committed' | 'fenced'> {
    const position = this.positionOf(changes.partition);
    if (position.nextOffset !== changes.from || position.logId !== changes.logId || position.epoch !== changes.epoch) return 'fenced';
    this.put(changes.rows);
    for (const letter of changes.deadLetters) this.deadLetters.set(`${letter.partition} ${letter.offset}`, letter);
    this.positions[changes.partition] = {
      ...position,
      nextOffset: changes.to,
      lastTime: changes.lastTime,
      verdicts: addVerdicts(position.verdicts, changes.verdicts),
    };
    return 'committed';
  }

  async keepDeadLetter(_logId: LogId, letter: DeadLetterRow): Promise<'new' | 'known'> {
    const place = `${letter.partition} ${letter.offset}`;
    if (this.deadLetters.has(place)) return 'known';
    this.deadLetters.set(place, letter);
    return 'new';
  }

  async retryParked(stream: StreamId, kinds: StreamKinds = STREAM_KINDS): Promise<RetryOutcome> {
    const head = this.rows('streams').get(stream);
    const parked = this.rows('parked').get(stream);
    if (head === undefined || parked === undefined) return { kind: 'not-parked' };
    const { partition } = parked;
    const records = [...this.rows('parkedRecords').values()].filter((row) => row.stream === stream);
    const folded = foldParked({ stream, partition, state: head.state, records }, kinds);
    if (folded.kind === 'still-parked') return folded;
    folded.rows.stream({ ...head, state: folded.state });
    this.put(folded.rows.all());
    this.tables.get('parked')?.delete(stream);
    const retained = this.tables.get('parkedRecords');
    for (const row of records) retained?.delete(rowKey(TABLES.parkedRecords as Table<never>, row as unknown as AnyRow));
    const position = this.positionOf(partition);
    this.positions[partition] = { ...position, epoch: position.epoch + 1 };
    return { kind: 'applied', records: records.length };
  }

  async load(partition: number, streams: readonly StreamId[]): ReturnType<ColdReads['load']> {
    const found = new Map<StreamId, ColdStream>();
    for (const [stream, row] of await this.loadStreams(partition, streams)) {
      const { version, previous, window, parked } = row;
      found.set(stream, { head: { version, previous, window }, state: row.state ?? 'null', parked });
    }
    return { generation: 'memory', position: this.positionOf(partition).nextOffset, streams: found };
  }

  async readPosition(partition: number): Promise<ProjectionPosition> {
    return this.positionOf(partition);
  }

  async position(partition: number): Promise<Offset> {
    return this.positionOf(partition).nextOffset;
  }

  async past(stream: StreamId, turn: number): Promise<PastState | undefined> {
    const turns = this.turnsOf.get(playthroughIdOf(stream)) ?? [];
    const upTo = turns.filter((row) => row.turn <= turn);
    const last = upTo[upTo.length - 1];
    if (last?.turn !== turn) return undefined;
    const from = upTo.findLastIndex((row) => row.snapshot !== null);
    const snapshot = upTo[from]?.snapshot;
    if (snapshot === undefined || snapshot === null) return undefined;
    const events = upTo.slice(from + 1).flatMap((row) => JSON.parse(row.events) as RecordedEvent[]);
    return { snapshot, events, stateHash: last.stateHash };
  }

  async accepted(stream: StreamId, commandId: string): Promise<AcceptedCommand | undefined> {
    const row = this.commandsOf.get(stream)?.find((command) => command.commandId === commandId);
    return row === undefined ? undefined : acceptedCommand(row);
  }

  async kept(stream: StreamId, offset: Offset): ReturnType<ColdReads['kept']> {
    const turns = this.turnsOf.get(playthroughIdOf(stream)) ?? [];
    return { first: turns[0]?.turn, at: turns.findLast((row) => row.offset === offset)?.turn };
  }

  async overdue(partition: number, before: number, limit: number): ReturnType<ColdReads['overdue']> {
    const due: ReadModelRows['playthroughs'][] = [];
    for (const row of this.rows('playthroughs').values()) {
      if (row.partition !== partition || row.deadline === null || row.deadline >= before) continue;
      if (!this.rows('parked').has(playthroughStream(row.id))) due.push(row);
    }
    due.sort((a, b) => (a.deadline as number) - (b.deadline as number) || (a.id < b.id ? -1 : 1));
    return due.slice(0, limit).map((row) => ({ stream: playthroughStream(row.id), turn: row.turn }));
  }

  /** All rows of a table by key: for assertions and the digest. */
  rows<Name extends TableName>(name: Name): Rows<Name> {
    return this.tables.get(name) as unknown as Rows<Name>;
  }

  async digestPositions(): Promise<readonly string[]> {
    return this.positions.map(positionText);
  }

  async rowTexts(table: TableName): Promise<readonly string[]> {
    return [...this.rows(table).values()].map((row) => rowText(TABLES[table] as Table<never>, row as unknown as AnyRow));
  }

  private put(changed: BatchChanges['rows']): void {
    for (const name of TABLE_NAMES) {
      const table = TABLES[name] as Table<never>;
      const rows = this.tables.get(name) as Map<string, AnyRow>;
      for (const row of changed[name]) put(table, rows, row as unknown as AnyRow);
    }
    for (const row of changed.commands) append(this.commandsOf, row.stream, row);
    for (const row of changed.turns) append(this.turnsOf, row.playthroughId, row);
  }

  private window(stream: StreamId): readonly AcceptedCommand[] {
    return (this.commandsOf.get(stream) ?? []).slice(-WINDOW_SIZE).map(acceptedCommand);
  }

  private positionOf(partition: number): ProjectionPosition {
    const position = this.positions[partition];
    if (position === undefined) throw new RangeError(`partition ${partition} of ${this.positions.length} partitions`);
    return position;
  }
}

function acceptedCommand({ commandId, commandDigest, version, offset }: ReadModelRows['commands']): AcceptedCommand {
  return { commandId, commandDigest, version, offset };
}

function put(table: Table<never>, rows: Map<string, AnyRow>, row: AnyRow): void {
  const key = rowKey(table, row);
  const known = rows.get(key);
  rows.set(key, known === undefined ? row : mergedRow(table, known, row));
}

function append<Row>(lists: Map<string, Row[]>, key: string, row: Row): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [row]);
  else list.push(row);
}

function playthroughIdOf(stream: StreamId): string {
  return stream.slice(stream.indexOf('/') + 1);
}
