import { HASH_BYTES, nodeHash, treeSize, type Hash, type TreeSize } from './hash.js';
import { cover, rootOf, type Node } from './proof.js';

/**
 * The right edge of a growing tree: the hashes of `cover(0, size)`, at most 63. Enough to append and to tell the root,
 * in memory that does not grow with the log.
 */
export class Frontier {
  private count: bigint;
  private readonly levels: number[];
  private readonly nodes: Hash[];

  /** @throws RangeError unless there is exactly one hash per bit of `size`. */
  constructor(size: bigint = 0n, hashes: readonly Hash[] = []) {
    const shape = cover(0n, treeSize(size));
    if (shape.length !== hashes.length || hashes.some((hash) => hash.length !== HASH_BYTES)) {
      throw new RangeError(`a tree of ${size} has ${shape.length} frontier hashes, not ${hashes.length}`);
    }
    this.count = size;
    this.levels = shape.map((node) => node.level);
    this.nodes = [...hashes];
  }

  get size(): TreeSize {
    return this.count as TreeSize;
  }
  /** Largest subtree first. */
  get hashes(): readonly Hash[] {
    return [...this.nodes];
  }
  root(): Hash {
    return rootOf(this.nodes);
  }
  copy(): Frontier {
    return new Frontier(this.count, this.nodes);
  }

  /** Appends one leaf; `completed` sees every subtree that this completes, the leaf itself first. Amortised O(1). */
  append(leaf: Hash, completed?: (node: Node, hash: Hash) => void): void {
    this.appendSubtree(0, leaf, completed);
  }

  /**
   * Appends a complete subtree of 2^level leaves.
   * @throws RangeError where such a subtree cannot stand: its place must be a multiple of its width.
   */
  appendSubtree(level: number, hash: Hash, completed?: (node: Node, hash: Hash) => void): void {
    const last = this.levels[this.levels.length - 1];
    if (last !== undefined && last < level) throw new RangeError(`a subtree of level ${level} cannot follow one of level ${last}`);
    this.count += 1n << BigInt(level);
    let node = hash;
    let height = level;
    completed?.({ level: height, index: (this.count >> BigInt(height)) - 1n }, node);
    while (this.levels[this.levels.length - 1] === height) {
      this.levels.pop();
      node = nodeHash(this.nodes.pop() as Hash, node);
      height++;
      completed?.({ level: height, index: (this.count >> BigInt(height)) - 1n }, node);
    }
    this.levels.push(height);
    this.nodes.push(node);
  }
}
