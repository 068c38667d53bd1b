export { asyncApiDocument } from './async-api.js';
export {
  contextOf,
  feedEvents,
  isPublic,
  sequenceOf,
  sourceOf,
  type FeedEvent,
  type Place,
  type ReaderMark,
  type StreamContext,
} from './feed-event.js';
export { PostgresFeedPositions, type FeedPositions } from './feed-positions.js';
export type { FeedSink } from './feed-sink.js';
export { FEED_TYPES, HEARTBEAT, type FeedType, type FeedTypeName, type Schema } from './feed-types.js';
export { FeedTopicDiffers, KafkaFeedSink, type KafkaFeedSinkOptions } from './kafka-feed-sink.js';
export { kafkaMessage, type FeedMessage } from './kafka-message.js';
export { HEARTBEAT_BEHIND_MS, Publisher, type PublisherOptions, type PublisherStatus } from './publisher.js';
export { openFeedKey, readerMarks } from './reader-marks.js';
export type { Beginning, KnownVerdicts, Verdicts } from './verdicts.js';
