export {
  decodeReply,
  decodeRequest,
  encodeReply,
  encodeRequest,
  replyOf,
  type CommandOutcome,
  type CommandRequest,
  type Reply,
} from './command.js';
export * from './cold-source.js';
export type { BusyStream } from './busy-streams.js';
export type { BreakerState } from './circuit-breaker.js';
export type { ContentStore } from './content-cache.js';
export { Engine, type EngineDependencies } from './engine.js';
export { EngineFailure, NotOwner } from './engine-failure.js';
export { DEFAULT_LIMITS, type EngineLimits } from './limits.js';
export type { WriterStats } from './writer-context.js';
export type { Change } from './partition-state.js';
export type { StreamCommand, StreamState } from './stream-kind.js';
export { ForwardingEngine, type ForwardingOptions, type Transport } from './forwarding.js';
export type { Ownership, OwnershipEvents } from './ownership/ownership.js';
export { SoleOwnership } from './ownership/sole-ownership.js';
export { enginesOnKafka, enginesOnPostgres } from './ownership/engines-at-work.js';
export { RECOVERING } from './partition-writer.js';
export { PostgresContentStore } from './postgres-content-store.js';
export { createPostgresOwnership, type PartitionWork, type PostgresOwnershipOptions } from './ownership/postgres-ownership.js';
export {
  createKafkaOwnership,
  type KafkaOwnership,
  type KafkaOwnershipOptions,
  type Rebalance,
} from './ownership/kafka/kafka-ownership.js';
