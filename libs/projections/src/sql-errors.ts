/**
 * Whether the rows themselves are at fault, so that trying again cannot help. SQLSTATE classes: 22 data exception, 23 constraint
 * violation, 54 program limit (an index entry too large); or a value that was refused before Postgres saw it (see binary-arrays.ts).
 */
export function isDataError(error: unknown): error is Error {
  if (error instanceof Unstorable) return true;
  const code = (error as { code?: unknown } | null)?.code;
  return error instanceof Error && typeof code === 'string' && /^(22|23|54)[0-9A-Z]{3}$/.test(code);
}

/** A value that has no place in its column. */
export class Unstorable extends TypeError {
  override readonly name = 'Unstorable';
}
