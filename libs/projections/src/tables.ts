import type {
  CheckpointRow,
  ChoiceStat,
  CommandRow,
  ComplianceActionRow,
  ComplianceEventRow,
  ComplianceHoldRow,
  EndingStat,
  ParkedRecordRow,
  ParkedRow,
  PassageStat,
  PlaythroughRow,
  StoryRow,
  StoryVersionRow,
  StreamRow,
  TurnRow,
} from './read-model.js';

/** A row with the partition its records came from. */
type Placed<Row> = Row & { readonly partition: number };

export interface ReadModelRows {
  readonly streams: Placed<StreamRow>;
  readonly commands: Placed<CommandRow>;
  readonly playthroughs: Placed<PlaythroughRow>;
  readonly turns: Placed<TurnRow>;
  readonly checkpoints: Placed<CheckpointRow>;
  readonly stories: Placed<StoryRow>;
  readonly storyVersions: Placed<StoryVersionRow>;
  readonly choiceStats: Placed<ChoiceStat>;
  readonly passageStats: Placed<PassageStat>;
  readonly endingStats: Placed<EndingStat>;
  readonly complianceActions: Placed<ComplianceActionRow>;
  readonly complianceHolds: Placed<ComplianceHoldRow>;
  readonly complianceEvents: Placed<ComplianceEventRow>;
  readonly parked: Placed<ParkedRow>;
  readonly parkedRecords: Placed<ParkedRecordRow>;
}
export type TableName = keyof ReadModelRows;

export type ColumnType = 'text' | 'int8' | 'int4' | 'bool' | 'bytea';

export interface Table<Row> {
  /** Name in Postgres. */
  readonly sql: string;
  readonly key: readonly (keyof Row & string)[];
  readonly columns: { readonly [column in keyof Row & string]: ColumnType };
  /** What a row with a known key does: never happens, replaces, or adds to the counters. */
  readonly onKnown: 'impossible' | 'replace' | 'add';
  /** Columns whose null in a replacing row means: as it was. */
  readonly keptWhenNull?: readonly (keyof Row & string)[];
}

const partition = 'int4' as const;

