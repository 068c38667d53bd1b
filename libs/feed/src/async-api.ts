import { FEED_TYPES, HEARTBEAT, type FeedType, type FeedTypeName } from './feed-types.js';

type Node = { readonly [key: string]: unknown };

const text = (description: string, more: Node = {}): Node => ({ type: 'string', description, ...more });

/** CloudEvents' context attributes as Kafka carries them in binary mode, for events of streams. */
const attributes: Node = {
  'content-type': text('Of the value', { const: 'application/json' }),
  ce_specversion: text('Version of CloudEvents', { const: '1.0' }),
  ce_id: text('The same whenever the event is published: log, partition, offset, index. Leave out what you have seen'),
  ce_source: text('The log that it comes from', { format: 'uri-reference' }),
  ce_type: text('What happened'),
  ce_time: text('When it was decided; not later than the log took it, nor more than five seconds earlier', { format: 'date-time' }),
};
const streamed: Node = {
  ce_subject: text('The stream: `playthrough/<id>` or `story/<id>`'),
  ce_sequence: text("Counts the stream's events from 1 without gaps, with leading zeros: compare as text", { pattern: '^[0-9]{16}$' }),
  ce_partitionkey: text('The message key: the stream'),
  ce_correlationid: text('Of the request that led to it'),
  ce_causationid: text('What caused it, when that is known'),
  ce_traceparent: text('W3C trace context of the request, when it was traced'),
};
const optional = ['ce_correlationid', 'ce_causationid', 'ce_traceparent'];

/** The feed as an AsyncAPI 3.0 document: docs/reference/asyncapi.yaml. */
export function asyncApiDocument(): Node {
  const entries = Object.entries(FEED_TYPES) as [FeedTypeName, FeedType][];
  const reference = (name: string): Node => ({ $ref: name });
  return {
    asyncapi: '3.0.0',
    info: {
      title: "Fabula's public feed",
      version: '1.0.0',
      description:
        'What was accepted, as CloudEvents 1.0 in the binary mode of the Kafka binding. At least once, and in order per stream once repeats (the same `ce_id`) are left out. Without personal data. Within a `.v1` fields may be added: ignore what you do not know.',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    defaultContentType: 'application/json',
    servers: {
      brokers: { host: 'localhost:9092', protocol: 'kafka', description: 'What `KAFKA_BROKERS` names' },
    },
    channels: {
      feed: {
        address: 'fabula.events',
        title: 'The feed',
        description: 'What `FABULA_KAFKA_FEED_TOPIC` names; as many partitions as the log has.',
        messages: Object.fromEntries(entries.map(([type]) => [nameOf(type), reference(`#/components/messages/${nameOf(type)}`)])),
      },
    },
    operations: {
      publish: {
        action: 'send',
        channel: reference('#/channels/feed'),
        summary: 'The role `publisher` sends these.',
        messages: entries.map(([type]) => reference(`#/channels/feed/messages/${nameOf(type)}`)),
      },
    },
    components: {
      messages: Object.fromEntries(entries.map(([type, feedType]) => [nameOf(type), messageOf(type, feedType)])),
      messageTraits: {
        event: { headers: headersOf(attributes) },
        streamEvent: {
          headers: headersOf({ ...attributes, ...streamed }),
          bindings: { kafka: { key: text('The stream'), bindingVersion: '0.5.0' } },
        },
      },
      schemas: Object.fromEntries(entries.map(([type, { data }]) => [nameOf(type), data])),
    },
  };
}

function messageOf(type: FeedTypeName, { title, summary }: FeedType): Node {
  return {
    name: type,
    title,
    summary,
    contentType: 'application/json',
    headers: { type: 'object', properties: { ce_type: { type: 'string', const: type } } },
    payload: { $ref: `#/components/schemas/${nameOf(type)}` },
    traits: [{ $ref: `#/components/messageTraits/${type === HEARTBEAT ? 'event' : 'streamEvent'}` }],
  };
}

function headersOf(properties: Node): Node {
  return { type: 'object', required: Object.keys(properties).filter((name) => !optional.includes(name)), properties };
}

/** `fabula.playthrough.choice-made.v1` → `playthroughChoiceMadeV1`: names of components may hold no dots in references. */
const nameOf = (type: FeedTypeName): string =>
  type.replace(/^fabula\./, '').replace(/[.-](\w)/g, (_dot, letter: string) => letter.toUpperCase());
