import {
  admissible,
  admit,
  decodeRecord,
  EMPTY_HEAD,
  partitionOf,
  UnknownEvent,
  upcast,
  type Decoded,
  type DecodedRecord,
  type DecisionRecord,
  type StreamHead,
  type StreamId,
} from '#lib/decision';
import { mayBeReleased, type LogId, type Offset, type StoredRecord } from '#lib/log';
import { BatchRows } from './batch-rows.js';
import { NO_VERDICTS, type BatchChanges, type VerdictCounts } from './batch-changes.js';
import { deadLetter, kindOfCode, printable, type DeadLetterCause, type DeadLetterRow } from './dead-letter.js';
import { DriftCounts, type KnownFields } from './drift.js';
import type { ParkCode, StoredStreamRow } from './read-model.js';
import { StateDiffers, streamType, UnknownStreamType, type FoldedRecord } from './stream-kind.js';
import { kindOf, type StreamKinds } from './stream-kinds.js';

/** A stream while it is being folded: its head, and its state as an object. Immutable; a new one replaces it. */
export interface LiveStream {
  readonly head: StreamHead;
  readonly state: unknown;
  /** Canonical JSON of the state. */
  readonly json: string | null;
  readonly parked: string | null;
  /** Why the stored state cannot be read: the stream is parked with its next record. */
  readonly unreadable?: string;
}

export const NEW_STREAM: LiveStream = Object.freeze({ head: EMPTY_HEAD, state: null, json: null, parked: null });

/** A record written by a newer Fabula: the partition stops before it. */
export interface UnknownEnvelope {
  readonly offset: Offset;
  readonly version: number;
  readonly digest: string;
  readonly stored: StoredRecord;
}

/** A batch after decoding: which streams it touches is known before anything is loaded. */
export interface DecodedBatch {
  readonly partition: number;
  readonly from: Offset;
  readonly to: Offset;
  readonly entries: readonly DecodedEntry[];
  readonly streams: ReadonlySet<StreamId>;
  readonly unknownEnvelope: UnknownEnvelope | undefined;
}

interface DecodedEntry {
  readonly stored: StoredRecord;
  /** Or why it is invalid: undecodable, of another partition, or released by an operator. */
  readonly decoded: DecodedRecord | DeadLetterCause;
}

/** @param released what `Releases` answered about records that it must be asked about; the batch ends before one that it was not asked about */
export function decodeBatch(
  partition: number,
  partitions: number,
  from: Offset,
  records: readonly StoredRecord[],
  released: ReadonlyMap<Offset, boolean> = NONE,
): DecodedBatch {
  const entries: DecodedEntry[] = [];
  const streams = new Set<StreamId>();
  let unknownEnvelope: UnknownEnvelope | undefined;
  for (const stored of records) {
    const decoded = decodeRecord(stored.value);
    if (mayBeReleased(decoded)) {
      const { digest } = decoded;
      const version = decoded.kind === 'record' ? decoded.record.v : decoded.version;
      const answer = released.get(stored.offset);
      if (answer === true) {
        entries.push({ stored, decoded: unknownEnvelopeCause(version, digest) });
        continue;
      }
      if (answer === undefined || decoded.kind === 'unknown-envelope') {
        unknownEnvelope = { offset: stored.offset, version, digest, stored };
        break;
      }
    }
    // A stream seen in this batch already is known to belong here: the hash is paid once per stream.
    const known = decoded.kind === 'record' && streams.has(decoded.record.stream);
    if (known || admissible(decoded, partition, partitions)) {
      const record = decoded as Extract<typeof decoded, { kind: 'record' }>;
      streams.add(record.record.stream);
      entries.push({ stored, decoded: record });
    } else entries.push({ stored, decoded: invalid(decoded, partitions) });
  }
  return { partition, from, to: from + entries.length, entries, streams, unknownEnvelope };
}

const NONE: ReadonlyMap<Offset, boolean> = new Map();

function invalid(decoded: Decoded, partitions: number): DeadLetterCause {
  const { digest } = decoded;
  if (decoded.kind !== 'record') {
    return { kind: 'invalid', stream: null, reason: decoded.kind === 'undecodable' ? decoded.reason : 'unknown envelope', digest };
  }
  const { stream } = decoded.record;
  return { kind: 'invalid', stream, reason: `the stream belongs to partition ${partitionOf(stream, partitions)}`, digest };
}

export function unknownEnvelopeCause(version: number, digest: string): DeadLetterCause {
  return { kind: 'unknown-envelope', stream: null, reason: `envelope version ${version}, written by a newer Fabula`, digest };
}

export interface FoldedBatch {
  readonly changes: BatchChanges;
  /** The streams as they are after the batch. */
  readonly streams: ReadonlyMap<StreamId, LiveStream>;
  readonly unknownEnvelope: UnknownEnvelope | undefined;
}

export interface FoldContext {
  readonly logId: LogId;
  readonly epoch: number;
  /** The batch's streams as they are before it; undefined = new. */
  readonly stream: (stream: StreamId) => LiveStream | undefined;
  readonly kinds: StreamKinds;
  /** Streams whose rows the store refused: parked from this batch on, with the reason. */
  readonly refused?: ReadonlyMap<StreamId, string>;
  /** With it, what accepted records hold beyond what this build knows is counted. */
  readonly knownFields?: KnownFields | undefined;
}

