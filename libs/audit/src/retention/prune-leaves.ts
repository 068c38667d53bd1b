import type { StreamId } from '#lib/decision';
import type { LogId } from '#lib/log';
import { AuditStopped, type AuditStore, type StoredLeaf } from '../audit-store.js';
import { newestInRoot } from '../bundle/plan-export.js';
import type { LogName } from '../log-name.js';
import { cover, HASH_BYTES, leafHash, tileHashReader, TileMissing } from '../tlog/index.js';
import { carryOver, PRUNE_BLOCK, type PruneStep, type TreeBase } from './tree-base.js';

export interface LeafPruning {
  readonly store: AuditStore;
  readonly logId: LogId;
  /** A partition's tree. */
  readonly log: LogName;
  readonly retention: string;
  /** Whether a leaf is of that class: the others stay. */
  readonly ofClass: (leaf: StoredLeaf) => boolean;
  /** Whether a leaf of that class need not be kept any more. */
  readonly expired: (leaf: StoredLeaf) => boolean;
  /** Leaves of records from this offset of the event log on stay. */
  readonly beforeOffset: number;
  /** The action that it is done for. */
  readonly action: string;
  readonly signal?: AbortSignal;
  /** Asked before each step: it throws when no more may go. */
  readonly proceed?: () => Promise<void>;
}

export interface LeafPruned {
  readonly log: LogName;
  /** Leaves of the class below this index are gone: a multiple of 256. */
  readonly below: bigint;
  /** How many went for this action or earlier ones. */
  readonly leaves: number;
}

/** Leaves of one step, which is one transaction. */
const STEP = PRUNE_BLOCK * 2n;

/**
 * Prunes the leaves of one class from the beginning of a tree: whole blocks of 256, as far as all leaves of the class in them are expired, are
 * before that offset, are signed in the root tree and have their terms kept. Bytes go; every hash stays, so roots, notes and proofs are as they were. Before bytes go
 * they are compared with the tree's hashes: what was tampered with is evidence. Broken off anywhere, it goes on where it ended.
 * @throws AuditStopped when what is stored contradicts itself; the signal's reason; what `proceed` throws
 */
export async function pruneLeaves(pruning: LeafPruning): Promise<LeafPruned> {
  const { store, logId, log, retention, signal } = pruning;
  const limit = await signedBlocks(store, logId, log);
  const known = (await store.pruned(logId)).find((one) => one.log === log && one.retention === retention);
  let [below, leaves] = [known?.below ?? 0n, known?.leaves ?? 0];
  while (below < limit) {
    signal?.throwIfAborted();
    await pruning.proceed?.();
    const step = await nextStep(pruning, below, least(below + STEP, limit), leaves);
    if (step === undefined) break;
    ({ below, leaves } = step);
  }
  return { log, below, leaves };
}

/** The end of the last block that the root tree's newest note covers and whose terms are kept: further nothing may be pruned. */
export async function signedBlocks(store: AuditStore, logId: LogId, log: LogName): Promise<bigint> {
  const root = await store.latestNote('root', logId);
  const note = root === undefined ? undefined : await newestInRoot(store, logId, log, root.size);
  if (note === undefined) return 0n;
  const terms = await store.lastTermBlock(log, note.size / PRUNE_BLOCK);
  return terms === undefined ? 0n : (terms.block + 1n) * PRUNE_BLOCK;
}

