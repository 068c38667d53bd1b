import type { Json } from '#lib/canonical';
import type { DecisionRecord, Envelope, RecordedEvent, Verdict } from '#lib/decision';
import type { LogId, StoredRecord } from '#lib/log';
import type { Hash } from './tlog/index.js';
import type { Understood } from './understood.js';

/** The tile entry format holds lengths in 16 bits. */
export const MAX_LEAF_BYTES = 65_535;
const MAX_WORD = 200;
const MAX_TYPE = 64;

/** A name or id that could not be taken over: too long, or not plain text. Says how long it was, in UTF-16 units. */
interface Omitted {
  readonly omitted: number;
}
type Word = string | Omitted;

/** One event's place in the story; never its body, never free text. */
export interface LeafEvent {
  readonly type: Word;
  readonly v: number;
  readonly storyId?: Word;
  readonly versionHash?: Word;
  readonly turn?: number;
  /** Where the reader stood. */
  readonly passage?: Word;
  readonly choice?: Word;
  /** Where the reader stands now. */
  readonly toPassage?: Word;
  readonly stateHash?: Word;
}

/** What one leaf says, as canonical JSON. 64-bit integers and times (ms since the epoch) are decimal strings. */
export interface Leaf {
  readonly v: 1;
  readonly log: LogId;
  readonly partition: number;
  /** Position in the tree: dense. */
  readonly index: string;
  /** Position in the log: rises, may have holes. */
  readonly offset: string;
  /** When the log took the record. */
  readonly time: string;
  readonly verdict: Verdict;
  /** SHA-256 of the record's bytes. */
  readonly record: string;
  /** Leaf hash (RFC 6962) of the leaf before; null in the first leaf. */
  readonly previousLeaf: string | null;
  /** Only beside verdict `invalid`. */
  readonly reason?: 'undecodable' | 'other-partition' | 'released';
  readonly envelope?: Envelope;
  readonly correlationId?: Word;
  readonly causationId?: Word | null;
  readonly actor?: { readonly id: Word; readonly role: Word };
  /** When it was decided. */
  readonly at?: string;
  readonly events?: readonly LeafEvent[];
  /** The events' places did not fit into a leaf; their types did. */
  readonly placesOmitted?: true;
}

export interface LeafInput {
  readonly logId: LogId;
  readonly partition: number;
  readonly index: bigint;
  readonly record: StoredRecord;
  readonly decoded: Understood;
  readonly verdict: Verdict;
  readonly previousLeaf: Hash | null;
}

/**
 * The leaf of a record: a pure function of record, offset, log time, verdict and the leaf before, so that two auditors build the
 * same tree. Total: whatever a decodable record holds, its leaf has at most 65,535 bytes.
 *
 * Written out member by member in canonical order: it runs for every record, and going through a general serialiser takes three times as
 * long. The spec holds it to `canonicalJson`.
 */
export function leafBytes(input: LeafInput): Buffer {
  const { decoded } = input;
  // The decoder's own words differ between versions of Node and may quote the record: only the kind of problem is evidence.
  if (decoded.kind !== 'record') return Buffer.from(`{${trailer(input, decoded.kind, false)}`, 'utf8');
  const { record } = decoded;
  const start =
    `{"actor":{"id":${word(record.actor.id)},"role":${word(record.actor.role)}},"at":"${record.at}"` +
    `,"causationId":${record.causationId === null ? 'null' : word(record.causationId)},"correlationId":${word(record.correlationId)}` +
    `,"envelope":${envelopeText(record)},"events":[`;
  const reason = input.verdict === 'invalid' ? 'other-partition' : undefined;
  const whole = Buffer.from(`${start}${record.events.map(place).join(',')}],${trailer(input, reason, false)}`, 'utf8');
  if (whole.length <= MAX_LEAF_BYTES) return whole;
  const types = record.events.map(({ type, v }) => `{"type":${word(type, MAX_TYPE)},"v":${v}}`).join(',');
  return Buffer.from(`${start}${types}],${trailer(input, reason, true)}`, 'utf8');
}

