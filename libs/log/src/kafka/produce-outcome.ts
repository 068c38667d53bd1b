import { errorText } from '#lib/platform';
import { LogRefused, LogUnavailable, OutcomeUnknown } from '../event-log.js';

/** Will never be taken: size, name, authorisation, or records that the broker finds wrong. */
const PERMANENT = new Set([
  10, // MESSAGE_TOO_LARGE
  17, // INVALID_TOPIC_EXCEPTION
  18, // RECORD_LIST_TOO_LARGE
  29, // TOPIC_AUTHORIZATION_FAILED
  31, // CLUSTER_AUTHORIZATION_FAILED
  32, // INVALID_TIMESTAMP
  43, // UNSUPPORTED_FOR_MESSAGE_FORMAT
  44, // POLICY_VIOLATION
  87, // INVALID_RECORD
]);
/** Checked by the leader before it appends, and we send each batch once: proof that nothing is stored. */
const NOT_ENOUGH_REPLICAS = 19;

/**
 * What an error code in the answer to a produce request means. NOT_LEADER comes also after the append, when the leader lost its
 * partition while it waited for the others; so do REQUEST_TIMED_OUT and NOT_ENOUGH_REPLICAS_AFTER_APPEND: the outcome is unknown.
 */
export function produceFailure(code: number, name: string, partition: number): LogRefused | LogUnavailable | OutcomeUnknown {
  if (PERMANENT.has(code)) return new LogRefused(`The brokers refused the records for partition ${partition}: ${name}.`);
  if (code === NOT_ENOUGH_REPLICAS)
    return new LogUnavailable(`Partition ${partition} has fewer replicas in sync than min.insync.replicas asks for: nothing was stored.`);
  return new OutcomeUnknown(`The broker answered ${name} for partition ${partition}: the records may be stored or not.`);
}

/** A request whose answer did not come. */
export function sendFailure(error: unknown): LogUnavailable | OutcomeUnknown {
  // kafkajs says exactly this before it writes a byte.
  if (error instanceof Error && error.name === 'KafkaJSConnectionError' && error.message === 'Not connected')
    return new LogUnavailable('The connection to the broker was gone before anything was sent.', { cause: error });
  return new OutcomeUnknown(`The answer of the broker was lost: ${errorText(error)}`, { cause: error });
}