/** The fold itself: pure, the same for live projection, rebuild, tests and verification. */
export function foldBatch(batch: DecodedBatch, context: FoldContext): FoldedBatch {
  const rows = new BatchRows(batch.partition);
  const after = new Map<StreamId, LiveStream>();
  const touchedAt = new Map<StreamId, Offset>();
  const verdicts: { -readonly [K in keyof VerdictCounts]: number } = { ...NO_VERDICTS };
  const letters: DeadLetterRow[] = [];
  const drift = context.knownFields === undefined ? undefined : new DriftCounts(context.knownFields);
  for (const { stored, decoded } of batch.entries) {
    if (!('record' in decoded)) {
      verdicts.invalid++;
      letters.push(deadLetter(batch.partition, stored, decoded));
      continue;
    }
    const { record, digest } = decoded;
    const { stream } = record;
    const live = after.get(stream) ?? context.stream(stream) ?? NEW_STREAM;
    const { verdict, head } = admit(live.head, record, digest, stored.offset);
    verdicts[verdict]++;
    if (verdict !== 'accepted') continue;
    const { commandId, commandDigest } = record;
    rows.command({ stream, version: head.version, commandId, commandDigest, offset: stored.offset });
    touchedAt.set(stream, stored.offset);
    after.set(stream, applied(live, head, decoded, stored, { rows, letters, context }));
    drift?.note(record, stored, context.kinds.get(streamType(stream)));
  }
  for (const [stream, offset] of touchedAt) {
    const live = after.get(stream) as LiveStream;
    rows.stream({ stream, version: live.head.version, previous: live.head.previous, state: live.json, updatedOffset: offset });
  }
  const lastTime = batch.entries[batch.entries.length - 1]?.stored.time ?? 0;
  const { partition, from, to } = batch;
  const { logId, epoch } = context;
  return {
    changes: { partition, from, to, logId, epoch, lastTime, verdicts, rows: rows.all(), deadLetters: letters, drift: drift?.all() ?? [] },
    streams: after,
    unknownEnvelope: batch.unknownEnvelope,
  };
}

interface Gathering {
  readonly rows: BatchRows;
  readonly letters: DeadLetterRow[];
  readonly context: FoldContext;
}

function applied(
  live: LiveStream,
  head: StreamHead,
  { record, digest }: DecodedRecord,
  stored: StoredRecord,
  { rows, letters, context }: Gathering,
): LiveStream {
  const { stream } = record;
  const retained = { stream, offset: stored.offset, bytes: stored.value, time: stored.time };
  if (live.parked !== null) {
    rows.retain(retained);
    return { ...live, head };
  }
  try {
    const refused = context.refused?.get(stream);
    if (refused !== undefined) throw new StoreRefused(refused);
    if (live.unreadable !== undefined) throw new StateUnreadable(`the stored state cannot be read: ${live.unreadable}`);
    const { after, json } = foldRecord(live.state, record, stored.offset, rows, context.kinds);
    return { head, state: after, json, parked: null };
  } catch (error) {
    const reason = printable(error instanceof Error ? error.message : String(error));
    const code = parkCode(error);
    rows.park({ stream, code, reason, fromOffset: stored.offset, parkedAt: stored.time });
    rows.retain(retained);
    letters.push(deadLetter(rows.partition, stored, { kind: kindOfCode(code), stream, reason, digest }));
    return { ...live, head, parked: reason };
  }
}

/**
 * One accepted record onto a stream's state; its rows are kept only when all of it could be folded.
 * @throws UnknownEvent, UnknownStreamType, StateDiffers or whatever a damaged event brings about.
 */
export function foldRecord(
  before: unknown,
  record: DecisionRecord,
  offset: Offset,
  rows: BatchRows,
  kinds: StreamKinds,
): FoldedRecord<unknown> {
  const kind = kindOf(kinds, record.stream);
  const events = record.events.map((event) => upcast(event, kind.catalogue));
  const folded = kind.fold(before, record, events, offset);
  folded.keep(rows);
  return folded;
}

class StoreRefused extends Error {
  override readonly name = 'StoreRefused';
}

/** The read model's own row is damaged: its stream waits, its partition does not. */
class StateUnreadable extends Error {
  override readonly name = 'StateUnreadable';
}

/** A stored stream, ready to fold on. Never throws: a state that cannot be read parks its stream when the next record comes. */
export function liveStream(row: StoredStreamRow, kinds: StreamKinds): LiveStream {
  const { version, previous, window, parked } = row;
  const live: LiveStream = { head: { version, previous, window }, state: null, json: row.state, parked };
  // A parked stream's state is read when the stream is taken up again.
  if (row.state === null || parked !== null) return live;
  try {
    return { ...live, state: kindOf(kinds, row.stream).stateFromJson(row.state) };
  } catch (error) {
    return { ...live, unreadable: error instanceof Error ? error.message : String(error) };
  }
}

export function parkCode(error: unknown): ParkCode {
  if (error instanceof UnknownEvent) return 'UNKNOWN_EVENT';
  if (error instanceof UnknownStreamType) return 'UNKNOWN_STREAM';
  if (error instanceof StateDiffers) return 'STATE_DIFFERS';
  if (error instanceof StoreRefused) return 'STORE_REFUSED';
  if (error instanceof StateUnreadable) return 'STATE_UNREADABLE';
  return 'FOLD_FAILED';
}
