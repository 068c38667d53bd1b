import type { AuditHead, StoredTile } from './audit-store.js';
import { Frontier, TILE_HEIGHT, tileWidth, type Hash, type TileAddress } from './tlog/index.js';

interface GrowingTile extends TileAddress {
  readonly hashes: Hash[];
}

/** Tiles on the right edge of a tree that are not full yet: what appending continues. At most one per level. */
export function edgeTiles(size: bigint): TileAddress[] {
  const edge: TileAddress[] = [];
  for (let level = 0; size >> BigInt(TILE_HEIGHT * level) > 0n; level++) {
    const index = size >> BigInt(TILE_HEIGHT * (level + 1));
    if (tileWidth(size, { level, index }) > 0) edge.push({ level, index });
  }
  return edge;
}

/** A tree being appended to: its frontier and its edge tiles in memory, and which tiles changed since `takeChanged`. */
export class TreeGrowth {
  private readonly frontier: Frontier;
  private readonly growing = new Map<number, GrowingTile>();
  private changed = new Map<string, GrowingTile>();

  /** `tiles` answer `edgeTiles(head.size)`. @throws RangeError when they or the frontier do not fit the size. */
  constructor(head: Pick<AuditHead, 'size' | 'frontier'>, tiles: readonly (Buffer | undefined)[]) {
    this.frontier = new Frontier(head.size, head.frontier);
    edgeTiles(head.size).forEach((tile, i) => {
      const width = tileWidth(head.size, tile);
      const bytes = tiles[i];
      if (bytes === undefined || bytes.length !== width * 32)
        throw new RangeError(`tile ${tile.level}/${tile.index} does not hold ${width} hashes`);
      this.growing.set(tile.level, { ...tile, hashes: Array.from({ length: width }, (_, at) => bytes.subarray(at * 32, at * 32 + 32)) });
    });
  }

  get size(): bigint {
    return this.frontier.size;
  }
  get hashes(): readonly Hash[] {
    return this.frontier.hashes;
  }
  root(): Hash {
    return this.frontier.root();
  }

  append(leaf: Hash): void {
    this.frontier.append(leaf, (node, hash) => {
      if (node.level % TILE_HEIGHT !== 0) return;
      const level = node.level / TILE_HEIGHT;
      const index = node.index >> BigInt(TILE_HEIGHT);
      let tile = this.growing.get(level);
      if (tile === undefined || tile.index !== index) {
        tile = { level, index, hashes: [] };
        this.growing.set(level, tile);
      }
      tile.hashes.push(hash);
      this.changed.set(`${level}/${index}`, tile);
    });
  }

  takeChanged(): StoredTile[] {
    const tiles = [...this.changed.values()].map(stored);
    this.changed = new Map();
    return tiles;
  }
  /** Its edge tiles as they are now. */
  edge(): StoredTile[] {
    return edgeTiles(this.size).map(({ level }) => stored(this.growing.get(level) as GrowingTile));
  }
}

const stored = ({ level, index, hashes }: GrowingTile): StoredTile => ({ level, index, hashes: Buffer.concat(hashes) });
