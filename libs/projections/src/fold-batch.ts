import {
  admissible,
  admit,
  decodeRecord,
  EMPTY_HEAD,
  UnknownEvent,
  upcast,
  type DecodedRecord,
  type DecisionRecord,
  type StreamHead,
  type StreamId,
} from '#lib/decision';
import type { LogId, Offset, StoredRecord } from '#lib/log';
import { BatchRows } from './batch-rows.js';
import { NO_VERDICTS, type BatchChanges, type VerdictCounts } from './batch-changes.js';
import type { ParkCode, StoredStreamRow } from './read-model.js';
import { StateDiffers, UnknownStreamType, type FoldedRecord } from './stream-kind.js';
import { kindOf, type StreamKinds } from './stream-kinds.js';

/** A stream while it is being folded: its head, and its state as an object. Immutable; a new one replaces it. */
export interface LiveStream {
  readonly head: StreamHead;
  readonly state: unknown;
  /** Canonical JSON of the state. */
  readonly json: string | null;
  readonly parked: string | null;
}

export const NEW_STREAM: LiveStream = Object.freeze({ head: EMPTY_HEAD, state: null, json: null, parked: null });

/** A record written by a newer Fabula: the partition stops before it (DESIGN §6). */
export interface UnknownEnvelope {
  readonly offset: Offset;
  readonly version: number;
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
  /** Undefined: invalid (undecodable or of another partition). */
  readonly decoded: DecodedRecord | undefined;
}

export function decodeBatch(partition: number, partitions: number, from: Offset, records: readonly StoredRecord[]): DecodedBatch {
  const entries: DecodedEntry[] = [];
  const streams = new Set<StreamId>();
  let unknownEnvelope: UnknownEnvelope | undefined;
  for (const stored of records) {
    const decoded = decodeRecord(stored.value);
    if (decoded.kind === 'unknown-envelope') {
      unknownEnvelope = { offset: stored.offset, version: decoded.version };
      break;
    }
    // A stream seen in this batch already is known to belong here: the hash is paid once per stream.
    const known = decoded.kind === 'record' && streams.has(decoded.record.stream);
    if (known || admissible(decoded, partition, partitions)) {
      const record = decoded as Extract<typeof decoded, { kind: 'record' }>;
      streams.add(record.record.stream);
      entries.push({ stored, decoded: record });
    } else entries.push({ stored, decoded: undefined });
  }
  return { partition, from, to: from + entries.length, entries, streams, unknownEnvelope };
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
}

/** The fold itself: pure, the same for live projection, rebuild, tests and verification. */
export function foldBatch(batch: DecodedBatch, context: FoldContext): FoldedBatch {
  const rows = new BatchRows(batch.partition);
  const after = new Map<StreamId, LiveStream>();
  const touchedAt = new Map<StreamId, Offset>();
  const verdicts: { -readonly [K in keyof VerdictCounts]: number } = { ...NO_VERDICTS };
  for (const { stored, decoded } of batch.entries) {
    if (decoded === undefined) {
      verdicts.invalid++;
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
    after.set(stream, applied(live, head, record, stored, rows, context));
  }
  for (const [stream, offset] of touchedAt) {
    const live = after.get(stream) as LiveStream;
    rows.stream({ stream, version: live.head.version, previous: live.head.previous, state: live.json, updatedOffset: offset });
  }
  const lastTime = batch.entries[batch.entries.length - 1]?.stored.time ?? 0;
  const { partition, from, to } = batch;
  const { logId, epoch } = context;
  return {
    changes: { partition, from, to, logId, epoch, lastTime, verdicts, rows: rows.all() },
    streams: after,
    unknownEnvelope: batch.unknownEnvelope,
  };
}

function applied(
  live: LiveStream,
  head: StreamHead,
  record: DecisionRecord,
  stored: StoredRecord,
  rows: BatchRows,
  context: FoldContext,
): LiveStream {
  if (live.parked !== null) {
    rows.retain({ stream: record.stream, offset: stored.offset, bytes: stored.value, time: stored.time });
    return { ...live, head };
  }
  try {
    const refused = context.refused?.get(record.stream);
    if (refused !== undefined) throw new StoreRefused(refused);
    const { after, json } = foldRecord(live.state, record, stored.offset, rows, context.kinds);
    return { head, state: after, json, parked: null };
  } catch (error) {
    const reason = printable(error instanceof Error ? error.message : String(error));
    const { stream } = record;
    rows.park({ stream, code: parkCode(error), reason, fromOffset: stored.offset, parkedAt: stored.time });
    rows.retain({ stream, offset: stored.offset, bytes: stored.value, time: stored.time });
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

/** A stored stream, ready to fold on. */
export function liveStream(row: StoredStreamRow, kinds: StreamKinds): LiveStream {
  const { version, previous, window, parked } = row;
  const state = row.state === null ? null : kindOf(kinds, row.stream).stateFromJson(row.state);
  return { head: { version, previous, window }, state, json: row.state, parked };
}

export function parkCode(error: unknown): ParkCode {
  if (error instanceof UnknownEvent) return 'UNKNOWN_EVENT';
  if (error instanceof UnknownStreamType) return 'UNKNOWN_STREAM';
  if (error instanceof StateDiffers) return 'STATE_DIFFERS';
  if (error instanceof StoreRefused) return 'STORE_REFUSED';
  return 'FOLD_FAILED';
}

/** Reasons quote hostile input: bounded, and without what text columns cannot hold. */
export function printable(reason: string): string {
  return reason
    .toWellFormed()
    .replace(/\p{Cc}/gu, '\ufffd')
    .slice(0, 500);
}
