import { canonicalJson, type Json } from '#lib/canonical';
import type { Decoded, DecisionRecord, Envelope, RecordedEvent, Verdict } from '#lib/decision';
import type { LogId, StoredRecord } from '#lib/log';
import type { Hash } from './tlog/index.js';

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
  readonly reason?: 'undecodable' | 'other-partition';
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
  readonly decoded: Exclude<Decoded, { kind: 'unknown-envelope' }>;
  readonly verdict: Verdict;
  readonly previousLeaf: Hash | null;
}

/**
 * The leaf of a record: a pure function of record, offset, log time, verdict and the leaf before, so that two auditors build the
 * same tree. Total: whatever a decodable record holds, its leaf has at most 65,535 bytes.
 */
export function leafBytes(input: LeafInput): Buffer {
  const { decoded, record } = input;
  const leaf = {
    v: 1,
    log: input.logId,
    partition: input.partition,
    index: String(input.index),
    offset: String(record.offset),
    time: String(record.time),
    verdict: input.verdict,
    record: decoded.digest,
    previousLeaf: input.previousLeaf === null ? null : input.previousLeaf.toString('hex'),
  };
  // The decoder's own words differ between versions of Node and may quote the record: only the kind of problem is evidence.
  if (decoded.kind === 'undecodable') return encode({ ...leaf, reason: 'undecodable' });
  const content = {
    ...leaf,
    ...(input.verdict === 'invalid' ? { reason: 'other-partition' } : {}),
    ...described(decoded.record),
  };
  const bytes = encode({ ...content, events: decoded.record.events.map(place) });
  if (bytes.length <= MAX_LEAF_BYTES) return bytes;
  return encode({
    ...content,
    events: decoded.record.events.map(({ type, v }) => ({ type: word(type, MAX_TYPE), v })),
    placesOmitted: true,
  });
}

function encode(leaf: { readonly [key: string]: unknown }): Buffer {
  return Buffer.from(canonicalJson(leaf), 'utf8');
}

function described(record: DecisionRecord) {
  const envelope: Envelope = {
    v: record.v,
    stream: record.stream,
    expectedVersion: record.expectedVersion,
    previous: record.previous,
    commandId: record.commandId,
    commandDigest: record.commandDigest,
    eventCount: record.eventCount,
  };
  return {
    envelope,
    correlationId: word(record.correlationId),
    causationId: record.causationId === null ? null : word(record.causationId),
    actor: { id: word(record.actor.id), role: word(record.actor.role) },
    at: String(record.at),
  };
}

function place(event: RecordedEvent): { [key: string]: Json } {
  const at: { [key: string]: Json } = { type: word(event.type, MAX_TYPE), v: event.v };
  const put = (name: string, value: Json | undefined): void => {
    if (typeof value === 'string') at[name] = word(value);
  };
  put('storyId', event['storyId']);
  put('versionHash', event['versionHash']);
  put('passage', event['fromPassageId'] ?? event['passageId'] ?? passageOf(event['narrative']));
  put('choice', event['choiceId']);
  put('toPassage', event['toPassageId']);
  put('stateHash', event['stateHash']);
  const turn = event['turn'];
  if (Number.isSafeInteger(turn)) at['turn'] = turn as number;
  return at;
}

function passageOf(narrative: Json | undefined): Json | undefined {
  if (typeof narrative !== 'object' || narrative === null || Array.isArray(narrative)) return undefined;
  return (narrative as { readonly [key: string]: Json })['passageId'];
}

// Control characters and lone surrogates have no place in names; a hostile record may hold them all the same.
const PLAIN = /^[^\p{Cc}\p{Cs}]*$/u;

function word(text: string, most = MAX_WORD): string | { omitted: number } {
  return text.length <= most && PLAIN.test(text) ? text : { omitted: text.length };
}

/** What a leaf can be found by. */
export interface LeafTerms {
  readonly stream: string | null;
  readonly correlationId: string | null;
  readonly actor: string | null;
}

export function leafTerms(decoded: LeafInput['decoded']): LeafTerms {
  if (decoded.kind === 'undecodable') return { stream: null, correlationId: null, actor: null };
  const { stream, correlationId, actor } = decoded.record;
  return { stream, correlationId: term(correlationId), actor: term(actor.id) };
}
function term(text: string): string | null {
  const found = word(text);
  return typeof found === 'string' ? found : null;
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
