import type { StreamId } from '#lib/decision';
import type { LogId } from '#lib/log';
import type { ExportJob } from './export-job.js';
import type { KeptKey } from './keys/kept-keys.js';
import type { LogName } from './log-name.js';
import type { SearchPage, SearchQuery } from './search.js';
import type { PrunedClass, PruneStep, StreamBase, TreeBase } from './retention/tree-base.js';
import type { TermBlock } from './terms/index.js';
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

/** The trees that can be built again from what they are about. The access log's is primary: nothing else holds its entries. */
export type DerivedLog = Exclude<LogName, 'access'>;

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
  /** ms; part of the root tree's leaf. */
  readonly signedAt: number;
  /** ms; republishing sets it anew. */
  readonly publishedAt: number;
  /** Where the root tree holds it; null for the root tree's own notes. */
  readonly rootIndex: bigint | null;
  /** Root over the tree's term blocks at that size, as the root tree's leaf names it. */
  readonly terms?: Hash;
  /** Where the root tree held it before, without terms; absent: it holds it once. */
  readonly firstRootIndex?: bigint;
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
  /** Where the tree's leaves begin to be all there; undefined: at its beginning. */
  base(): Promise<TreeBase | undefined>;
  /** What is kept of these streams' accepted leaves below the base. */
  streamBases(streams: readonly StreamId[]): Promise<ReadonlyMap<StreamId, StreamBase>>;
  /** Forgets leaves for good. */
  prune(step: PruneStep): Promise<void>;
  /** Per stream its last 64 accepted leaves from the base on, oldest first: enough for its head with what is kept of those below. */
  acceptedLeaves(streams: readonly StreamId[]): Promise<ReadonlyMap<StreamId, readonly Buffer[]>>;
  tiles(addresses: readonly TileAddress[]): Promise<readonly (Buffer | undefined)[]>;
  grow(growth: Growth): Promise<void>;
  /** Keeps notes of any log. @throws AuditStopped when one of that size is kept already. */
  keepNotes(notes: readonly KeptNote[]): Promise<void>;
  /** Keeps the terms of notes that were kept without, and where the root tree holds them for the second time. @throws AuditStopped */
  keepTerms(notes: readonly (KeptNote & { readonly terms: Hash; readonly rootIndex: bigint })[]): Promise<void>;
  /** Keeps summaries of this tree's full blocks, in place of those of the same blocks. */
  keepTermBlocks(blocks: readonly TermBlock[]): Promise<void>;
  /** Notes that were signed for this tree with `above` < size ≤ `upTo`, smallest first. */
  notes(above: bigint, upTo: bigint): Promise<readonly KeptNote[]>;
  /** Newest note of a tree of this event log. */
  latestNote(log: LogName): Promise<KeptNote | undefined>;
  /** As `AuditStore.signingKeys`. */
  signingKeys(): Promise<readonly KeptKey[]>;
  /** That key becomes the current one; the one before it counts up to the sizes from which the new one signs. */
  announceKey(key: KeptKey): Promise<void>;
}

export interface LeafPage {
  /** Index of the first. */
  readonly from: bigint;
  readonly leaves: readonly StoredLeaf[];
}

/** Leaves without a hole between them. */
export interface BytesPage {
  /** Index of the first. */
  readonly from: bigint;
  readonly leaves: readonly Buffer[];
}

/**
 * Where trees, leaves, notes and export jobs are kept. Memory for tests, Postgres for use; one contract suite for both.
 * Whatever was read of a tree once never changes; only heads grow.
 */
