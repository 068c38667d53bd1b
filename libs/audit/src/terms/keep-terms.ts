import type { LogId } from '#lib/log';
import { AuditStopped, type AuditStore } from '../audit-store.js';
import { partitionOfLog, type LogName } from '../log-name.js';
import type { BeginTerms, TermsReading } from '../rederive.js';
import { leafHash, tileHashReader, type Hash } from '../tlog/index.js';
import { BLOCK_LEAVES } from './term-block.js';
import { TermTree, type TermBlock } from './term-tree.js';

/** So many summaries are held before they are kept: a few hundred kilobytes. */
const CHUNK = 64;
/** A reading holds at most so many for its end; what is behind them is caught up before the next reading. */
const MAX_HELD = 1024;
const LEAVES = BigInt(BLOCK_LEAVES);
const REBUILD = 'run `fabula audit rebuild`';

/**
 * What the notary says about a tree's terms: the root over the summaries of its blocks, from the very bytes that its root is derived from.
 * Costs what grew since the last note and at most one block more; only after a rebuild, or before the first note with terms, all leaves once.
 */
export function keepingTerms(store: AuditStore, logId: LogId): BeginTerms {
  return async (log, from) => {
    if (partitionOfLog(log) === undefined) return undefined;
    const blocks = from / LEAVES;
    const before = await catchUpTerms(store, log, logId, blocks);
    const signed = await store.latestNote(log, logId);
    return new Reading(store, log, logId, new TermTree(blocks, before), signed?.terms === undefined ? undefined : signed);
  };
}

class Reading implements TermsReading {
  private readonly full: TermBlock[] = [];
  private disagrees = false;

  constructor(
    private readonly store: AuditStore,
    private readonly log: LogName,
    private readonly logId: LogId,
    private readonly tree: TermTree,
    private readonly signed: { readonly size: bigint; readonly terms?: Hash } | undefined,
  ) {
    this.compare();
  }

  leaf(_index: bigint, bytes: Buffer, hash: Hash): void {
    const block = this.tree.append(bytes, hash);
    if (block !== undefined && this.full.length < MAX_HELD) this.full.push(block);
    this.compare();
  }

  /** Kept before the root is signed: whoever restarts goes on from there. */
  async root(size: bigint): Promise<Hash> {
    if (this.disagrees) {
      const message = `the kept term blocks are not those that were signed at size ${this.signed?.size}`;
      throw new AuditStopped('STORE_CORRUPT', this.log, message, REBUILD);
    }
    if (size !== this.tree.size) throw new RangeError(`the terms of ${this.log} were read up to ${this.tree.size}, not ${size}`);
    for (let at = 0; at < this.full.length; at += CHUNK) await keep(this.store, this.log, this.logId, this.full.slice(at, at + CHUNK));
    return this.tree.root();
  }

  /** What is kept of earlier blocks must lead to what was signed with them. */
  private compare(): void {
    if (this.tree.size === this.signed?.size && this.signed.terms?.equals(this.tree.root()) === false) this.disagrees = true;
  }
}

/**
 * Keeps the summaries of a tree's first `blocks` blocks where they are missing, and answers the hashes of `cover(0, blocks)` over them. Every leaf
 * that is read must have the hash that the tree holds for its block.
 * @throws AuditStopped
 */
export async function catchUpTerms(store: AuditStore, log: LogName, logId: LogId, blocks: bigint): Promise<readonly Hash[]> {
  const last = await store.lastTermBlock(log, blocks);
  const done = last === undefined ? 0n : last.block + 1n;
  if (done === blocks) return last?.frontier ?? [];
  const tree = new TermTree(done, last?.frontier ?? []);
  const reader = tileHashReader((tiles) => store.tiles(log, tiles));
  let salts: Hash[] = [];
  let full: TermBlock[] = [];
  let newest: readonly Hash[] = last?.frontier ?? [];
  const save = async (): Promise<void> => {
    const held = await reader.readHashes(full.map(({ block }) => ({ level: 8, index: block })));
    const wrong = held.findIndex((hash, i) => salts[i]?.equals(hash) !== true);
    if (wrong >= 0)
      throw corrupt(log, `the leaves from ${(full[wrong] as TermBlock).block * LEAVES} on do not have the hash that the tree holds`);
    await keep(store, log, logId, full);
    [salts, full] = [[], []];
  };
  for await (const { from, leaves } of store.leafBytes(log, done * LEAVES, blocks * LEAVES)) {
    if (from !== tree.size) throw corrupt(log, `leaf ${tree.size} is missing`);
    for (const bytes of leaves) {
      const block = tree.append(bytes, leafHash(bytes));
      if (block === undefined) continue;
      full.push(block);
      salts.push(block.salt);
      newest = block.frontier;
      if (full.length === CHUNK) await save();
    }
  }
  if (tree.size !== blocks * LEAVES) throw corrupt(log, `leaf ${tree.size} is missing`);
  await save();
  return newest;
}

/** Under the lock of the tree's head: a rebuild that forgets the tree forgets these too. */
async function keep(store: AuditStore, log: LogName, logId: LogId, blocks: readonly TermBlock[]): Promise<void> {
  if (blocks.length === 0) return;
  await store.transact(log, async (transaction) => {
    const end = ((blocks.at(-1) as TermBlock).block + 1n) * LEAVES;
    if (transaction.head.logId !== logId || transaction.head.size < end) throw new Error(`the audit tree ${log} is being rebuilt`);
    await transaction.keepTermBlocks(blocks);
  });
}

function corrupt(log: LogName, message: string): AuditStopped {
  return new AuditStopped('STORE_CORRUPT', log, message, 'find the place with `fabula audit verify --store`');
}
