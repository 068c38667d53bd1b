import type { FeedEvent } from './feed-event.js';

/** A message of the topic. */
export interface FeedMessage {
  readonly key: string | null;
  readonly value: string;
  readonly headers: { readonly [name: string]: string };
}

/**
 * A CloudEvent in the binary mode of the Kafka binding (CloudEvents 1.0.2, §3.2). Written here: `cloudevents` 10 sends `ce_datacontenttype`
 * besides `content-type` and headers without a value; the specs read what this writes with that library.
 */
export function kafkaMessage(event: FeedEvent): FeedMessage {
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    ce_specversion: '1.0',
    ce_id: event.id,
    ce_source: event.source,
    ce_type: event.type,
    ce_time: new Date(event.time).toISOString(),
  };
  if (event.subject !== undefined) headers['ce_subject'] = event.subject;
  for (const [name, value] of Object.entries(event.extensions)) headers[`ce_${name}`] = value;
  return { key: event.subject ?? null, value: JSON.stringify(event.data), headers };
}

/** Rough size on the wire, bytes. */
export function messageSize({ key, value, headers }: FeedMessage): number {
  let size = 80 + (key?.length ?? 0) + Buffer.byteLength(value);
  for (const name in headers) size += 4 + name.length + (headers[name] as string).length;
  return size;
}
