import type { AuditStore } from '../audit-store.js';
import type { LogName } from '../log-name.js';
import { leafHash, nodeHash, type Hash, type HashReader, type Node } from '../tlog/index.js';
import { BLOCK_LEAVES, blocksOf } from './term-block.js';
import { TermTree, type TermBlock } from './term-tree.js';

/** The summary of the last block of a tree of that size, where it is not full. */
export async function partialSummary(store: AuditStore, log: LogName, size: bigint): Promise<Buffer | undefined> {
  const tree = new TermTree();
  const from = size - (size % BigInt(BLOCK_LEAVES));
  for await (const { leaves } of store.leafBytes(log, from, size)) for (const bytes of leaves) tree.append(bytes, leafHash(bytes));
  if (tree.size !== size - from) throw missing(log, from + tree.size);
  return tree.partial();
}

/**
 * Subtree hashes of the tree over the summaries of a tree of `size` leaves, out of kept blocks: O(log² n) of them for a proof, in one call. Kept
 * with a block is the frontier at it; its last hash is the subtree that ends there and whose sibling comes after it.
 */
export function termHashReader(store: AuditStore, log: LogName, size: bigint, partial: Buffer | undefined): HashReader {
  const count = blocksOf(size);
  const kept = ({ level, index }: Node): bigint | undefined => {
    const end = (index + 1n) << BigInt(level);
    if (partial !== undefined && end === count) return undefined;
    return level === 0 || index % 2n === 0n ? end - 1n : undefined;
  };
  const children = ({ level, index }: Node): [Node, Node] => [
    { level: level - 1, index: index * 2n },
    { level: level - 1, index: index * 2n + 1n },
  ];
  const needed = (node: Node): bigint[] => {
    const block = kept(node);
    if (block !== undefined) return [block];
    return node.level === 0 ? [] : children(node).flatMap(needed);
  };
  return {
    async readHashes(nodes) {
      const blocks = [...new Set(nodes.flatMap(needed))];
      const rows = new Map<bigint, TermBlock>();
      for (const [i, row] of (await store.termBlocks(log, blocks)).entries()) {
        if (row === undefined) throw missing(log, (blocks[i] as bigint) * BigInt(BLOCK_LEAVES));
        rows.set(row.block, row);
      }
      const hashOf = (node: Node): Hash => {
        const block = kept(node);
        if (block === undefined) {
          if (node.level === 0) return leafHash(partial as Buffer);
          const [left, right] = children(node).map(hashOf);
          return nodeHash(left as Hash, right as Hash);
        }
        const row = rows.get(block) as TermBlock;
        // The frontier ends with it where nothing else is kept: of a summary that was pruned.
        return node.level === 0 && row.summary.length > 0 ? leafHash(row.summary) : (row.frontier.at(-1) as Hash);
      };
      return nodes.map(hashOf);
    },
  };
}

function missing(log: LogName, leaf: bigint): Error {
  return new Error(`the terms of ${log} from leaf ${leaf} on are not kept: find out why with \`fabula audit verify --store\``);
}
