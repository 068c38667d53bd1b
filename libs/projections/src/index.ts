export type { BatchChanges, VerdictCounts } from './batch-changes.js';
export { currentBases, LogBaseDamaged, type LogBase } from './base/log-base.js';
export { baseDigest, dropFormer, switchBase, thin } from './base/switch-base.js';
export { BaseRefused, takeBase, type TakeBase } from './base/take-base.js';
export { ComplianceReads, type ActionFilter, type BaseTaken, type Touched } from './compliance-reads.js';
export { DEAD_LETTER_KINDS, type DeadLetterKind, type DeadLetterNotice } from './dead-letter.js';
export {
  DeadLetters,
  type DeadLetterCount,
  type DeadLetterDetail,
  type DeadLetterFilter,
  type DeadLetterRelease,
  type DeadLetterRetry,
  type DeadLetterStatus,
  type DeadLetterView,
} from './dead-letters.js';
export { KNOWN_FIELDS, type Drift, type DriftKind, type KnownFields } from './drift.js';
export { foldLog } from './fold-log.js';
export {
  dropRetired,
  forgetGenerations,
  LiveGeneration,
  listGenerations,
  livePositions,
  NoReadModels,
  RETIRED_KEPT_MS,
  type Generation,
} from './generations.js';
export { MemoryProjection } from './memory-projection.js';
export { BadCursor, MAX_PAGE, type Page } from './page.js';
export { Fenced } from './partition-projector.js';
export { decodePosition, encodePosition, type RecordPosition } from './position-token.js';
export { MAX_WAIT_MS, PositionWaiter, type PositionWaiterOptions, type Waited } from './position-waiter.js';
export { PostgresColdSource } from './postgres-cold-source.js';
export { PostgresProjection } from './postgres-projection.js';
export {
  DataRefused,
  PositionRefused,
  type ColdReads,
  type ColdStream,
  type PastState,
  type PositionProblem,
  type ProjectionPosition,
  type ProjectionStore,
  type RetryOutcome,
} from './projection-store.js';
export { Projector, type PartitionStatus, type ProjectorOptions } from './projector.js';
export { readModelDigest, type DigestSource, type ReadModelDigest } from './read-model-digest.js';
export type * from './read-model.js';
export {
  ReadModels,
  type Answer,
  type AsOf,
  type CheckpointView,
  type PageRequest,
  type ParkedView,
  type PartitionProgress,
  type PlaythroughSummary,
  type PlaythroughView,
  type TurnView,
  type VersionStats,
} from './read-models.js';
export type { Parity, TableParity } from './parity.js';
export { createReadSide, type ReadSide, type ReadSideOptions } from './read-side.js';
export {
  aloneWithReadModels,
  ParityFailed,
  rebuild,
  RebuildRunning,
  withOwnPool,
  type RebuildOptions,
  type RebuildProgress,
  type RebuildReport,
} from './rebuild.js';
export { STREAM_KINDS, type StreamKinds } from './stream-kinds.js';
export { TABLE_NAMES, TABLES, type ReadModelRows, type TableName } from './tables.js';
export { liveCounts, type LiveCounts } from './live-counts.js';
