import type { BatchChanges } from './batch-changes.js';
import { binaryArray } from './binary-arrays.js';
import { DEAD_LETTER_COLUMNS } from './dead-letter.js';
import { keepDeadLetters } from './dead-letter-statements.js';
import { columnName, counterColumns, TABLE_NAMES, TABLES, type AnyRow, type ColumnType, type Table, type TableName } from './tables.js';

/*
 * A batch is one statement: the position moves on and every row is written, or, when the position is not where the batch began, nothing is.
 * One round trip, one implicit transaction.
 */

interface Section {
  readonly name: TableName;
  readonly columns: readonly (readonly [property: string, type: ColumnType])[];
}

const SECTIONS: readonly Section[] = TABLE_NAMES.map((name) => ({
  name,
  columns: Object.entries(TABLES[name].columns) as [string, ColumnType][],
}));

const DEAD_LETTER_TYPES = Object.entries(DEAD_LETTER_COLUMNS);

const POSITION_PARAMETERS = 11;
const LOG_ID = '$10';
/** Epoch of a retired generation's positions: no batch is folded on it. */
export const RETIRED_EPOCH = -1;

/** Statement and values for a batch; the name tells which tables take part. Answers one row when the position moved. */
export function commitStatement(schema: string, changes: BatchChanges): { name: string; text: string; values: unknown[] } {
  const sections = SECTIONS.filter(({ name }) => changes.rows[name].length > 0);
  const { partition, from, to, lastTime, logId, epoch, verdicts } = changes;
  const { accepted, duplicate, reused, conflict, invalid } = verdicts;
  const values: unknown[] = [partition, from, to, lastTime, accepted, duplicate, reused, conflict, invalid, logId, epoch];
  for (const { name, columns } of sections) values.push(...columnValues(columns, changes.rows[name] as readonly unknown[] as AnyRow[]));
  const letters = changes.deadLetters.length > 0;
  if (letters) values.push(...columnValues(DEAD_LETTER_TYPES, changes.deadLetters as readonly unknown[] as AnyRow[]));
  const tables = sections.map(({ name }) => SECTIONS.findIndex((section) => section.name === name).toString(36)).join('');
  const key = letters ? `${tables}_dead` : tables;
  return { name: `${schema}_commit_${key}`, text: textFor(schema, sections, key, letters), values };
}

/** @throws Unstorable when a value cannot be stored in its column. */
function columnValues(columns: Section['columns'], rows: readonly AnyRow[]): Buffer[] {
  return columns.map(([property, type]) =>
    binaryArray(
      type,
      rows.map((row) => row[property]),
    ),
  );
}

/** The rows alone, for use inside a transaction that holds the partition's position. */
export function rowsStatement(schema: string, rows: BatchChanges['rows']): { text: string; values: unknown[] } | undefined {
  const sections = SECTIONS.filter(({ name }) => rows[name].length > 0);
  if (sections.length === 0) return undefined;
  const values = sections.flatMap(({ name, columns }) => columnValues(columns, rows[name] as readonly unknown[] as AnyRow[]));
  return { text: `with moved as (select 1)${insertTexts(schema, sections, 0)}\nselect 1 from moved`, values };
}

/** Bounded: schemas live for weeks, and batches come in a handful of shapes. */
const texts = new Map<string, string>();
const MAX_TEXTS = 500;

function textFor(schema: string, sections: readonly Section[], key: string, letters: boolean): string {
  const known = texts.get(`${schema} ${key}`);
  if (known !== undefined) return known;
  if (texts.size >= MAX_TEXTS) texts.clear();
  const text = `with moved as (
  update ${schema}.positions set next_offset = $3, last_time = $4, accepted = accepted + $5, duplicate = duplicate + $6,
    reused = reused + $7, conflict = conflict + $8, invalid = invalid + $9
  where partition = $1 and next_offset = $2 and log_id = $10 and epoch = $11 and epoch > ${RETIRED_EPOCH} returning 1
)${insertTexts(schema, sections, POSITION_PARAMETERS)}${letters ? lettersText(sections) : ''}
select 1 from moved`;
  texts.set(`${schema} ${key}`, text);
  return text;
}

function insertTexts(schema: string, sections: readonly Section[], parametersBefore: number): string {
  let parameter = parametersBefore;
  const inserts = sections.map(({ name, columns }) => {
    const arrays = columns.map(([, type]) => `$${++parameter}::${type}[]`).join(', ');
    return `,\nw_${TABLES[name].sql} as (${insertText(schema, TABLES[name] as Table<never>, arrays)})`;
  });
  return inserts.join('');
}

/** Beside the generations and with the position: none is lost, and a batch that is folded again keeps none twice. */
function lettersText(before: readonly Section[]): string {
  let parameter = before.reduce((count, { columns }) => count + columns.length, POSITION_PARAMETERS);
  const arrays = DEAD_LETTER_TYPES.map(([, type]) => `$${++parameter}::${type}[]`).join(', ');
  return `,\nw_dead_letters as (${keepDeadLetters(LOG_ID, `moved, unnest(${arrays})`)})`;
}

function insertText(schema: string, table: Table<never>, arrays: string): string {
  const columns = Object.keys(table.columns).map(columnName).join(', ');
  const key = (table.key as readonly string[]).map(columnName).join(', ');
  return `insert into ${schema}.${table.sql} as known (${columns})
  select ${columns} from moved, unnest(${arrays}) as arrived (${columns})${conflictText(table, key)}`;
}

function conflictText(table: Table<never>, key: string): string {
  if (table.onKnown === 'impossible') return '';
  const kept = new Set<string>(table.keptWhenNull ?? []);
  const set = counterColumns(table).map((property) => {
    const column = columnName(property);
    if (table.onKnown === 'add') return `${column} = known.${column} + excluded.${column}`;
    return `${column} = ${kept.has(property) ? `coalesce(excluded.${column}, known.${column})` : `excluded.${column}`}`;
  });
  return `\n  on conflict (${key}) do update set ${set.join(', ')}`;
}
