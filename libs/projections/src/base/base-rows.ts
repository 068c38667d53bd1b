import { WINDOW_SIZE } from '#lib/decision';
import { TABLES, type AnyRow, type ReadModelRows, type Table, type TableName } from '../tables.js';

/** Rows by table. */
export type Rows = { readonly [name in TableName]: readonly ReadModelRows[name][] };

/*
 * What a base keeps of the rows that a fold of its records gives: nothing that later records could ask for is missing. A reader can go back to
 * the newest kept state of each playthrough and no further; of its commands the window stays, which verdicts depend on. Officers and authors are few:
 * all their commands stay, so that none of them takes effect again however late it is repeated. Said twice, once for rows
 * in memory and once for Postgres; a test holds both to the same digest.
 */

export function reduceRows(rows: Rows): Rows {
  return { ...rows, commands: reduceCommands(rows.commands), turns: reduceTurns(rows.turns) };
}

function reduceCommands(rows: Rows['commands']): Rows['commands'] {
  return grouped(rows, ({ stream }) => stream).flatMap((own) =>
    own[0]?.stream.startsWith('playthrough/') === true ? own.sort((a, b) => a.version - b.version).slice(-WINDOW_SIZE) : own,
  );
}

function reduceTurns(rows: Rows['turns']): Rows['turns'] {
  return grouped(rows, ({ playthroughId }) => playthroughId).flatMap((own) => {
    own.sort((a, b) => a.turn - b.turn || a.offset - b.offset);
    return own.slice(
      Math.max(
        0,
        own.findLastIndex(({ snapshot }) => snapshot !== null),
      ),
    );
  });
}

function grouped<Row>(rows: readonly Row[], by: (row: Row) => string): Row[][] {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const group = groups.get(by(row));
    if (group === undefined) groups.set(by(row), [row]);
    else group.push(row);
  }
  return [...groups.values()];
}

/** The same in a schema that holds one partition alone. */
export function reductions(schema: string): readonly string[] {
  return [
    `with old as (
       select stream, version from (
         select stream, version, row_number() over (partition by stream order by version desc) as back from ${schema}.stream_commands
         where stream like 'playthrough/%'
       ) numbered where back > ${WINDOW_SIZE}
     ) delete from ${schema}.stream_commands c using old where c.stream = old.stream and c.version = old.version`,
    `with kept as (
       select distinct on (playthrough_id) playthrough_id, turn, "offset" from ${schema}.turns
       where snapshot is not null order by playthrough_id, turn desc, "offset" desc
     ) delete from ${schema}.turns t using kept k where t.playthrough_id = k.playthrough_id and (t.turn, t."offset") < (k.turn, k."offset")`,
  ];
}

/** Rows in the order in which they are hashed: by key, texts by their UTF-8 bytes. */
export function inKeyOrder(table: Table<never>, rows: readonly AnyRow[]): readonly AnyRow[] {
  return [...rows].sort((a, b) => {
    for (const column of table.key as readonly string[]) {
      const [x, y] = [a[column], b[column]];
      const order = typeof x === 'number' && typeof y === 'number' ? x - y : Buffer.compare(Buffer.from(String(x)), Buffer.from(String(y)));
      if (order !== 0) return order;
    }
    return 0;
  });
}

/** Tables whose rows go with the records that they came from; of all others the base has every row. */
export const REDUCED = ['commands', 'turns'] as const satisfies readonly TableName[];
export const reduced = (name: TableName): boolean => (REDUCED as readonly TableName[]).includes(name);
export const tableOf = (name: TableName): Table<never> => TABLES[name] as Table<never>;