/** The members that every leaf has. */
function trailer(
  { logId, partition, index, record, decoded, verdict, previousLeaf }: LeafInput,
  reason: string | undefined,
  omitted: boolean,
): string {
  return (
    `"index":"${index}","log":${JSON.stringify(logId)},"offset":"${record.offset}","partition":${partition}` +
    `${omitted ? ',"placesOmitted":true' : ''},"previousLeaf":${previousLeaf === null ? 'null' : `"${previousLeaf.toString('hex')}"`}` +
    `${reason === undefined ? '' : `,"reason":"${reason}"`},"record":"${decoded.digest}","time":"${record.time}","v":1,"verdict":"${verdict}"}`
  );
}

/** Decoding has checked every field. */
function envelopeText(record: DecisionRecord): string {
  const { commandDigest, commandId, eventCount, expectedVersion, previous, stream, v } = record;
  return (
    `{"commandDigest":"${commandDigest}","commandId":${JSON.stringify(commandId)},"eventCount":${eventCount}` +
    `,"expectedVersion":${expectedVersion},"previous":${previous === null ? 'null' : `"${previous}"`},"stream":${JSON.stringify(stream)},"v":${v}}`
  );
}

function place(event: RecordedEvent): string {
  const member = (name: string, value: Json | undefined): string => (typeof value === 'string' ? `"${name}":${word(value)},` : '');
  const { turn } = event;
  return (
    `{${member('choice', event['choiceId'])}${member('passage', event['fromPassageId'] ?? event['passageId'] ?? passageOf(event['narrative']))}` +
    `${member('stateHash', event['stateHash'])}${member('storyId', event['storyId'])}${member('toPassage', event['toPassageId'])}` +
    `${Number.isSafeInteger(turn) ? `"turn":${String(turn)},` : ''}"type":${word(event.type, MAX_TYPE)},"v":${event.v}` +
    `${typeof event['versionHash'] === 'string' ? `,"versionHash":${word(event['versionHash'])}` : ''}}`
  );
}

function passageOf(narrative: Json | undefined): Json | undefined {
  if (typeof narrative !== 'object' || narrative === null || Array.isArray(narrative)) return undefined;
  return (narrative as { readonly [key: string]: Json })['passageId'];
}

// Needs no escape in JSON; most names and all hashes are such.
const SIMPLE = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;
// Control characters and lone surrogates have no place in names; a hostile record may hold them all the same.
const PLAIN = /^[^\p{Cc}\p{Cs}]*$/u;

/** A name as JSON, or how long it was when it cannot be taken over. */
function word(text: string, most = MAX_WORD): string {
  if (text.length > most) return `{"omitted":${text.length}}`;
  if (SIMPLE.test(text)) return `"${text}"`;
  return PLAIN.test(text) ? JSON.stringify(text) : `{"omitted":${text.length}}`;
}

/** What a leaf can be found by. */
export interface LeafTerms {
  readonly stream: string | null;
  readonly correlationId: string | null;
  readonly actor: string | null;
}

export function leafTerms(decoded: LeafInput['decoded']): LeafTerms {
  if (decoded.kind !== 'record') return { stream: null, correlationId: null, actor: null };
  const { stream, correlationId, actor } = decoded.record;
  return { stream, correlationId: term(correlationId), actor: term(actor.id) };
}
function term(text: string): string | null {
  return text.length <= MAX_WORD && PLAIN.test(text) ? text : null;
}

/** Everything that a stored leaf is filed under, as its bytes say it. @throws SyntaxError, TypeError for bytes that are no leaf */
export function filedUnder(bytes: Buffer): LeafTerms & { readonly offset: number; readonly time: number; readonly accepted: boolean } {
  const leaf = JSON.parse(bytes.toString('utf8')) as Leaf;
  const plain = (one: Word | undefined): string | null => (typeof one === 'string' ? one : null);
  return {
    offset: Number(leaf.offset),
    time: Number(leaf.time),
    accepted: leaf.verdict === 'accepted',
    stream: leaf.envelope?.stream ?? null,
    correlationId: plain(leaf.correlationId),
    actor: plain(leaf.actor?.id),
  };
}
