import type { LogId } from '#lib/log';
import type { AuditHead, AuditStore, StoredLeaf } from './audit-store.js';
import type { LogName } from './log-name.js';
import { leafIndex, proveConsistency, proveInclusion, tileHashReader, treeSize, type Hash } from './tlog/index.js';

/** Asked for something that the tree cannot prove: the caller's mistake. */
export class ProofRefused extends RangeError {
  override readonly name = 'ProofRefused';
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

  /** @throws ProofRefused unless index < size ≤ the tree's size. */
  async inclusion(log: LogName, index: bigint, size: bigint): Promise<InclusionProof> {
    const head = await this.head(log, size);
    if (index < 0n || index >= size) throw new ProofRefused(`leaf ${index} is not in a tree of ${size}`);
    const hashes = await proveInclusion(this.reader(log), treeSize(size), leafIndex(index));
    let leaf: StoredLeaf | undefined;
    for await (const page of this.store.leaves(head.log, index, index + 1n)) leaf = page.leaves[0];
    if (leaf === undefined) throw new Error(`leaf ${index} of ${log} is missing from the store`);
    return { log, index, size, leaf: leaf.bytes, hashes };
  }

  /** @throws ProofRefused unless from ≤ to ≤ the tree's size. From 0 the proof is empty: every tree extends the empty one. */
  async consistency(log: LogName, from: bigint, to: bigint): Promise<ConsistencyProof> {
    await this.head(log, to);
    if (from < 0n || from > to) throw new ProofRefused(`no tree of ${to} extends one of ${from}`);
    const hashes = from === 0n ? [] : await proveConsistency(this.reader(log), treeSize(to), treeSize(from));
    return { log, from, to, hashes };
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
