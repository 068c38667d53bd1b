import { errorText } from '#lib/platform';
import { LogRefused, LogUnavailable, OutcomeUnknown, type Offset } from '../event-log.js';
import { LogDamaged } from '../postgres/postgres-log.js';

/** Errors of the client carry their kind as text (its `ErrorType`). */
export function eventStoreErrorType(error: unknown): string | undefined {
  return typeof error === 'object' && error !== null && 'type' in error && typeof error.type === 'string' ? error.type : undefined;
}

/** Of a wrong expected revision: where the stream really ends. Nothing was written then. */
export function actualEnd(error: unknown): Offset | undefined {
  if (eventStoreErrorType(error) !== 'wrong-expected-version') return undefined;
  const actual = (error as { readonly actualVersion?: unknown }).actualVersion;
  return typeof actual === 'bigint' ? Number(actual) + 1 : 0;
}

/**
 * What gRPC says when a call never got a connection. Everything else that is "unavailable" (reset, dropped, going away) may
 * have happened after the server had stored the records.
 */
const NEVER_SENT = /No connection established|Name resolution failed|Channel closed before call started|Failed to discover/;

/** What a failed append means. Only the server's own word, or no connection at all, proves that nothing was stored. */
export function appendFailure(error: unknown): LogRefused | LogUnavailable | OutcomeUnknown | LogDamaged {
  const text = errorText(error);
  switch (eventStoreErrorType(error)) {
    case 'maximum-append-size-exceeded':
      return new LogRefused(`EventStoreDB refused the records as too large (its MaxAppendSize must be at least 1 MiB): ${text}`, {
        cause: error,
      });
    case 'access-denied':
      return new LogRefused(`EventStoreDB does not let this user write: ${text}`, { cause: error });
    case 'invalid-argument':
      return new LogRefused(`EventStoreDB refused the records: ${text}`, { cause: error });
    case 'stream-deleted':
      return new LogDamaged(`A stream of the log was deleted in EventStoreDB: ${text}`);
    case 'not-leader':
      return new LogUnavailable(`The node of EventStoreDB is not the leader, and stored nothing: ${text}`, { cause: error });
    default:
      return NEVER_SENT.test(text)
        ? new LogUnavailable(`EventStoreDB cannot be reached: ${text}`, { cause: error })
        : new OutcomeUnknown(`The answer of EventStoreDB to an append was lost: ${text}`, { cause: error });
  }
}

/** What a failed read means: the caller starts again from its own position, unless the stream is gone for good. */
export function readFailure(error: unknown): LogUnavailable | LogDamaged {
  if (error instanceof LogUnavailable || error instanceof LogDamaged) return error;
  const text = errorText(error);
  if (eventStoreErrorType(error) === 'stream-deleted') return new LogDamaged(`A stream of the log was deleted in EventStoreDB: ${text}`);
  return new LogUnavailable(`EventStoreDB cannot be read: ${text}`, { cause: error });
}

/** What a failed forgetting means: it may have happened, and may be asked for again. */
export function forgetFailure(error: unknown): LogRefused | LogUnavailable | LogDamaged {
  if (eventStoreErrorType(error) === 'access-denied')
    return new LogRefused(`EventStoreDB does not let this user change the metadata of streams: ${errorText(error)}`, { cause: error });
  return readFailure(error);
}
