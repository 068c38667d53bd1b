export {
  ACCESS_EVENTS,
  accessBytes,
  accessEntryOf,
  type Access,
  type AccessEntry,
  type AccessEvent,
  type AccessTarget,
} from './access-entry.js';
export { ACCESS_LOG, AccessLog, AccessNotRecorded, type AccessLogOptions } from './access-log.js';
export { AccessRecorder, QUIET_INTERVAL_MS, SUMMARY_INTERVAL_MS, type AccessRecorderOptions } from './access-recorder.js';
export { AccessSummaries, MAX_SUMMARIES, OTHERS } from './access-summaries.js';
export { formatAccessKey, listAccess, parseAccessKey, type AccessKey, type AccessPage, type AccessQuery } from './access-listing.js';
