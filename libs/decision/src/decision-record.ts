import { canonicalJson, sha256Hex, type Json } from '#lib/canonical';

/** What a stream is called: its type, a slash, its id. */
export type StreamId = string;

/** Who acts: a random pseudonym (never a name or an address) and the role it acted in. */
export interface Actor {
  readonly id: string;
  readonly role: 'reader' | 'author' | 'compliance' | 'dpo' | 'operator' | 'admin' | 'system';
}

/** One event as stored: its type, its schema version, and its own fields. */
export interface RecordedEvent {
  readonly type: string;
  readonly v: number;
  readonly [field: string]: Json;
}

/** The frozen part of a decision record: all that `admit` may read. */
export interface Envelope {
  readonly v: 1;
  readonly stream: StreamId;
  /** Number of events the stream held when this was decided. */
  readonly expectedVersion: number;
  /** SHA-256 (hex) of the stream's last accepted record; null on an empty stream. */
  readonly previous: string | null;
  /** `c:<uuid>` from clients, `s:…` from the system. */
  readonly commandId: string;
  /** SHA-256 (hex) of the canonical input and the actor. */
  readonly commandDigest: string;
  readonly eventCount: number;
}

/** What a command handler appends: one decision, whatever its verdict will be. */
export interface DecisionRecord extends Envelope {
  readonly correlationId: string;
  readonly causationId: string | null;
  readonly actor: Actor;
  /** When it was decided, in ms since the epoch; never decreases within a stream. */
  readonly at: number;
  readonly events: readonly RecordedEvent[];
}

/** A record with its bytes' digest: what the stream's next record must name as `previous`. */
export interface DecodedRecord {
  readonly record: DecisionRecord;
  readonly digest: string;
}

export const MAX_RECORD_BYTES = 128 * 1024;
export const MAX_EVENTS = 64;

export class RecordTooLarge extends RangeError {
  constructor(
    readonly size: number,
    readonly limit: number,
    what: 'bytes' | 'events',
  ) {
    super(`a decision record holds at most ${limit} ${what}, this one has ${size}`);
    this.name = 'RecordTooLarge';
  }
}

/**
 * The bytes to append: canonical JSON in UTF-8.
 * @throws RecordTooLarge over 128 KiB or outside 1…64 events; NotCanonical if a field has no canonical form.
 */
export function encodeRecord(record: DecisionRecord): Uint8Array {
  if (record.events.length < 1 || record.events.length > MAX_EVENTS) throw new RecordTooLarge(record.events.length, MAX_EVENTS, 'events');
  const bytes = Buffer.from(canonicalJson(record), 'utf8');
  if (bytes.length > MAX_RECORD_BYTES) throw new RecordTooLarge(bytes.length, MAX_RECORD_BYTES, 'bytes');
  return bytes;
}

export type Decoded =
  | ({ readonly kind: 'record' } & DecodedRecord)
  /** Written by a newer Fabula: the partition must stop rather than guess. */
  | { readonly kind: 'unknown-envelope'; readonly digest: string; readonly version: number }
  | { readonly kind: 'undecodable'; readonly digest: string; readonly reason: string };

const HEX_64 = /^[0-9a-f]{64}$/;
const STREAM = /^[a-z][a-z-]{0,31}\/[\x21-\x7e]{1,200}$/;
const COMMAND_ID = /^[cs]:[\x21-\x7e]{1,300}$/;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Reads bytes from the log. Total: whatever the bytes are, it answers and never throws. */
export function decodeRecord(bytes: Uint8Array): Decoded {
  const digest = sha256Hex(bytes);
  const undecodable = (reason: string): Decoded => ({ kind: 'undecodable', digest, reason });
  if (bytes.length > MAX_RECORD_BYTES) return undecodable(`${bytes.length} bytes, more than ${MAX_RECORD_BYTES}`);
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(bytes));
  } catch (error) {
    return undecodable(error instanceof Error ? error.message : 'not JSON');
  }
  if (!isObject(value)) return undecodable('not a JSON object');
  if (value['v'] !== 1) {
    return Number.isSafeInteger(value['v']) && (value['v'] as number) > 1
      ? { kind: 'unknown-envelope', digest, version: value['v'] as number }
      : undecodable('no envelope version');
  }
  const wrong = envelopeProblem(value) ?? bodyProblem(value);
  return wrong === undefined ? { kind: 'record', record: value as unknown as DecisionRecord, digest } : undecodable(wrong);
}

function envelopeProblem(value: Record<string, unknown>): string | undefined {
  if (typeof value['stream'] !== 'string' || !STREAM.test(value['stream'])) return 'stream is not <type>/<id>';
  if (!isCount(value['expectedVersion'])) return 'expectedVersion is not a count';
  if (value['previous'] !== null && !isHex64(value['previous'])) return 'previous is not a SHA-256';
  if (typeof value['commandId'] !== 'string' || !COMMAND_ID.test(value['commandId'])) return 'commandId is neither c:… nor s:…';
  if (!isHex64(value['commandDigest'])) return 'commandDigest is not a SHA-256';
  const count = value['eventCount'];
  if (!isCount(count) || count < 1 || count > MAX_EVENTS) return `eventCount is not 1…${MAX_EVENTS}`;
  return undefined;
}

function bodyProblem(value: Record<string, unknown>): string | undefined {
  const events = value['events'];
  if (!Array.isArray(events) || events.length !== value['eventCount']) return 'events do not match eventCount';
  for (const event of events as unknown[]) {
    if (!isObject(event) || typeof event['type'] !== 'string' || !isCount(event['v'])) return 'an event has no type and version';
  }
  if (typeof value['correlationId'] !== 'string') return 'no correlationId';
  if (value['causationId'] !== null && typeof value['causationId'] !== 'string') return 'causationId is neither text nor null';
  if (!isCount(value['at'])) return 'at is not milliseconds';
  const actor = value['actor'];
  if (!isObject(actor) || typeof actor['id'] !== 'string' || typeof actor['role'] !== 'string') return 'no actor';
  return undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
function isHex64(value: unknown): boolean {
  return typeof value === 'string' && HEX_64.test(value);
}

/** Digest of what a caller asked for: canonical input and actor, so that a reused commandId is told from a retry. */
export function commandDigest(input: Json, actor: Actor): string {
  return sha256Hex(canonicalJson({ actor: actor.id, input }));
}

/** The stream's partition by a fixed hash: first 32 bits of SHA-256, modulo the count that is written once per log. */
export function partitionOf(stream: StreamId, partitions: number): number {
  return Number.parseInt(sha256Hex(stream).slice(0, 8), 16) % partitions;
}
