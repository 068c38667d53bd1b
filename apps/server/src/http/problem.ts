import { errorCatalogue, FabulaError, isErrorCode, type ErrorCode } from '#lib/platform';
import { isDatabaseOutage } from './database-outage.js';

/** What a caller may see of an error. */
export interface PublicProblem {
  readonly code: ErrorCode;
  readonly status: number;
  readonly message: string;
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;
  readonly details: Readonly<Record<string, unknown>>;
}

/** Codes that Fastify, its plugins and Nest put on requests they refuse by themselves. */
const FOREIGN: Readonly<Record<string, ErrorCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'TOO_LARGE',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'BAD_INPUT',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'BAD_INPUT',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'BAD_INPUT',
  FST_ERR_VALIDATION: 'BAD_INPUT',
  FST_ERR_BAD_URL: 'BAD_INPUT',
  FST_UNDER_PRESSURE: 'OVERLOADED',
};
const BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  400: 'BAD_INPUT',
  401: 'UNAUTHENTICATED',
  403: 'FORBIDDEN',
  404: 'NOT_FOUND',
  413: 'TOO_LARGE',
  415: 'BAD_INPUT',
  429: 'RATE_LIMITED',
};

/**
 * Turns whatever was thrown into the problem a caller may see. What is not from the catalogue is INTERNAL, and its text stays inside.
 * @param asking what was wanted: a read that met an outage has had no effect, a command may have had one
 */
export function asFabulaError(error: unknown, asking: 'for a command' | 'to read' = 'for a command'): PublicProblem {
  if (error instanceof FabulaError) return problem(error.code, error.message, error.details, error.retryAfterMs);
  const named = error as {
    name?: string;
    code?: string;
    message?: string;
    status?: number;
    statusCode?: number;
    retryAfterMs?: number;
    at?: string;
  } | null;
  if (named?.name === 'EngineFailure' && named.code !== undefined) {
    const code = isErrorCode(named.code) ? named.code : 'OVERLOADED';
    return problem(code, code === 'INTERNAL' ? undefined : named.message, {}, named.retryAfterMs);
  }
  if (named?.name === 'NotStrictJson') return problem('BAD_INPUT', named.message, { at: named.at });
  if (named?.name === 'BadDocument') return problem('BAD_INPUT', named.message);
  if (named?.code !== undefined && FOREIGN[named.code] !== undefined) return problem(FOREIGN[named.code] as ErrorCode, named.message);
  const status = named?.statusCode ?? named?.status;
  if (typeof status === 'number' && status < 500 && BY_STATUS[status] !== undefined)
    return problem(BY_STATUS[status] as ErrorCode, named?.message);
  if (isDatabaseOutage(error) && asking === 'to read')
    return problem('NOT_YET_VISIBLE', 'The database cannot be reached at present; ask again.');
  // Where it broke is not known here: before the command was recorded, or while its answer was made.
  if (isDatabaseOutage(error))
    return problem('OUTCOME_UNKNOWN', 'The database cannot be reached at present; send the same request, with the same commandId, again.');
  return problem('INTERNAL');
}

function problem(
  code: ErrorCode,
  message: string = errorCatalogue[code].title,
  details: Readonly<Record<string, unknown>> = {},
  retryAfterMs?: number,
): PublicProblem {
  const { status, retryable } = errorCatalogue[code];
  return { code, status, message, retryable, retryAfterMs: retryAfterMs ?? (retryable ? 1_000 : undefined), details };
}

/** RFC 9457 body. */
export function problemJson(found: PublicProblem, correlationId: string): Record<string, unknown> {
  const { code, status, message, retryable, retryAfterMs, details } = found;
  return {
    ...details,
    type: `https://fabula.invalid/errors#${code.toLowerCase()}`,
    title: errorCatalogue[code].title,
    status,
    detail: message,
    code,
    retryable,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    correlationId,
  };
}
