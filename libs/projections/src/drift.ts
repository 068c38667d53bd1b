import { authoringShapes } from '#lib/authoring';
import { complianceShapes } from '#lib/compliance';
import { knownFields, type DecisionRecord } from '#lib/decision';
import { logShapes, type StoredRecord } from '#lib/log';
import { playthroughShapes } from '#lib/playthrough';
import type { StreamKind } from './stream-kind.js';

/** Signs in the log that something writes it which this build does not know all of; nothing is held back for the first two. */
export type DriftKind = 'unknown_field' | 'unknown_header' | 'unknown_type' | 'unknown_version';

export interface Drift {
  readonly what: DriftKind;
  /** Event type; `record` for the record itself, `other` for a type outside the catalogue: labels must stay few. */
  readonly type: string;
  readonly count: number;
}

/** Fields of an event of that type and version; undefined when that is not known. */
export type KnownFields = (type: string, version: number) => ReadonlySet<string> | undefined;

/** What this build's schemas name. */
export const KNOWN_FIELDS: KnownFields = (type, version) =>
  knownFields(playthroughShapes, type, version) ??
  knownFields(authoringShapes, type, version) ??
  knownFields(complianceShapes, type, version) ??
  knownFields(logShapes, type, version);

const RECORD_FIELDS: ReadonlySet<string> = new Set([
  'v',
  'stream',
  'expectedVersion',
  'previous',
  'commandId',
  'commandDigest',
  'eventCount',
  'correlationId',
  'causationId',
  'actor',
  'at',
  'events',
] satisfies readonly (keyof DecisionRecord)[]);
/** Trace context (W3C); nothing else travels in headers. */
const HEADERS: ReadonlySet<string> = new Set(['traceparent', 'tracestate', 'baggage']);

/** Counts drift over one batch. */
export class DriftCounts {
  private readonly counts = new Map<string, { what: DriftKind; type: string; count: number }>();

  constructor(private readonly knownFields: KnownFields) {}

  /** @param kind of the record's stream; undefined when its type is not known */
  note(record: DecisionRecord, { headers }: StoredRecord, kind: StreamKind<unknown> | undefined): void {
    for (const field in record) if (!RECORD_FIELDS.has(field)) this.add('unknown_field', 'record');
    for (const name in headers) if (!HEADERS.has(name.toLowerCase())) this.add('unknown_header', 'record');
    for (const event of record.events) {
      const schema = kind?.catalogue.get(event.type);
      if (schema === undefined) this.add('unknown_type', 'other');
      else if (event.v < 1 || event.v > schema.version) this.add('unknown_version', event.type);
      else {
        const known = this.knownFields(event.type, event.v);
        if (known === undefined) continue;
        for (const field in event) if (!known.has(field)) this.add('unknown_field', event.type);
      }
    }
  }

  all(): readonly Drift[] {
    return [...this.counts.values()];
  }

  private add(what: DriftKind, type: string): void {
    const key = `${what} ${type}`;
    const known = this.counts.get(key);
    if (known === undefined) this.counts.set(key, { what, type, count: 1 });
    else known.count++;
  }
}
