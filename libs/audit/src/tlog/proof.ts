import { EMPTY_ROOT, HASH_BYTES, nodeHash, type Hash, type LeafIndex, type TreeSize } from './hash.js';

/** A complete subtree: the 2^level leaves from `index · 2^level` on. */
export interface Node {
  readonly level: number;
  readonly index: bigint;
}

/** Where stored hashes come from. A proof makes exactly one call. */
export interface HashReader {
  /** Hashes of complete subtrees, in the order asked for. */
  readHashes(nodes: readonly Node[]): Promise<readonly Hash[]>;
}

/** Half-open range of leaves [from, to) and the side on which it is joined to what was proved before. */
interface Sibling {
  readonly from: bigint;
  readonly to: bigint;
  readonly side: 'left' | 'right';
}

/** The range as maximal complete subtrees, left to right; at most 2·63 of them. */
export function cover(from: bigint, to: bigint): Node[] {
  const nodes: Node[] = [];
  for (let at = from; at < to;) {
    let level = 0;
    while (level < 63 && (at & ((2n << BigInt(level)) - 1n)) === 0n && at + (2n << BigInt(level)) <= to) level++;
    nodes.push({ level, index: at >> BigInt(level) });
    at += 1n << BigInt(level);
  }
  return nodes;
}

/** Root of a tree of that size from the hashes of `cover(0, size)` (RFC 6962 §2.1). */
export function rootOf(hashes: readonly Hash[]): Hash {
  if (hashes.length === 0) return EMPTY_ROOT;
  return hashes.reduceRight((right, left) => nodeHash(left, right));
}

/** Largest power of two below n (n ≥ 2): where RFC 6962 splits a tree. */
function split(n: bigint): bigint {
  let k = 1n;
  while (k << 1n < n) k <<= 1n;
  return k;
}

/** Siblings of leaf `index` on the way from the leaf to the root (RFC 6962 §2.1.1). */
function inclusionPath(size: bigint, index: bigint): Sibling[] {
  const path: Sibling[] = [];
  let from = 0n;
  let to = size;
  while (to - from > 1n) {
    const middle = from + split(to - from);
    if (index < middle) {
      path.push({ from: middle, to, side: 'right' });
      to = middle;
    } else {
      path.push({ from, to: middle, side: 'left' });
      from = middle;
    }
  }
  return path.toReversed();
}

/** Siblings on the way from the last complete subtree of the old tree to the new root, and that subtree (RFC 6962 §2.1.2). */
function consistencyPath(newSize: bigint, oldSize: bigint): { readonly start: { from: bigint; to: bigint }; readonly path: Sibling[] } {
  const path: Sibling[] = [];
  let from = 0n;
  let to = newSize;
  while (to !== oldSize) {
    const middle = from + split(to - from);
    if (oldSize <= middle) {
      path.push({ from: middle, to, side: 'right' });
      to = middle;
    } else {
      path.push({ from, to: middle, side: 'left' });
      from = middle;
    }
  }
  return { start: { from, to }, path: path.toReversed() };
}

async function hashRanges(reader: HashReader, ranges: readonly { readonly from: bigint; readonly to: bigint }[]): Promise<Hash[]> {
  const covers = ranges.map((range) => cover(range.from, range.to));
  const hashes = await reader.readHashes(covers.flat());
  let at = 0;
  return covers.map((nodes) => rootOf(hashes.slice(at, (at += nodes.length))));
}

/** Root of the first `size` leaves. */
export async function treeRoot(reader: HashReader, size: TreeSize): Promise<Hash> {
  return (await hashRanges(reader, [{ from: 0n, to: size }]))[0] as Hash;
}

/**
 * RFC 6962 audit path of leaf `index` in the tree of `size` leaves, leaf to root; ≤ 63 hashes, one storage call.
 * @throws RangeError unless index < size.
 */
export async function proveInclusion(reader: HashReader, size: TreeSize, index: LeafIndex): Promise<Hash[]> {
  if (index >= size) throw new RangeError(`leaf ${index} is not in a tree of ${size}`);
  return hashRanges(reader, inclusionPath(size, index));
}

/** Whether the path leads from that leaf hash to that root. Total: hostile proofs are answered `false`. */
export function checkInclusion(proof: readonly Hash[], size: TreeSize, root: Hash, index: LeafIndex, leaf: Hash): boolean {
  if (index < 0n || index >= size || !wellFormed([...proof, root, leaf])) return false;
  const path = inclusionPath(size, index);
  if (path.length !== proof.length) return false;
  const computed = path.reduce((hash, sibling, i) => join(hash, proof[i] as Hash, sibling.side), leaf);
  return computed.equals(root);
}

/**
 * RFC 6962 proof that the tree of `oldSize` leaves is a prefix of the one of `newSize`.
 * @throws RangeError unless 1 ≤ oldSize ≤ newSize (every tree extends the empty one: nothing to prove).
 */
export async function proveConsistency(reader: HashReader, newSize: TreeSize, oldSize: TreeSize): Promise<Hash[]> {
  if (oldSize < 1n || oldSize > newSize) throw new RangeError(`no consistency proof from ${oldSize} to ${newSize}`);
  const { start, path } = consistencyPath(newSize, oldSize);
  return hashRanges(reader, start.from === 0n ? path : [start, ...path]);
}

/** Whether the proof leads from the old root to the new one. Total. */
export function checkConsistency(proof: readonly Hash[], newSize: TreeSize, newRoot: Hash, oldSize: TreeSize, oldRoot: Hash): boolean {
  if (oldSize < 1n || oldSize > newSize || !wellFormed([...proof, newRoot, oldRoot])) return false;
  const { start, path } = consistencyPath(newSize, oldSize);
  const given = [...proof];
  // When the old tree is itself a complete subtree, its root is the start and is not repeated in the proof.
  const first = start.from === 0n ? oldRoot : given.shift();
  if (first === undefined || given.length !== path.length) return false;
  let before = first;
  let after = first;
  path.forEach((sibling, i) => {
    const hash = given[i] as Hash;
    if (sibling.side === 'left') before = nodeHash(hash, before);
    after = join(after, hash, sibling.side);
  });
  return before.equals(oldRoot) && after.equals(newRoot);
}

function join(hash: Hash, sibling: Hash, side: 'left' | 'right'): Hash {
  return side === 'left' ? nodeHash(sibling, hash) : nodeHash(hash, sibling);
}

function wellFormed(hashes: readonly Hash[]): boolean {
  return hashes.length <= 2 + 64 && hashes.every((hash) => hash.length === HASH_BYTES);
}

/** What proves a run of leaves [from, to) of a tree: the hashes left of it, `cover(0, from)`, and right of it, `cover(to, size)`. */
export interface RangeProof {
  readonly left: readonly Hash[];
  readonly right: readonly Hash[];
}

/** @throws RangeError unless from ≤ to ≤ size. */
export async function proveRange(reader: HashReader, size: TreeSize, from: LeafIndex, to: LeafIndex): Promise<RangeProof> {
  if (from > to || to > size) throw new RangeError(`leaves ${from}…${to} are not a range of a tree of ${size}`);
  const left = cover(0n, from);
  const hashes = await reader.readHashes([...left, ...cover(to, size)]);
  return { left: hashes.slice(0, left.length), right: hashes.slice(left.length) };
}
