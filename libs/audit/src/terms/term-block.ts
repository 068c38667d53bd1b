import { hash as digest } from 'node:crypto';
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
  return keyOf(salt, termText(term));
}

// Hashing is synchronous, so one scratch buffer serves every call. The names in leaves have 300 characters at the most.
const scratch = Buffer.alloc(HASH_BYTES + 4 * 512);

function keyOf(salt: Hash, text: string): string {
  if (text.length > 512) return digest('sha256', Buffer.concat([salt, Buffer.from(text, 'utf8')]), 'hex').slice(0, 2 * TERM_BYTES);
  scratch.set(salt);
  const length = scratch.write(text, HASH_BYTES, 'utf8');
  return digest('sha256', scratch.subarray(0, HASH_BYTES + length), 'hex').slice(0, 2 * TERM_BYTES);
}

/** Same leaves, same bytes. `salt`: the subtree hash of just these leaves. */
export function encodeSummary(salt: Hash, leaves: readonly BlockLeaf[]): Buffer {
  const byText = new Map<string, number[]>();
  leaves.forEach(({ terms }, position) => {
    for (const term of terms) {
      const text = termText(term);
      const known = byText.get(text);
      if (known === undefined) byText.set(text, [position]);
      else if (known[known.length - 1] !== position) known.push(position);
    }
  });
  const positions = new Map<string, number[]>();
  for (const [text, places] of byText) {
    const key = keyOf(salt, text);
    const others = positions.get(key);
    // Two terms may share a key, if only in theory.
    positions.set(key, others === undefined ? places : [...new Set([...others, ...places])].toSorted((a, b) => a - b));
  }
  let bytes = HEAD_BYTES + HASH_BYTES + leaves.length * MARK_BYTES;
  for (const places of positions.values()) bytes += TERM_BYTES + 1 + places.length;
  const summary = Buffer.allocUnsafe(bytes);
  summary[0] = VERSION;
  summary.writeUInt16BE(leaves.length, 1);
  summary.writeUInt16BE(positions.size, 3);
  summary.set(salt, HEAD_BYTES);
  let at = HEAD_BYTES + HASH_BYTES;
  for (const { hash } of leaves) at += hash.copy(summary, at, 0, MARK_BYTES);
  for (const key of [...positions.keys()].toSorted()) {
    const places = positions.get(key) as number[];
    at += summary.write(key, at, 'hex');
    summary[at++] = places.length - 1;
    for (const place of places) summary[at++] = place;
  }
  return summary;
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