/** One transaction; undefined: the next block stays. */
async function nextStep(
  pruning: LeafPruning,
  from: bigint,
  to: bigint,
  before: number,
): Promise<{ readonly below: bigint; readonly leaves: number } | undefined> {
  const { store, logId, log, retention, action, ofClass } = pruning;
  // Before the transaction, which must not wait for another connection: what was signed does not change any more.
  const base = (await store.bases(logId)).find((one) => one.log === log)?.size ?? 0n;
  const read: StoredLeaf[] = [];
  for await (const page of store.leaves(log, from, to)) read.push(...page.leaves);
  const end = endOf(pruning, read, from, to);
  if (end === from) return undefined;
  const mine = read.filter(({ index }) => index < end);
  await compareWithTree(store, log, mine, base, from, end);
  const going = mine.filter(ofClass).map(({ index }) => index);
  const beyond = mine.filter(({ index }) => index >= base);
  const next = end > base ? await baseAt(store, logId, log, end, beyond) : undefined;
  const accepted = acceptedByStream(beyond);
  const leaves = before + going.length;
  await store.transact(log, async (transaction) => {
    const { head } = transaction;
    if (head.logId !== logId || head.size < end || ((await transaction.base())?.size ?? 0n) !== base)
      throw new Error(`the audit tree ${log} is being rebuilt or pruned elsewhere`);
    const kept = await transaction.streamBases([...accepted.keys()]);
    const step: PruneStep = {
      base: next,
      streams: [...accepted].map(([stream, run]) => carryOver(kept.get(stream), stream, run)),
      leaves: going,
      blocks: [...new Set(going.map((index) => index / PRUNE_BLOCK))],
      pruned: { log, retention, below: end, leaves, action },
    };
    await transaction.prune(step);
  });
  return { below: end, leaves };
}

function acceptedByStream(leaves: readonly StoredLeaf[]): ReadonlyMap<StreamId, readonly StoredLeaf[]> {
  const streams = new Map<StreamId, StoredLeaf[]>();
  for (const leaf of leaves) {
    if (!leaf.accepted || leaf.stream === null) continue;
    const stream = leaf.stream as StreamId;
    const run = streams.get(stream);
    if (run === undefined) streams.set(stream, [leaf]);
    else run.push(leaf);
  }
  return streams;
}

/** The end of the last block in which every leaf of the class may go. */
function endOf({ ofClass, expired, beforeOffset }: LeafPruning, leaves: readonly StoredLeaf[], from: bigint, to: bigint): bigint {
  const stays = leaves.find((leaf) => leaf.offset >= beforeOffset || (ofClass(leaf) && !expired(leaf)));
  const end = stays === undefined ? to : stays.index;
  return end < from ? from : end - (end % PRUNE_BLOCK);
}

/** Every leaf read has the hash that the tree holds, and from the base on none is missing. */
async function compareWithTree(
  store: AuditStore,
  log: LogName,
  leaves: readonly StoredLeaf[],
  base: bigint,
  from: bigint,
  end: bigint,
): Promise<void> {
  const blocks = Array.from({ length: Number((end - from) / PRUNE_BLOCK) }, (_, i) => from / PRUNE_BLOCK + BigInt(i));
  const tiles = await store.tiles(
    log,
    blocks.map((index) => ({ level: 0, index })),
  );
  let next = from > base ? from : base;
  for (const { index, bytes } of leaves) {
    if (index >= base && index !== next++) throw corrupt(log, `leaf ${next - 1n} is missing`);
    const at = Number(index % PRUNE_BLOCK) * HASH_BYTES;
    const held = tiles[Number((index - from) / PRUNE_BLOCK)]?.subarray(at, at + HASH_BYTES);
    if (held?.equals(leafHash(bytes)) !== true) throw corrupt(log, `leaf ${index} has another hash than the tree holds for it`);
  }
  if (end > base && next !== end) throw corrupt(log, `leaf ${next} is missing`);
}

async function baseAt(store: AuditStore, logId: LogId, log: LogName, size: bigint, leaves: readonly StoredLeaf[]): Promise<TreeBase> {
  const last = leaves.at(-1) as StoredLeaf;
  try {
    const frontier = await tileHashReader((tiles) => store.tiles(log, tiles)).readHashes(cover(0n, size));
    return { log, logId, size, nextOffset: last.offset + 1, frontier, previousLeaf: leafHash(last.bytes) };
  } catch (error) {
    if (error instanceof TileMissing) throw corrupt(log, error.message);
    throw error;
  }
}

const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);
function corrupt(log: LogName, message: string): AuditStopped {
  return new AuditStopped('STORE_CORRUPT', log, `${message}: nothing more is pruned`, 'find the place with `fabula audit verify --store`');
}
