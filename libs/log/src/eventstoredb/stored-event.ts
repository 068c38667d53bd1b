import { randomUUID } from 'node:crypto';
import type { EventData, ResolvedEvent } from '@eventstore/db-client';
import type { LogRecord, StoredRecord } from '../event-log.js';

/** Type of every event in the partitions' streams: what was decided stands in the bytes. */
export const RECORD_TYPE = 'fabula-decision';

/** Key and headers, as the event's metadata (JSON). */
type EventMetadata = {
  readonly key: string;
  readonly headers?: Readonly<Record<string, string>>;
};

/** A copy of the record: what the caller does to its buffer later changes nothing. Binary, so that the bytes come back as they are. */
export function toEvent({ key, value, headers }: LogRecord): EventData {
  const metadata: EventMetadata = { key, ...(headers === undefined ? {} : { headers }) };
  return {
    id: randomUUID(),
    type: RECORD_TYPE,
    contentType: 'application/octet-stream',
    data: Uint8Array.from(value),
    metadata,
  };
}

/**
 * A record as it is read. What somebody else wrote into the stream is a record too (it keeps its offset, and `admit` finds it
 * invalid): without a key, and JSON in the one form that every reader gives it.
 */
export function toRecord(resolved: ResolvedEvent): StoredRecord | undefined {
  const event = resolved.event ?? resolved.link;
  if (event === undefined) return undefined;
  const { key, headers } = metadataOf(event.metadata);
  const value = event.isJson ? Buffer.from(JSON.stringify(event.data) ?? '') : bytes(event.data);
  const at = { offset: Number(event.revision), time: event.created.getTime() };
  return { key, value, ...(headers === undefined ? {} : { headers }), ...at };
}

function bytes(data: unknown): Uint8Array {
  return data instanceof Uint8Array ? data : Buffer.from(String(data ?? ''));
}

function metadataOf(metadata: unknown): EventMetadata {
  if (typeof metadata !== 'object' || metadata === null || !('key' in metadata) || typeof metadata.key !== 'string') return { key: '' };
  const headers = 'headers' in metadata ? metadata.headers : undefined;
  if (typeof headers !== 'object' || headers === null) return { key: metadata.key };
  const texts = Object.entries(headers).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  return { key: metadata.key, headers: Object.fromEntries(texts) };
}
