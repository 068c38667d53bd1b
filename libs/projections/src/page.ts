import { canonicalJson } from '#lib/canonical';

/** Rows of one page in order; `after` of the next one is `endCursor`. */
export interface Page<Row> {
  readonly rows: readonly Row[];
  /** One per row. */
  readonly cursors: readonly string[];
  readonly hasNextPage: boolean;
}

export const MAX_PAGE = 100;

/** A cursor that was not made by the list it was given to. */
export class BadCursor extends RangeError {
  override readonly name = 'BadCursor';
  constructor() {
    super('the cursor is not one of this list');
  }
}

/** What to ask for: one row more than the page, to know whether there is a next one. */
export function pageLimit(first: number): number {
  if (!Number.isSafeInteger(first) || first < 1 || first > MAX_PAGE) throw new RangeError(`first is 1…${MAX_PAGE}`);
  return first + 1;
}

export function pageOf<Row>(rows: readonly Row[], first: number, key: (row: Row) => readonly (string | number)[]): Page<Row> {
  const page = rows.slice(0, first);
  return { rows: page, cursors: page.map((row) => encodeCursor(key(row))), hasNextPage: rows.length > first };
}

function encodeCursor(key: readonly (string | number)[]): string {
  return Buffer.from(canonicalJson(key), 'utf8').toString('base64url');
}

const MAX_CURSOR_CHARACTERS = 1_000;

/**
 * The key behind a cursor; undefined without one.
 * @param types what the key consists of
 * @throws BadCursor
 */
export function decodeCursor(
  cursor: string | null | undefined,
  types: readonly ('string' | 'number')[],
): readonly (string | number)[] | undefined {
  if (cursor === null || cursor === undefined) return undefined;
  if (cursor.length > MAX_CURSOR_CHARACTERS) throw new BadCursor();
  let key: unknown;
  try {
    key = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    // Not JSON: not one of ours, and the caller is told so.
    throw new BadCursor();
  }
  if (!Array.isArray(key) || key.length !== types.length) throw new BadCursor();
  const sound = key.every((part: unknown, n) =>
    types[n] === 'number' ? Number.isSafeInteger(part) : typeof part === 'string' && part.isWellFormed() && !part.includes('\0'),
  );
  if (!sound || encodeCursor(key as string[]) !== cursor) throw new BadCursor();
  return key as readonly (string | number)[];
}
