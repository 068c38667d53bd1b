export { createAuth, createTokenVerifier, remoteKeys, type Identity, type TokenRules, type TokenVerifier } from './auth.js';
export type { Clock, Ids, Timers } from './clock.js';
export { pause } from './pause.js';
export { ConfigError, configurationReference, loadConfig, type Config } from './config.js';
export { correlationIdFrom } from './correlation.js';
export { createPool, withTransaction, type PoolSettings } from './database.js';
export { DataDirectoryLocked, lockDataDirectory, type DataDirectoryLock } from './data-directory-lock.js';
export { DevelopmentIssuerRefused, openDevelopmentIssuer, type DevelopmentIssuer, type MintOptions } from './development-issuer.js';
export {
  EmbeddedPostgresFailed,
  freePort,
  startEmbeddedPostgres,
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
} from './embedded-postgres.js';
export { errorCode, errorText } from './error-code.js';
export * from './errors.js';
export { createLogger, type Logger, type LoggerOptions, type LogLevel } from './logger.js';
export { createMetrics, type Metrics } from './metrics.js';
export { EmbeddedPostgresMissing } from './postgres-binaries.js';
export { PROCESS_ROLES, type ProcessRole } from './settings.js';
export {
  isSampled,
  NO_TRACING,
  openTracing,
  traceHeadersFrom,
  type Span,
  type SpanAttributes,
  type SpanLink,
  type TraceHeaders,
  type Tracing,
} from './telemetry.js';
export { systemClock, systemIds, systemTimers } from './system.js';
export { createFile, isLeftOver, makeDirectory, replaceFile, syncDirectory } from './whole-file.js';
export { USER_ROLES, type UserRole } from './user-roles.js';
