import { MAX_EVENTS, type Actor, type DecisionRecord, type RecordedEvent } from './decision-record.js';
import { head } from './event-shapes.js';
import { about, constant, integer, list, nullable, object, oneOf, sha256Shape, text, type JsonSchema, type Shape } from './shape.js';

/** Any event: its own schema, named by type and version, says the rest. */
const event: Shape<RecordedEvent> = {
  schema: {
    type: 'object',
    required: ['type', 'v'],
    properties: { type: { type: 'string' }, v: { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER } },
    description: 'One event. `urn:fabula:event:<type>:v<v>` names its schema.',
  },
  fault: () => undefined,
};

const shape = object<DecisionRecord>({
  v: about('Version of the envelope. Another one stops the partition of an older node: it is never guessed at.', constant(1)),
  stream: about('Type and id of the stream, e.g. `playthrough/…`.', text({ max: 233, pattern: /^[a-z][a-z-]{0,31}\/[!-~]{1,200}$/ })),
  expectedVersion: about('Number of events that the stream held when this was decided.', integer()),
  previous: about("SHA-256 of the stream's last accepted record, null at first: each stream is a hash chain.", nullable(sha256Shape())),
  commandId: about('`c:<uuid>` from clients, `s:…` from the system.', text({ max: 302, pattern: /^[cs]:[!-~]{1,300}$/ })),
  commandDigest: about('SHA-256 of the canonical input and the actor: tells a retry from another command under its id.', sha256Shape()),
  eventCount: about('Number of events; the stream grows by so many when this is accepted.', integer(1, MAX_EVENTS)),
  correlationId: about('The request that this belongs to.', text({ min: 0, max: 1_000 })),
  causationId: about('The command that caused this one, if one did.', nullable(text({ min: 0, max: 1_000 }))),
  actor: about(
    'Who decided.',
    object<Actor>({
      id: about('A random pseudonym; never a name or an address.', text({ max: 1_000 })),
      role: oneOf('reader', 'author', 'compliance', 'dpo', 'operator', 'admin', 'system'),
    }),
  ),
  at: about('When it was decided, ms since the epoch; never decreases within a stream.', integer()),
  events: about('What was decided, in order.', list(event)),
});

/** JSON Schema of version 1 of the decision record: the envelope and what surrounds the events. */
export const decisionRecordSchema: JsonSchema = {
  ...head(
    'urn:fabula:decision-record:v1',
    'Decision record, version 1',
    'What one command appends to the log, as canonical JSON (RFC 8785) in UTF-8, at most 128 KiB. Its verdict is not in it: `admit` gives it.',
  ),
  ...shape.schema,
};

/** What is wrong with the surroundings of the events, about to be written; undefined: nothing. */
export const recordProblem = (record: DecisionRecord): string | undefined => {
  if (record.events.length !== record.eventCount) return 'record.events: are not as many as eventCount says';
  const fault = shape.fault(record);
  return fault === undefined ? undefined : `record${fault}`;
};
