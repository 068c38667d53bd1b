import { hash as digest } from 'node:crypto';

/** 32 bytes of SHA-256. Never changed in place. */
export type Hash = Buffer;
export const HASH_BYTES = 32;

declare const brand: unique symbol;
/** Number of leaves of a tree. */
export type TreeSize = bigint & { readonly [brand]: 'TreeSize' };
/** Dense position of a leaf, from 0. */
export type LeafIndex = bigint & { readonly [brand]: 'LeafIndex' };

const MAX = 2n ** 63n - 1n;

/** @throws RangeError outside 0…2^63-1: a bug or a limit of ours, never a property of input (parsers check first). */
export function treeSize(n: bigint | number): TreeSize {
  return checked(BigInt(n), 'tree size') as TreeSize;
}
export function leafIndex(n: bigint | number): LeafIndex {
  return checked(BigInt(n), 'leaf index') as LeafIndex;
}
function checked(n: bigint, what: string): bigint {
  if (n < 0n || n > MAX) throw new RangeError(`${n} is no ${what}`);
  return n;
}

/** Root of the tree without leaves: SHA-256 of nothing (RFC 6962 §2.1). */
export const EMPTY_ROOT: Hash = digest('sha256', '', 'buffer');

/**
 * A digest as text is made in half the time of one as bytes, which get memory of their own that the collector has to look after; the bytes of
 * this one lie in Node's pool.
 */
const sha256 = (bytes: Uint8Array): Hash => Buffer.from(digest('sha256', bytes, 'binary'), 'binary');

// Hashing is synchronous, so scratch memory serves every call. Most leaves have about a kilobyte.
const entryScratch = Buffer.alloc(1 + 8192);

/** SHA-256(0x00 ‖ entry). */
export function leafHash(entry: Uint8Array): Hash {
  const prefixed = entry.length < entryScratch.length ? entryScratch.subarray(0, entry.length + 1) : Buffer.allocUnsafe(entry.length + 1);
  prefixed[0] = 0;
  prefixed.set(entry, 1);
  return sha256(prefixed);
}

const pair = Buffer.alloc(1 + 2 * HASH_BYTES);
pair[0] = 1;

/** SHA-256(0x01 ‖ left ‖ right). */
export function nodeHash(left: Hash, right: Hash): Hash {
  pair.set(left, 1);
  pair.set(right, 1 + HASH_BYTES);
  return sha256(pair);
}
