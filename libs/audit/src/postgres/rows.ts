import type { AuditHead, KeptNote, StoredLeaf } from '../audit-store.js';
import type { ExportJob } from '../export-job.js';
import { partitionLog, partitionOfLog, type LogName } from '../log-name.js';
import { HASH_BYTES, type Hash } from '../tlog/index.js';

/*
 * Rows as the driver reads them: bigint columns arrive as text and stay exact.
 */
export interface HeadRow {
  readonly log: number;
  readonly log_id: string;
  readonly next_offset: string;
  readonly size: string;
  readonly frontier: Buffer;
  readonly previous_leaf: Buffer | null;
}
export interface LeafRow {
  readonly leaf_index: string;
  readonly log_offset: string;
  readonly time: string;
  readonly leaf: Buffer;
  readonly stream: string | null;
  readonly correlation_id: string | null;
  readonly actor: string | null;
  readonly accepted: boolean;
}
export interface NoteRow {
  readonly log: number;
  readonly log_id: string;
  readonly size: string;
  readonly root: Buffer;
  readonly note: string;
  readonly signed_at: string;
  readonly published_at: string;
  readonly root_index: string | null;
  readonly terms: Buffer | null;
  readonly terms_index: string | null;
}

/** The root tree is -1 in the database, the access log's -2. */
export const numberOf = (log: LogName): number => partitionOfLog(log) ?? (log === 'root' ? -1 : -2);
export const logOf = (number: number): LogName => (number >= 0 ? partitionLog(number) : number === -1 ? 'root' : 'access');

export function headOf(row: HeadRow): AuditHead {
  return {
    log: logOf(row.log),
    logId: row.log_id,
    nextOffset: Number(row.next_offset),
    size: BigInt(row.size),
    frontier: hashes(row.frontier),
    previousLeaf: row.previous_leaf,
  };
}

/** A frontier column that is no whole number of hashes gives one hash too many, which `Frontier` refuses. */
export function hashes(bytes: Buffer): Hash[] {
  return Array.from({ length: Math.ceil(bytes.length / HASH_BYTES) }, (_, i) => bytes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES));
}

export function leafOf(row: LeafRow): StoredLeaf {
  return {
    index: BigInt(row.leaf_index),
    offset: Number(row.log_offset),
    time: Number(row.time),
    bytes: row.leaf,
    stream: row.stream,
    correlationId: row.correlation_id,
    actor: row.actor,
    accepted: row.accepted,
  };
}

export function noteOf(row: NoteRow): KeptNote {
  const root = row.terms_index ?? row.root_index;
  return {
    log: logOf(row.log),
    logId: row.log_id,
    size: BigInt(row.size),
    root: row.root,
    note: row.note,
    signedAt: Number(row.signed_at),
    publishedAt: Number(row.published_at),
    rootIndex: root === null ? null : BigInt(root),
    ...(row.terms === null ? {} : { terms: row.terms }),
    ...(row.terms_index === null || row.root_index === null ? {} : { firstRootIndex: BigInt(row.root_index) }),
  };
}

/** A job as JSON: its 64-bit numbers as text. */
export function jobRow(job: ExportJob): string {
  return JSON.stringify(job, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
}

type StoredJob = Omit<ExportJob, 'ranges'> & { readonly ranges: readonly { log: LogName; from: string; to?: string; since?: string }[] };

export function exportOf(row: unknown): ExportJob {
  const job = row as StoredJob;
  const ranges = job.ranges.map(({ log, from, to, since }) => ({
    log,
    from: BigInt(from),
    ...(to === undefined ? {} : { to: BigInt(to) }),
    ...(since === undefined ? {} : { since: BigInt(since) }),
  }));
  return { ...job, ranges };
}