/** The read models' tables: what the memory adapter, the Postgres statements and the digest go by. DDL: generation-ddl.ts. */
export const TABLES: { readonly [name in TableName]: Table<ReadModelRows[name]> } = {
  streams: {
    sql: 'stream_heads',
    key: ['stream'],
    columns: { stream: 'text', partition, version: 'int8', previous: 'text', state: 'text', updatedOffset: 'int8' },
    onKnown: 'replace',
  },
  commands: {
    sql: 'stream_commands',
    key: ['stream', 'version'],
    columns: { stream: 'text', partition, version: 'int8', commandId: 'text', commandDigest: 'text', offset: 'int8' },
    onKnown: 'impossible',
  },
  playthroughs: {
    sql: 'playthroughs',
    key: ['id'],
    columns: {
      id: 'text',
      partition,
      storyId: 'text',
      versionHash: 'text',
      reader: 'text',
      status: 'text',
      turn: 'int8',
      passageId: 'text',
      ending: 'text',
      deadline: 'int8',
      preview: 'bool',
      forkedFromId: 'text',
      forkedFromTurn: 'int8',
      startedAt: 'int8',
      updatedAt: 'int8',
    },
    onKnown: 'replace',
    keptWhenNull: ['startedAt'],
  },
  turns: {
    sql: 'turns',
    key: ['playthroughId', 'turn', 'offset'],
    columns: {
      playthroughId: 'text',
      partition,
      turn: 'int8',
      offset: 'int8',
      kind: 'text',
      passageId: 'text',
      choiceId: 'text',
      correlationId: 'text',
      at: 'int8',
      stateHash: 'text',
      events: 'text',
      snapshot: 'text',
    },
    onKnown: 'impossible',
  },
  checkpoints: {
    sql: 'checkpoints',
    key: ['playthroughId', 'turn', 'mark'],
    columns: { playthroughId: 'text', partition, turn: 'int8', mark: 'text', name: 'text', at: 'int8' },
    onKnown: 'replace',
  },
  stories: {
    sql: 'stories',
    key: ['id'],
    columns: { id: 'text', partition, currentVersion: 'text', title: 'text', updatedAt: 'int8' },
    onKnown: 'replace',
  },
  storyVersions: {
    sql: 'story_versions',
    key: ['storyId', 'versionHash'],
    columns: {
      storyId: 'text',
      partition,
      versionHash: 'text',
      title: 'text',
      status: 'text',
      lintErrors: 'int8',
      lintWarnings: 'int8',
      format: 'text',
      passages: 'int8',
      draftedAt: 'int8',
      publishedAt: 'int8',
      retiredAt: 'int8',
      updatedAt: 'int8',
    },
    onKnown: 'replace',
    keptWhenNull: ['lintWarnings', 'format', 'passages', 'draftedAt', 'publishedAt', 'retiredAt'],
  },
  choiceStats: {
    sql: 'choice_stats',
    key: ['storyId', 'versionHash', 'passageId', 'choiceId', 'partition'],
    columns: {
      storyId: 'text',
      versionHash: 'text',
      passageId: 'text',
      choiceId: 'text',
      partition,
      offered: 'int8',
      visible: 'int8',
      enabled: 'int8',
      picked: 'int8',
    },
    onKnown: 'add',
  },
  passageStats: {
    sql: 'passage_stats',
    key: ['storyId', 'versionHash', 'passageId', 'partition'],
    columns: {
      storyId: 'text',
      versionHash: 'text',
      passageId: 'text',
      partition,
      entered: 'int8',
      left: 'int8',
      ended: 'int8',
      rewoundTo: 'int8',
      rewoundFrom: 'int8',
      standing: 'int8',
    },
    onKnown: 'add',
  },
  endingStats: {
    sql: 'ending_stats',
    key: ['storyId', 'versionHash', 'ending', 'partition'],
    columns: { storyId: 'text', versionHash: 'text', ending: 'text', partition, reached: 'int8' },
    onKnown: 'add',
  },
  complianceActions: {
    sql: 'compliance_actions',
    key: ['id'],
    columns: {
      id: 'text',
      partition,
      kind: 'text',
      action: 'text',
      stage: 'text',
      reason: 'text',
      proposedBy: 'text',
      proposedAs: 'text',
      proposedAt: 'int8',
      expiresAt: 'int8',
      decidedBy: 'text',
      decidedAs: 'text',
      decidedAt: 'int8',
      refusal: 'text',
      begunAt: 'int8',
      endedAt: 'int8',
      result: 'text',
    },
    onKnown: 'replace',
    keptWhenNull: [
      'kind',
      'action',
      'reason',
      'proposedBy',
      'proposedAs',
      'proposedAt',
      'expiresAt',
      'decidedBy',
      'decidedAs',
      'decidedAt',
      'refusal',
      'begunAt',
      'endedAt',
      'result',
    ],
  },
  complianceHolds: {
    sql: 'compliance_holds',
    key: ['id'],
    columns: {
      id: 'text',
      partition,
      scopeKind: 'text',
      scopeId: 'text',
      matter: 'text',
      placedBy: 'text',
      placedAt: 'int8',
      until: 'int8',
      releasedAt: 'int8',
      releasedBy: 'text',
    },
    onKnown: 'replace',
    keptWhenNull: ['scopeKind', 'scopeId', 'matter', 'placedBy', 'placedAt', 'until', 'releasedAt', 'releasedBy'],
  },
  complianceEvents: {
    sql: 'compliance_events',
    key: ['sequence'],
    columns: {
      sequence: 'int8',
      partition,
      offset: 'int8',
      at: 'int8',
      type: 'text',
      subject: 'text',
      actor: 'text',
      role: 'text',
      correlationId: 'text',
      event: 'text',
    },
    onKnown: 'impossible',
  },
  parked: {
    sql: 'parked',
    key: ['stream'],
    columns: { stream: 'text', partition, code: 'text', reason: 'text', fromOffset: 'int8', parkedAt: 'int8' },
    onKnown: 'replace',
  },
  parkedRecords: {
    sql: 'parked_records',
    key: ['stream', 'offset'],
    columns: { stream: 'text', partition, offset: 'int8', bytes: 'bytea', time: 'int8' },
    onKnown: 'impossible',
  },
};

export const TABLE_NAMES = Object.keys(TABLES) as readonly TableName[];

/** `storyId` → `story_id`; quoted where SQL would read a keyword. */
export function columnName(property: string): string {
  const name = property.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return name === 'offset' || name === 'left' ? `"${name}"` : name;
}

/** A column as the driver gives it. */
export function fromSql(type: ColumnType, value: unknown): unknown {
  return type === 'int8' && typeof value === 'string' ? Number(value) : value;
}

export type AnyRow = { readonly [column: string]: unknown };

/** What a stored row becomes when another one of its key arrives. */
export function mergedRow(table: Table<never>, known: AnyRow, row: AnyRow): AnyRow {
  if (table.onKnown === 'impossible') throw new Error(`${table.sql} holds this row already`);
  const merged: { [column: string]: unknown } = { ...row };
  if (table.onKnown === 'replace') {
    for (const column of table.keptWhenNull ?? []) merged[column] = row[column] ?? known[column];
    return merged;
  }
  for (const column of counterColumns(table)) merged[column] = (known[column] as number) + (row[column] as number);
  return merged;
}

/** The columns outside the key. */
export function counterColumns(table: Table<never>): readonly string[] {
  return Object.keys(table.columns).filter((column) => !(table.key as readonly string[]).includes(column));
}

export function rowKey(table: Table<never>, row: AnyRow): string {
  return table.key.map((column) => String(row[column])).join('\n');
}

/** A row's text for digests: its values in column order. */
export function rowText(table: Table<never>, row: AnyRow): string {
  return JSON.stringify(Object.keys(table.columns).map((column) => digestible(row[column])));
}

function digestible(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  return value ?? null;
}
