import type { LogId } from '#lib/log';
import type { AuditHead, AuditStore, StoredLeaf } from './audit-store.js';
import type { LogName } from './log-name.js';
import { prunedBelow } from './retention/tree-base.js';
import { leafIndex, proveConsistency, proveInclusion, tileHashReader, treeSize, type Hash } from './tlog/index.js';

/** Asked for something that the tree cannot prove: the caller's mistake. */
export class ProofRefused extends RangeError {
  override readonly name = 'ProofRefused';
}

/** The tree is smaller than what was signed of it: it is being rebuilt, and the same question can be answered later. */
export class TreeBehind extends Error {
  override readonly name = 'TreeBehind';
  constructor(log: LogName) {
    super(`the tree ${log} is being rebuilt`);
  }
}

export interface InclusionProof {
  readonly log: LogName;
  readonly index: bigint;
  readonly size: bigint;
  /** The leaf's exact bytes. */
  readonly leaf: Buffer;
  readonly hashes: readonly Hash[];
}
export interface ConsistencyProof {
  readonly log: LogName;
  readonly from: bigint;
  readonly to: bigint;
  readonly hashes: readonly Hash[];
}

/** Proofs of one event log's trees, each with one read of stored hashes. */
export class Proofs {
  constructor(
    private readonly store: AuditStore,
    private readonly logId: LogId,
  ) {}

  /** @throws ProofRefused unless index < size ≤ the tree's size; LeavesPruned; TreeBehind */
  inclusion(log: LogName, index: bigint, size: bigint): Promise<InclusionProof> {
    return this.within(log, size, async () => {
      if (index < 0n || index >= size) throw new ProofRefused(`leaf ${index} is not in a tree of ${size}`);
      const hashes = await proveInclusion(this.reader(log), treeSize(size), leafIndex(index));
      let leaf: StoredLeaf | undefined;
      for await (const page of this.store.leaves(log, index, index + 1n)) leaf = page.leaves[0];
      if (leaf === undefined)
        throw (await prunedBelow(this.store, this.logId, log, index)) ?? new Error(`leaf ${index} of ${log} is missing from the store`);
      return { log, index, size, leaf: leaf.bytes, hashes };
    });
  }

  /** @throws ProofRefused unless from ≤ to ≤ the tree's size; TreeBehind. From 0 the proof is empty: every tree extends the empty one. */
  consistency(log: LogName, from: bigint, to: bigint): Promise<ConsistencyProof> {
    return this.within(log, to, async () => {
      if (from < 0n || from > to) throw new ProofRefused(`no tree of ${to} extends one of ${from}`);
      const hashes = from === 0n ? [] : await proveConsistency(this.reader(log), treeSize(to), treeSize(from));
      return { log, from, to, hashes };
    });
  }

  /** A rebuild may take the tree away before the work, or while it reads. */
  private async within<T>(log: LogName, size: bigint, work: () => Promise<T>): Promise<T> {
    try {
      await this.head(log, size);
      return await work();
    } catch (error) {
      const head = (await this.store.heads()).find((one) => one.log === log && one.logId === this.logId);
      const signed = (await this.store.latestNote(log, this.logId))?.size ?? -1n;
      if (size <= signed && (head?.size ?? 0n) < signed) throw new TreeBehind(log);
      throw error;
    }
  }

  private async head(log: LogName, size: bigint): Promise<AuditHead> {
    const head = (await this.store.heads()).find((one) => one.log === log && one.logId === this.logId);
    if (head === undefined) throw new ProofRefused(`there is no tree ${log}`);
    if (size < 0n || size > head.size) throw new ProofRefused(`${log} has ${head.size} leaves, not ${size}`);
    return head;
  }
  private reader(log: LogName) {
    return tileHashReader((tiles) => this.store.tiles(log, tiles));
  }
}
