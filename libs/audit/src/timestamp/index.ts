export { readTimestamp, TIMESTAMP_QUERY, TIMESTAMP_REPLY, timestampRequest, TimestampRefused } from './timestamp.js';
export { Timestamper, type KeptTimestamp, type TimestampRecords, type TimestamperOptions } from './timestamper.js';
export { PostgresTimestamps } from '../postgres/postgres-timestamps.js';
