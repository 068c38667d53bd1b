export { MemoryProjection } from './memory-projection.js';
export { Fenced } from './partition-projector.js';
export {
  DataRefused,
  PositionRefused,
  type ColdReads,
  type ColdStream,
  type PastState,
  type PositionProblem,
  type ProjectionPosition,
  type ProjectionStore,
} from './projection-store.js';
export { Projector, type PartitionStatus, type ProjectorOptions } from './projector.js';
export type * from './read-model.js';
export { TABLE_NAMES, TABLES, type ReadModelRows, type TableName } from './tables.js';
