export {
  commandDigest,
  decodeRecord,
  encodeRecord,
  MAX_EVENTS,
  MAX_RECORD_BYTES,
  partitionOf,
  RecordTooLarge,
  type Actor,
  type Decoded,
  type DecodedRecord,
  type DecisionRecord,
  type Envelope,
  type RecordedEvent,
  type StreamId,
} from './decision-record.js';
export {
  admissible,
  admit,
  EMPTY_HEAD,
  WINDOW_SIZE,
  type AcceptedCommand,
  type Admission,
  type StreamHead,
  type Verdict,
} from './admit.js';
export { isRejection, type Decider, type Rejection } from './decider.js';
export { UnknownEvent, upcast, type EventSchema, type Upcaster } from './upcast.js';
export {
  eventProblem,
  eventSchemaId,
  eventSchemas,
  eventShape,
  knownFields,
  MalformedEvent,
  unknownFields,
  type EventShapes,
  type EventVersions,
} from './event-shapes.js';
export { checkedFold } from './recorded-fold.js';
export { decisionRecordSchema, recordProblem } from './record-schema.js';
export * as shapes from './shape.js';
export type { JsonSchema, ObjectShape, Shape } from './shape.js';
