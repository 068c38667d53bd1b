import { errorCode, errorText } from '#lib/platform';
import { LogRefused, LogUnavailable, OutcomeUnknown } from '../event-log.js';

/**
 * What a failed append statement means. Only an error that the server itself answered, with the session alive, proves
 * that the statement was rolled back; everything else after sending (reset, time-out, a session that was ended) may have
 * happened after the commit.
 */
export function appendFailure(error: unknown): LogRefused | LogUnavailable | OutcomeUnknown {
  const state = sqlState(error);
  const text = errorText(error);
  if (state === undefined || endsSession(error, state))
    return new OutcomeUnknown(`The connection to the log was lost while records were sent: ${text}`, { cause: error });
  if (isPermanent(state)) return new LogRefused(`The log refused the records: ${text} (${state})`, { cause: error });
  return new LogUnavailable(`The log could not take the records, and stored none of them: ${text} (${state})`, { cause: error });
}

/** A failed read, or a failed wait for a connection: nothing was sent that could have been stored. */
export function unavailable(error: unknown): LogUnavailable {
  return new LogUnavailable(`The log cannot be reached: ${errorText(error)}`, { cause: error });
}

/** A failed forgetting: it may have gone some way, and may be asked for again. */
export function forgetFailure(error: unknown): LogRefused | LogUnavailable {
  const state = sqlState(error);
  if (state !== undefined && !endsSession(error, state) && isPermanent(state))
    return new LogRefused(`The log refused to forget: ${errorText(error)} (${state})`, { cause: error });
  return unavailable(error);
}

/** SQLSTATE, if the error came from the server. */
function sqlState(error: unknown): string | undefined {
  const code = errorCode(error);
  // Node's own codes (EPIPE, ECONNRESET) have other lengths or no severity beside them.
  return code?.length === 5 && typeof error === 'object' && error !== null && 'severity' in error ? code : undefined;
}

function endsSession(error: unknown, state: string): boolean {
  const severity = typeof error === 'object' && error !== null && 'severity' in error ? error.severity : undefined;
  // 08 connection, 57P operator intervention (terminated, crash shutdown).
  return severity === 'FATAL' || severity === 'PANIC' || state.startsWith('08') || state.startsWith('57P');
}

function isPermanent(state: string): boolean {
  // 22 bad data, 23 constraint, 42 missing object or privilege, 54 limits, 25006 read-only, 0A unsupported.
  return /^(22|23|42|54|0A)/.test(state) || state === '25006';
}
