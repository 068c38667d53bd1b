import type { AuditStore, StoredLeaf } from '../audit-store.js';
import type { Findings } from '../bundle/findings.js';
import type { LogName } from '../log-name.js';
import { HASH_BYTES, leafHash, type Frontier, type Hash } from '../tlog/index.js';
import { PRUNE_BLOCK, type PrunedClass, type TreeBase } from './tree-base.js';

/** What verifying a store does with each leaf below a tree's base, in order. */
export interface PrunedCheck {
  readonly store: AuditStore;
  readonly findings: Findings;
  readonly base: TreeBase;
  readonly pruned: readonly PrunedClass[];
  readonly frontier: Frontier;
  /** Takes the hash that the tree holds for the next leaf. */
  readonly next: (hash: Hash) => Promise<void>;
  /** The leaf as the log's record gives it; undefined when it is not compared with the log. */
  readonly derived: () => Promise<Buffer | undefined>;
  /** Compares what a leaf that is still there is filed under. */
  readonly filing: (leaf: StoredLeaf) => void;
  /** After every run of leaves. */
  readonly page: () => Promise<void>;
}

const BLOCKS = 16n;

/**
 * Follows the hashes that are kept of pruned leaves as if they were the leaves: they must give every signed root, the base and, where the log has the
 * records, their leaves. Leaves that were not pruned must have the hash in their place.
 */
export async function checkPruned(check: PrunedCheck): Promise<void> {
  const { store, findings, base, pruned, frontier } = check;
  const { log, size } = base;
  const at = (index: bigint): { readonly tree: string; readonly index: string } => ({ tree: log, index: String(index) });
  const furthest = pruned.reduce((most, { below }) => (below > most ? below : most), 0n);
  if (furthest !== size)
    findings.add('GAP', `the base of ${log} is at ${size}, but its leaves were pruned below ${furthest}`, at(furthest));
  let last: Hash | undefined;
  let missing = 0;
  for (let from = 0n; from < size; from += BLOCKS * PRUNE_BLOCK) {
    const to = from + BLOCKS * PRUNE_BLOCK < size ? from + BLOCKS * PRUNE_BLOCK : size;
    const hashes = await hashesOf(store, log, from, to);
    const kept = new Map<bigint, StoredLeaf>();
    for await (const { leaves } of store.leaves(log, from, to)) for (const leaf of leaves) kept.set(leaf.index, leaf);
    for (let index = from; index < to; index++) {
      const hash = hashes[Number(index - from)];
      if (hash === undefined) {
        findings.add('GAP', `the hash of the pruned leaf ${index} of ${log} is missing`, at(index));
        return;
      }
      const leaf = kept.get(index);
      if (leaf === undefined) missing++;
      if (leaf !== undefined) {
        if (!leafHash(leaf.bytes).equals(hash))
          findings.add('LEAF', `leaf ${index} of ${log} has another hash than the tree holds for it`, at(index));
        check.filing(leaf);
      }
      const derived = await check.derived();
      if (derived !== undefined && !leafHash(derived).equals(hash))
        findings.add('LEAF', `the pruned leaf ${index} of ${log} was not what the log's record gives`, at(index));
      last = hash;
      await check.next(hash);
    }
    await check.page();
  }
  const told = pruned.reduce((sum, { leaves }) => sum + leaves, 0);
  if (missing !== told) findings.add('GAP', `${missing} leaves of ${log} below ${size} are missing, but ${told} were pruned`, at(size));
  const same = frontier.hashes.length === base.frontier.length && frontier.hashes.every((hash, i) => base.frontier[i]?.equals(hash));
  if (!same || last?.equals(base.previousLeaf) !== true)
    findings.add('ROOT', `the base of ${log} at ${size} is not what the hashes below it give`, at(size));
}

async function hashesOf(store: AuditStore, log: LogName, from: bigint, to: bigint): Promise<readonly Hash[]> {
  const blocks: { level: number; index: bigint }[] = [];
  for (let index = from / PRUNE_BLOCK; index < to / PRUNE_BLOCK; index++) blocks.push({ level: 0, index });
  const hashes: Hash[] = [];
  for (const tile of await store.tiles(log, blocks)) {
    // Behind a missing one nothing has a place.
    if (tile?.length !== Number(PRUNE_BLOCK) * HASH_BYTES) break;
    for (let i = 0; i < Number(PRUNE_BLOCK); i++) hashes.push(tile.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES));
  }
  return hashes;
}
