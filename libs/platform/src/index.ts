export type { Clock, Ids, Timers } from './clock.js';
export { DataDirectoryLocked, lockDataDirectory, type DataDirectoryLock } from './data-directory-lock.js';
export {
  EmbeddedPostgresFailed,
  freePort,
  startEmbeddedPostgres,
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
} from './embedded-postgres.js';
export { errorCode, errorText } from './error-code.js';
export { EmbeddedPostgresMissing } from './postgres-binaries.js';
export { errorCatalogue, errorReference, FabulaError, isErrorCode, type ErrorCode } from './errors.js';
