import { canonicalJson } from '#lib/canonical';
import type { LogId } from '#lib/log';
import type { LogName } from './log-name.js';
import type { Hash } from './tlog/index.js';

/** An entry of the root tree: one signed note of one partition's tree. */
export interface RootLeaf {
  readonly v: 1;
  readonly log: LogId;
  /** Position in the root tree. */
  readonly index: string;
  /** Which tree the note is of. */
  readonly tree: LogName;
  /** When it was signed, ms. */
  readonly time: string;
  /** The signed note, exact text. */
  readonly note: string;
  readonly previousLeaf: string | null;
  /** Root over the tree's term blocks at the note's size, hex: what makes a filtered export provably complete. Leaves of before have none. */
  readonly terms?: string;
}

export function rootLeafBytes(leaf: {
  readonly logId: LogId;
  readonly index: bigint;
  readonly tree: LogName;
  readonly signedAt: number;
  readonly note: string;
  readonly previousLeaf: Hash | null;
  readonly terms?: Hash;
}): Buffer {
  const content: RootLeaf = {
    v: 1,
    log: leaf.logId,
    index: String(leaf.index),
    tree: leaf.tree,
    time: String(leaf.signedAt),
    note: leaf.note,
    previousLeaf: leaf.previousLeaf === null ? null : leaf.previousLeaf.toString('hex'),
    ...(leaf.terms === undefined ? {} : { terms: leaf.terms.toString('hex') }),
  };
  return Buffer.from(canonicalJson(content), 'utf8');
}
