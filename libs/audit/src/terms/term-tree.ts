import { Frontier, leafHash, type Hash } from '../tlog/index.js';
import { termsOfLeaf } from './leaf-terms.js';
import { BLOCK_LEAVES, encodeSummary, type BlockLeaf } from './term-block.js';

/** The summary of a full block, and the tree over the summaries up to and with it. */
export interface TermBlock {
  readonly block: bigint;
  readonly summary: Buffer;
  /** Hashes of `cover(0, block + 1)` of the tree over the summaries. */
  readonly frontier: readonly Hash[];
}

/** A block as its leaves give it; its salt is the block's own subtree hash. */
export interface FilledBlock extends TermBlock {
  readonly salt: Hash;
}

/**
 * The RFC 6962 tree whose entries are the summaries of a tree's blocks, followed leaf by leaf. Its root belongs to a size of that tree: the last
 * block may be partial. Memory is one block.
 */
export class TermTree {
  private readonly summaries: Frontier;
  private block = new Frontier();
  private leaves: BlockLeaf[] = [];

  /** `blocks` full ones came before; `frontier`: hashes of `cover(0, blocks)`. @throws RangeError when they do not fit each other */
  constructor(blocks = 0n, frontier: readonly Hash[] = []) {
    this.summaries = new Frontier(blocks, frontier);
  }

  /** Leaves so far. */
  get size(): bigint {
    return this.summaries.size * BigInt(BLOCK_LEAVES) + this.block.size;
  }

  /** Takes the next leaf; answers the block that it completes. */
  append(bytes: Buffer, hash: Hash): FilledBlock | undefined {
    this.block.append(hash);
    this.leaves.push({ hash, terms: termsOfLeaf(bytes) });
    if (this.leaves.length < BLOCK_LEAVES) return undefined;
    const summary = this.partial() as Buffer;
    const salt = this.block.root();
    const block = this.summaries.size as bigint;
    this.summaries.append(leafHash(summary));
    this.block = new Frontier();
    this.leaves = [];
    return { block, salt, summary, frontier: this.summaries.hashes };
  }

  /** The summary of the block that is not full; undefined when there is none. */
  partial(): Buffer | undefined {
    return this.leaves.length === 0 ? undefined : encodeSummary(this.block.root(), this.leaves);
  }

  root(): Hash {
    const partial = this.partial();
    if (partial === undefined) return this.summaries.root();
    const whole = this.summaries.copy();
    whole.append(leafHash(partial));
    return whole.root();
  }
}
