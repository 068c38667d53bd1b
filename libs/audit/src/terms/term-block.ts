import { createHash } from 'node:crypto';
import { HASH_BYTES, type Hash } from '../tlog/index.js';
import { termText, type Term } from './leaf-terms.js';

/*
 * The summary of one aligned block of leaves says, for every term of these leaves, which of them have it. Its bytes:
 *   1 byte    0x01
 *   2 bytes   number of leaves in the block, 1…256, big-endian
 *   2 bytes   number of terms, big-endian
 *   32 bytes  salt: the block's own subtree hash (RFC 6962 over its leaf hashes)
 *   4 bytes per leaf: how its leaf hash begins; tells which leaf of a block was changed
 * and per term, ascending by the first field:
 *   8 bytes   the first 8 of SHA-256(salt ‖ type ‖ 0x00 ‖ value)
 *   1 byte    number of positions minus one
 *   1 byte each: positions in the block, 0…255, ascending
 * The salt keeps one term's hash from being recognised in other blocks without knowing the term.
 */
export const BLOCK_LEAVES = 256;
const VERSION = 1;
const HEAD_BYTES = 5;
const TERM_BYTES = 8;
const MARK_BYTES = 4;
/** A leaf has at most 64 events, each with one story, and three terms more. */
export const MAX_SUMMARY_BYTES = HEAD_BYTES + HASH_BYTES + BLOCK_LEAVES * (MARK_BYTES + 67 * (TERM_BYTES + 2));

/** How a leaf hash begins. */
export const markOf = (hash: Hash): string => hash.toString('hex', 0, MARK_BYTES);

/** One leaf of a block. */
export interface BlockLeaf {
  readonly hash: Hash;
  readonly terms: readonly Term[];
}

export const blockOf = (index: bigint): bigint => index / BigInt(BLOCK_LEAVES);
/** How many blocks a tree of `size` leaves has; the last may be partial. */
export const blocksOf = (size: bigint): bigint => (size + BigInt(BLOCK_LEAVES - 1)) / BigInt(BLOCK_LEAVES);

/** What stands for a term in the block of that salt, as 16 hex digits. */
export function termKey(salt: Hash, term: Term): string {
  return createHash('sha256')
    .update(salt)
    .update(termText(term), 'utf8')
    .digest('hex')
    .slice(0, 2 * TERM_BYTES);
}

/** Same leaves, same bytes. `salt`: the subtree hash of just these leaves. */
export function encodeSummary(salt: Hash, leaves: readonly BlockLeaf[]): Buffer {
  const positions = new Map<string, number[]>();
  const keys = new Map<string, string>();
  leaves.forEach(({ terms }, position) => {
    for (const term of terms) {
      const text = termText(term);
      let key = keys.get(text);
      if (key === undefined) keys.set(text, (key = termKey(salt, term)));
      const known = positions.get(key);
      if (known === undefined) positions.set(key, [position]);
      // Two terms may share a key, if only in theory.
      else if (known.at(-1) !== position) known.push(position);
    }
  });
  const head = Buffer.from([VERSION, leaves.length >> 8, leaves.length & 255, positions.size >> 8, positions.size & 255]);
  const parts: Buffer[] = [head, salt, ...leaves.map(({ hash }) => hash.subarray(0, MARK_BYTES))];
  for (const key of [...positions.keys()].toSorted()) {
    const places = positions.get(key) as number[];
    parts.push(Buffer.from(key, 'hex'), Buffer.from([places.length - 1, ...places]));
  }
  return Buffer.concat(parts);
}

export interface Summary {
  readonly salt: Hash;
  /** How each leaf's hash begins, in order. */
  readonly marks: readonly string[];
  /** By term key. */
  readonly positions: ReadonlyMap<string, readonly number[]>;
}

/** The inverse of `encodeSummary`; undefined for every byte string that it would not write. */
export function decodeSummary(bytes: Buffer): Summary | undefined {
  if (bytes.length < HEAD_BYTES + HASH_BYTES || bytes[0] !== VERSION) return undefined;
  const [leaves, count] = [bytes.readUInt16BE(1), bytes.readUInt16BE(3)];
  let at = HEAD_BYTES + HASH_BYTES + leaves * MARK_BYTES;
  if (leaves < 1 || leaves > BLOCK_LEAVES || bytes.length < at) return undefined;
  const marks = Array.from({ length: leaves }, (_, i) =>
    bytes.toString('hex', at - (leaves - i) * MARK_BYTES, at - (leaves - i - 1) * MARK_BYTES),
  );
  const positions = new Map<string, readonly number[]>();
  let before = '';
  for (let i = 0; i < count; i++) {
    if (at + TERM_BYTES + 1 > bytes.length) return undefined;
    const key = bytes.toString('hex', at, at + TERM_BYTES);
    const end = at + TERM_BYTES + 2 + (bytes[at + TERM_BYTES] as number);
    const places = [...bytes.subarray(at + TERM_BYTES + 1, end)];
    if (key <= before || end > bytes.length) return undefined;
    if (places.some((place, n) => place >= leaves || place <= (places[n - 1] ?? -1))) return undefined;
    positions.set(key, places);
    before = key;
    at = end;
  }
  if (at !== bytes.length) return undefined;
  return { salt: bytes.subarray(HEAD_BYTES, HEAD_BYTES + HASH_BYTES), marks, positions };
}

/** The positions at which the block's leaves have that term. */
export function positionsOf(summary: Summary, term: Term): readonly number[] {
  return summary.positions.get(termKey(summary.salt, term)) ?? [];
}
