import type { StreamId } from '#lib/decision';
import type { LogId } from '#lib/log';
import type { ExportJob } from './export-job.js';
import type { LogName } from './log-name.js';
import type { SearchPage, SearchQuery } from './search.js';
import type { Hash, TileAddress } from './tlog/index.js';

/** Where a tree stands. Positions mean something only together with the log id. */
export interface AuditHead {
  readonly log: LogName;
  readonly logId: LogId;
  /** First offset of the event log that is not in the tree yet; for the root tree its own size. */
  readonly nextOffset: number;
  readonly size: bigint;
  /** Hashes of `cover(0, size)`. */
  readonly frontier: readonly Hash[];
  /** Leaf hash of the last leaf. */
  readonly previousLeaf: Hash | null;
}

export interface StoredLeaf {
  readonly index: bigint;
  readonly offset: number;
  /** Log time, ms. */
  readonly time: number;
  /** Exact bytes: what is hashed. */
  readonly bytes: Buffer;
  readonly stream: string | null;
  readonly correlationId: string | null;
  readonly actor: string | null;
  readonly accepted: boolean;
}

/** A tile with all hashes it has so far. */
export interface StoredTile extends TileAddress {
  readonly hashes: Buffer;
}

/** A signed note as released. Notes are primary data: they cannot be derived again. */
export interface KeptNote {
  readonly log: LogName;
  readonly logId: LogId;
  readonly size: bigint;
  readonly root: Hash;
  /** The signed note, exact text. */
  readonly note: string;
  /** ms; republishing sets it anew. */
  readonly publishedAt: number;
  /** Where the root tree holds it; null for the root tree's own notes. */
  readonly rootIndex: bigint | null;
}

/** All that one batch changes. */
export interface Growth {
  readonly leaves: readonly StoredLeaf[];
  /** Whole new contents of every tile that changed. */
  readonly tiles: readonly StoredTile[];
  readonly head: AuditHead;
}

/** Runs while the head is locked; everything or nothing is kept. */
export interface AuditTransaction {
  readonly head: AuditHead;
  /** Per stream its last 64 accepted leaves, oldest first: enough for its head. */
  acceptedLeaves(streams: readonly StreamId[]): Promise<ReadonlyMap<StreamId, readonly Buffer[]>>;
  tiles(addresses: readonly TileAddress[]): Promise<readonly (Buffer | undefined)[]>;
  grow(growth: Growth): Promise<void>;
  /** Keeps notes of any log. @throws AuditStopped when one of that size is kept already. */
  keepNotes(notes: readonly KeptNote[]): Promise<void>;
  /** Notes of this log with `above` < size ≤ `upTo`, smallest first. */
  notes(above: bigint, upTo: bigint): Promise<readonly KeptNote[]>;
  latestNote(log: LogName): Promise<KeptNote | undefined>;
}

export interface LeafPage {
  /** Index of the first. */
  readonly from: bigint;
  readonly leaves: readonly StoredLeaf[];
}

/**
 * Where trees, leaves, notes and export jobs are kept. Memory for tests, Postgres for use; one contract suite for both.
 * Whatever was read of a tree once never changes; only heads grow.
 */
export interface AuditStore {
  /** The head of that tree, created empty for that event log when there is none. */
  open(log: LogName, logId: LogId): Promise<AuditHead>;
  heads(): Promise<readonly AuditHead[]>;
  transact<T>(log: LogName, work: (transaction: AuditTransaction) => Promise<T>): Promise<T>;
  /** Leaves with from ≤ index < to in order, in bounded pages; ends early where leaves are missing at the end. */
  leaves(log: LogName, from: bigint, to: bigint): AsyncIterable<LeafPage>;
  tiles(log: LogName, addresses: readonly TileAddress[]): Promise<readonly (Buffer | undefined)[]>;
  latestNote(log: LogName): Promise<KeptNote | undefined>;
  /** Notes of that log with size > above, smallest first, at most `limit`. */
  notes(log: LogName, above: bigint, limit: number): Promise<readonly KeptNote[]>;
  republish(log: LogName, size: bigint, at: number): Promise<void>;
  search(query: SearchQuery): Promise<SearchPage>;
  /** Forgets leaves, tiles and head of a partition's tree, so that it is built again; its notes stay and bind the new one. */
  forget(log: `p${number}`): Promise<void>;
  saveExport(job: ExportJob): Promise<void>;
  export(id: string): Promise<ExportJob | undefined>;
  /** Newest first. */
  exports(limit: number): Promise<readonly ExportJob[]>;
}

export type AuditStopCode =
  /** A record written by a newer Fabula. */
  | 'UNKNOWN_ENVELOPE'
  /** The store was built from another event log. */
  | 'OTHER_LOG'
  /** The store is ahead of the event log. */
  | 'BEYOND_LOG_END'
  /** A tree does not have the root that was signed for that size. */
  | 'NOTE_DISAGREES'
  /** What is stored contradicts itself. */
  | 'STORE_CORRUPT'
  /** The event log itself has a hole. */
  | 'LOG_DAMAGED';

/** The audit cannot go on by itself: a person has to look. Never thrown for an outage. */
export class AuditStopped extends Error {
  override readonly name = 'AuditStopped';
  constructor(
    readonly code: AuditStopCode,
    readonly log: LogName,
    message: string,
    /** The command that mends it. */
    readonly remedy: string,
  ) {
    super(`${log}: ${message} (${remedy})`);
  }
}
