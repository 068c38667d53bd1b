import type { AuditStore, StoredLeaf } from '../audit-store.js';
import type { Findings } from '../bundle/findings.js';
import { partitionOfLog, type LogName } from '../log-name.js';
import type { Hash } from '../tlog/index.js';
import { BLOCK_LEAVES } from './term-block.js';
import { TermTree, type TermBlock } from './term-tree.js';

/** Compares what is kept about a tree's terms with its leaves, while these are read once in order. Blocks that nobody kept yet are no finding. */
export class TermsComparison {
  private tree: TermTree | undefined;
  private full: TermBlock[] = [];

  constructor(
    private readonly store: AuditStore,
    private readonly findings: Findings,
    private readonly log: LogName,
    /** What is kept of blocks whose leaves are not to be had; undefined: the leaves come from the first. */
    before?: TermBlock,
  ) {
    if (partitionOfLog(log) !== undefined)
      this.tree = before === undefined ? new TermTree() : new TermTree(before.block + 1n, before.frontier);
  }

  leaf(leaf: StoredLeaf, hash: Hash): void {
    if (this.tree === undefined) return;
    // Behind a missing leaf nothing can be compared; that it is missing is named elsewhere.
    if (leaf.index !== this.tree.size) this.tree = undefined;
    const block = this.tree?.append(leaf.bytes, hash);
    if (block !== undefined) this.full.push(block);
  }

  /** `terms`: what was signed beside a note of that size. */
  note(size: bigint, terms: Hash | undefined): void {
    if (this.tree?.size !== size || terms === undefined || terms.equals(this.tree.root())) return;
    this.findings.add('TERMS', `the leaves of ${this.log} do not give the terms that were signed at size ${size}`, {
      tree: this.log,
      index: String(size),
    });
  }

  /** After every page of leaves. */
  async page(): Promise<void> {
    const full = this.full;
    this.full = [];
    const kept = await this.store.termBlocks(
      this.log,
      full.map(({ block }) => block),
    );
    for (const [i, { block, summary, frontier }] of full.entries()) {
      const other = kept[i];
      if (other === undefined) continue;
      const same = other.summary.equals(summary) && Buffer.concat(other.frontier).equals(Buffer.concat(frontier));
      if (same) continue;
      const from = String(block * BigInt(BLOCK_LEAVES));
      this.findings.add('TERMS', `the kept terms of the leaves from ${from} on in ${this.log} are not theirs`, {
        tree: this.log,
        index: from,
      });
    }
  }
}
