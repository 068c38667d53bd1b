import { FabulaError } from '#lib/platform';

const NODE_CODES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
  'ENOTFOUND',
]);
/** What pg and pg-pool say without a code. */
const WORDS =
  /^(?:Connection terminated|timeout exceeded when trying to connect|Query read timeout|Client has encountered a connection error)/;

/**
 * Whether the database could not be asked, or its answer was lost: nothing is wrong with the request, and it may be sent again. Recognised
 * are lost and refused connections, SQLSTATE 08 (connection), 53 (too little of something) and 57 (shut down, starting up, broken off).
 */
export function isDatabaseOutage(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.length > 0 && error.errors.every(isDatabaseOutage);
  if (!(error instanceof Error)) return false;
  if (error.name === 'LogUnavailable' || WORDS.test(error.message)) return true;
  const { code, severity } = error as { readonly code?: unknown; readonly severity?: unknown };
  if (typeof code !== 'string') return false;
  return severity === undefined ? NODE_CODES.has(code) : /^(?:08|53|57)[0-9A-Z]{3}$/.test(code);
}

/**
 * What a command asks the database before anything is appended: when it cannot be reached the command has certainly had no effect, and says so.
 * @throws FabulaError OVERLOADED instead of an outage; everything else as it was thrown
 */
export async function beforeItsEffect<T>(asking: Promise<T>): Promise<T> {
  try {
    return await asking;
  } catch (error) {
    if (!isDatabaseOutage(error)) throw error;
    throw new FabulaError('OVERLOADED', 'What this needs from the database cannot be read at present; nothing was recorded.', {
      cause: error,
    });
  }
}
