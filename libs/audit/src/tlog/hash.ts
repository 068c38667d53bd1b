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

/** SHA-256(0x00 ‖ entry). */
export function leafHash(entry: Uint8Array): Hash {
  const prefixed = Buffer.allocUnsafe(entry.length + 1);
  prefixed[0] = 0;
  prefixed.set(entry, 1);
  return digest('sha256', prefixed, 'buffer');
}

// Hashing is synchronous, so one scratch buffer serves every call.
const pair = Buffer.alloc(1 + 2 * HASH_BYTES);
pair[0] = 1;

/** SHA-256(0x01 ‖ left ‖ right). */
export function nodeHash(left: Hash, right: Hash): Hash {
  pair.set(left, 1);
  pair.set(right, 1 + HASH_BYTES);
  return digest('sha256', pair, 'buffer');
}
