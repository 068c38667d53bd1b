import { canonicalJson, type Json } from '#lib/canonical';
import type { StoredLeaf } from '../audit-store.js';
import { filedUnder } from '../leaf.js';
import { MemoryAuditStore } from '../memory/memory-audit-store.js';
import { Notary } from '../notary.js';
import { keepingTerms } from '../terms/keep-terms.js';
import { leafHash, type NoteSigner } from '../tlog/index.js';
import { edgeTiles, TreeGrowth } from '../tree-growth.js';

type LeafObject = { readonly [name: string]: Json };

/** The leaf with some members changed, as canonical as before. */
export function edited(leaf: Buffer, change: LeafObject): Buffer {
  return Buffer.from(canonicalJson({ ...(JSON.parse(leaf.toString()) as LeafObject), ...change }));
}

/** Leaves numbered and chained anew, as a careful forger writes them. */
export function rechained(leaves: readonly Buffer[]): Buffer[] {
  let previousLeaf: string | null = null;
  return leaves.map((leaf, i) => {
    const bytes = edited(leaf, { index: String(i), offset: String(i), previousLeaf });
    previousLeaf = leafHash(bytes).toString('hex');
    return bytes;
  });
}

/** Stored rows of these leaves, filed as they say. */
export function rows(leaves: readonly Buffer[]): StoredLeaf[] {
  return leaves.map((bytes, i) => ({ index: BigInt(i), bytes, ...filedUnder(bytes) }));
}

/** Puts other leaves of p0 into the store, with stored hashes and head that fit them; notes stay as they are. */
export function rewritten(store: MemoryAuditStore, leaves: readonly Buffer[]): void {
  const tree = store.trees.get('p0');
  if (tree === undefined) throw new RangeError('there is no tree p0');
  const growth = new TreeGrowth({ size: 0n, frontier: [] }, []);
  for (const leaf of leaves) growth.append(leafHash(leaf));
  tree.leaves = rows(leaves);
  tree.tiles = new Map(growth.takeChanged().map(({ level, index, hashes }) => [`${level}/${index}`, hashes]));
  tree.head = {
    ...tree.head,
    size: growth.size,
    nextOffset: leaves.length,
    frontier: growth.hashes,
    previousLeaf: leafHash(leaves.at(-1) as Buffer),
  };
}

/**
 * A store of one partition as whoever holds the signing key would make it of other leaves: trees, notes and root tree written anew, all of
 * them genuine to whoever never saw another.
 * @param sizes at which the honest tree was signed
 */
export async function colluded(
  logId: string,
  signer: NoteSigner,
  leaves: readonly Buffer[],
  sizes: readonly bigint[],
): Promise<MemoryAuditStore> {
  const store = new MemoryAuditStore();
  let now = 1_800_000_000_000;
  const clock = { now: () => now++ };
  const timers = { after: () => () => undefined };
  const notary = new Notary({ store, logId, partitions: 1, signers: [signer], clock, timers, terms: keepingTerms(store, logId) });
  await store.open('p0', logId);
  const stored = rows(leaves);
  const ends = new Set([...sizes.filter((size) => size <= BigInt(leaves.length)).map(Number), leaves.length]);
  for (const end of [...ends].toSorted((a, b) => a - b)) {
    await store.transact('p0', async (transaction) => {
      const { head } = transaction;
      const growth = new TreeGrowth(head, await transaction.tiles(edgeTiles(head.size)));
      const fresh = stored.slice(Number(head.size), end);
      for (const { bytes } of fresh) growth.append(leafHash(bytes));
      const previousLeaf = fresh.length === 0 ? head.previousLeaf : leafHash((fresh.at(-1) as StoredLeaf).bytes);
      await transaction.grow({
        leaves: fresh,
        tiles: growth.takeChanged(),
        head: { ...head, size: growth.size, nextOffset: end, frontier: growth.hashes, previousLeaf },
      });
    });
    await notary.sign();
    const problem = notary.status().find((status) => status.problem !== undefined)?.problem;
    if (problem !== undefined) throw new Error(problem.message);
  }
  return store;
}