export interface AuditStore {
  /** The head of that tree, created for that event log when there is none: empty, or at the base of what was pruned. */
  open(log: LogName, logId: LogId): Promise<AuditHead>;
  heads(): Promise<readonly AuditHead[]>;
  transact<T>(log: LogName, work: (transaction: AuditTransaction) => Promise<T>): Promise<T>;
  /** Leaves with from ≤ index < to in order, in bounded pages; ends early where leaves are missing at the end. */
  leaves(log: LogName, from: bigint, to: bigint): AsyncIterable<LeafPage>;
  /** The stored bytes of the same leaves and nothing else of them; a page ends where one is missing. */
  leafBytes(log: LogName, from: bigint, to: bigint): AsyncIterable<BytesPage>;
  /** The bytes of these leaves, as far as they are there, by index; 256 of them at most. */
  leafBytesAt(log: LogName, indexes: readonly bigint[]): Promise<ReadonlyMap<bigint, Buffer>>;
  tiles(log: LogName, addresses: readonly TileAddress[]): Promise<readonly (Buffer | undefined)[]>;
  /** Summaries of those blocks of a tree, as far as they are kept. */
  termBlocks(log: LogName, blocks: readonly bigint[]): Promise<readonly (TermBlock | undefined)[]>;
  /** The last kept one before block `below`. */
  lastTermBlock(log: LogName, below: bigint): Promise<TermBlock | undefined>;
  /** The shortest run of leaves of a tree that holds every one with from ≤ time < to; undefined when there is none. */
  timeSpan(log: LogName, from: number, to: number): Promise<{ readonly from: bigint; readonly to: bigint } | undefined>;
  latestNote(log: LogName, logId: LogId): Promise<KeptNote | undefined>;
  /** The newest note of each tree that has one, whether the tree is there or just being rebuilt. */
  latestNotes(logId: LogId): Promise<readonly KeptNote[]>;
  /** Notes of that tree with size > above, smallest first, at most `limit`. */
  notes(log: LogName, logId: LogId, above: bigint, limit: number): Promise<readonly KeptNote[]>;
  /** Notes that the root tree of that event log holds, as it holds them, by their index there from `from` on, at most `limit`. */
  notesInRoot(logId: LogId, from: bigint, limit: number): Promise<readonly KeptNote[]>;
  /** The keys that sign or signed the notes of that event log, the oldest first. */
  signingKeys(logId: LogId): Promise<readonly KeptKey[]>;
  republish(log: LogName, logId: LogId, size: bigint, at: number): Promise<void>;
  search(query: SearchQuery): Promise<SearchPage>;
  /**
   * Forgets leaves, tiles and head of a tree, so that it is built again; its notes stay and bind the new one.
   * @param logId a tree of that event log begins again at its base, below which nothing changes: what was pruned cannot be built again
   */
  forget(log: DerivedLog, logId?: LogId): Promise<void>;
  /** Where each tree's leaves of that event log begin to be all there; trees that nothing was pruned of are left out. */
  bases(logId: LogId): Promise<readonly TreeBase[]>;
  /** What was pruned of the trees of that event log. */
  pruned(logId: LogId): Promise<readonly PrunedClass[]>;
  /** The access log's tree goes on under another event log: its leaves stay, the notes of the earlier log stay valid for their sizes. */
  adopt(log: 'access', logId: LogId): Promise<void>;
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
  | 'LOG_DAMAGED'
  /** Another key signs now, and this process does not have it. */
  | 'KEY_MISSING';

export interface RecordPlace {
  readonly offset: number;
  /** SHA-256 of its bytes. */
  readonly digest: string;
}

/** The audit cannot go on by itself: a person has to look. Never thrown for an outage. */
export class AuditStopped extends Error {
  override readonly name = 'AuditStopped';
  constructor(
    readonly code: AuditStopCode,
    readonly log: LogName,
    message: string,
    /** The command that mends it. */
    readonly remedy: string,
    /** The record of an unknown envelope that it stands before. */
    readonly record?: RecordPlace,
  ) {
    super(`${log}: ${message} (${remedy})`);
  }
}

/** For adapters: growth that does not continue the tree. */
export const onlyGrows = (log: LogName): AuditStopped =>
  new AuditStopped('STORE_CORRUPT', log, 'a tree only grows, leaf by leaf', 'find the place with `fabula audit verify --store`');

/** For adapters: terms of a note that is not there, or has some. */
export const termsKept = (note: KeptNote): AuditStopped =>
  new AuditStopped(
    'STORE_CORRUPT',
    note.log,
    `its note of size ${note.size} is missing, or has terms already`,
    'find the place with `fabula audit verify --store`',
  );

/** What the root tree holds of a note, in order: at first without terms, where these were signed later. */
export function heldInRoot(note: KeptNote): readonly KeptNote[] {
  const { firstRootIndex, terms: _later, ...first } = note;
  if (firstRootIndex === undefined) return note.rootIndex === null ? [] : [note];
  return [{ ...first, rootIndex: firstRootIndex }, note];
}

/** For adapters: a note that is not larger than the newest one. */
export const noteNotNewer = (note: KeptNote, newest: bigint): AuditStopped =>
  new AuditStopped(
    'STORE_CORRUPT',
    note.log,
    `a note of size ${newest} was signed, ${note.size} is not larger`,
    'find the place with `fabula audit verify --store`',
  );
