export {
  LogRefused,
  LogUnavailable,
  MAX_BATCH_BYTES,
  MAX_BATCH_RECORDS,
  OutcomeUnknown,
  RecordsForgotten,
  type Batch,
  type EventLog,
  type LogId,
  type LogRecord,
  type Offset,
  type ReadOptions,
  type StoredRecord,
} from './event-log.js';
export { createMemoryLog, type MemoryLogOptions } from './memory/memory-log.js';
export { assertBegins, assertPosition, ForeignLog, PositionBeyondEnd, type LogPosition, type Unforgotten } from './position.js';
export { findPostgresLog, LogNotMigrated, NotDurable, PartitionCountDiffers } from './postgres/log-identity.js';
export { LogDamaged, openPostgresLog, type PostgresLogOptions } from './postgres/postgres-log.js';
export { OldestWaiting } from './oldest-waiting.js';
export { PacedReads } from './paced-log.js';
export { SharedReads } from './shared-reads.js';
export { createPostgresReleases } from './postgres/postgres-releases.js';
export { mayBeReleased, NO_RELEASES, type Releases } from './releases.js';
export { createKafka, kafkaConnection, KafkaFileUnreadable, type KafkaConnection, type KafkaNotice } from './kafka/kafka-client.js';
export { BrokerFactory, type KafkajsBroker } from './kafka/kafkajs-internals.js';
export { openKafkaLog, type KafkaLog, type KafkaLogOptions, type KafkaLogStats } from './kafka/kafka-log.js';
export type { AppendReport } from './kafka/group-commit.js';
export { describeTopic, ensureTopic, TopicMissing, UnsafeTopic, type TopicState, type TopicWish } from './kafka/kafka-topic.js';
export { describeFindings, type Finding } from './kafka/topic-audit.js';
export { planTopics, type Load, type TopicPlan } from './kafka/plan-topics.js';
export { findEventStoreDbLog, openEventStoreDbLog, type EventStoreDbLogOptions } from './eventstoredb/eventstoredb-log.js';
export { copyLog, CopyRefused, type CopyOptions, type CopyProblem, type CopyProgress, type CopyReport } from './copy/copy-log.js';
export { CopyUnfinished, refuseUnfinishedCopy } from './copy/copy-state.js';
export { UnknownVerdict } from './copy/head-tally.js';
export { evolveLog, logEvents, logShapes, logStream, type LogCopied, type LogEvent, type LogState } from './copy/log-stream.js';
