import { HASH_BYTES, nodeHash, type Hash } from './hash.js';
import type { HashReader, Node } from './proof.js';
import { parseDecimal } from './strict.js';

/** A full tile holds 2^8 hashes (C2SP tlog-tiles). */
export const TILE_HEIGHT = 8;
export const TILE_WIDTH = 256;

/** Tile `index` of tile level `level`: the hashes of the complete subtrees of 256^level leaves from `index · 256` on. */
export interface TileAddress {
  readonly level: number;
  readonly index: bigint;
}

/** How many hashes that tile has in a tree of `size` leaves: 0…256. */
export function tileWidth(size: bigint, tile: TileAddress): number {
  const hashes = (size >> BigInt(TILE_HEIGHT * tile.level)) - tile.index * 256n;
  return hashes <= 0n ? 0 : hashes >= 256n ? TILE_WIDTH : Number(hashes);
}

/** `tile/<L>/<N>[.p/<W>]`, N in groups of three digits, all but the last with an `x`. */
export function tilePath(tile: TileAddress, width: number): string {
  return `tile/${tile.level}/${numberPath(tile.index, width)}`;
}
/** `tile/entries/<N>[.p/<W>]`: the entries whose hashes are in tile N of level 0. */
export function entriesPath(index: bigint, width: number): string {
  return `tile/entries/${numberPath(index, width)}`;
}

function numberPath(index: bigint, width: number): string {
  let digits = index.toString();
  digits = digits.padStart(Math.ceil(digits.length / 3) * 3, '0');
  const groups = digits.match(/.{3}/g) as string[];
  const path = groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group)).join('/');
  return `${path}${width === TILE_WIDTH ? '' : `.p/${width}`}`;
}

const TILE_PATH = /^tile\/(0|[1-9]|[1-5][0-9]|6[0-3])\/((?:x[0-9]{3}\/){0,6}[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/;

/** The tile that `tilePath` names so; undefined for every other text. */
export function parseTilePath(path: string): (TileAddress & { readonly width: number }) | undefined {
  const match = TILE_PATH.exec(path);
  if (match === null) return undefined;
  const index = parseDecimal((match[2] as string).replaceAll(/[x/]/g, '').replace(/^0+(?=[0-9])/, ''));
  const width = match[3] === undefined ? TILE_WIDTH : Number(match[3]);
  if (index === undefined || width > TILE_WIDTH) return undefined;
  const tile = { level: Number(match[1]), index, width };
  return tilePath(tile, width) === path ? tile : undefined;
}

/** The entries that `entriesPath` names so; undefined for every other text. */
export function parseEntriesPath(path: string): { readonly index: bigint; readonly width: number } | undefined {
  const hashes = parseTilePath(path.replace(/^tile\/entries\//, 'tile/0/'));
  return hashes !== undefined && entriesPath(hashes.index, hashes.width) === path ? hashes : undefined;
}

/** Entries one after another, each behind its length as two bytes, the larger first. @throws RangeError for an entry of more than 65,535 bytes */
export function formatEntries(entries: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    entries.flatMap((entry) => {
      if (entry.length > 0xffff) throw new RangeError(`an entry has ${entry.length} bytes, more than its length can say`);
      const length = Buffer.alloc(2);
      length.writeUInt16BE(entry.length);
      return [length, entry];
    }),
  );
}

/** The inverse of `formatEntries`; undefined unless the bytes are exactly that many entries. */
export function parseEntries(bytes: Uint8Array, count: number): Buffer[] | undefined {
  const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: Buffer[] = [];
  let at = 0;
  while (entries.length < count) {
    if (at + 2 > source.length) return undefined;
    const end = at + 2 + source.readUInt16BE(at);
    if (end > source.length) return undefined;
    entries.push(source.subarray(at + 2, end));
    at = end;
  }
  return at === source.length ? entries : undefined;
}

/** Where a stored subtree hash is found: `count` hashes from `start` on, hashed together. */
function place(node: Node): { readonly tile: TileAddress; readonly start: number; readonly count: number } {
  const level = Math.floor(node.level / TILE_HEIGHT);
  const height = node.level % TILE_HEIGHT;
  const first = node.index << BigInt(height);
  return { tile: { level, index: first >> BigInt(TILE_HEIGHT) }, start: Number(first & 255n), count: 1 << height };
}

/** Missing or short tiles: the store does not hold the tree it says it holds. */
export class TileMissing extends Error {
  override readonly name = 'TileMissing';
  constructor(
    readonly tile: TileAddress,
    readonly needed: number,
    readonly found: number,
  ) {
    super(`tile ${tile.level}/${tile.index} holds ${found} hashes, ${needed} are needed`);
  }
}

/**
 * Reads subtree hashes out of tiles: for one proof a handful of tiles per 256-fold of the tree, in one call of `readTiles`,
 * which answers each tile's hashes one after another (undefined when it has none).
 */
export function tileHashReader(readTiles: (tiles: readonly TileAddress[]) => Promise<readonly (Uint8Array | undefined)[]>): HashReader {
  return {
    async readHashes(nodes) {
      const places = nodes.map(place);
      const byKey = new Map(places.map(({ tile }) => [`${tile.level}/${tile.index}`, tile]));
      const tiles = await readTiles([...byKey.values()]);
      const bytes = new Map([...byKey.keys()].map((key, i) => [key, tiles[i]]));
      return places.map(({ tile, start, count }) => {
        const hashes = bytes.get(`${tile.level}/${tile.index}`);
        const found = Math.floor((hashes?.length ?? 0) / HASH_BYTES);
        if (hashes === undefined || found < start + count) throw new TileMissing(tile, start + count, found);
        return complete(hashes, start, count);
      });
    },
  };
}

function complete(hashes: Uint8Array, start: number, count: number): Hash {
  let row: Hash[] = [];
  for (let i = start; i < start + count; i++) row.push(Buffer.from(hashes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES)));
  while (row.length > 1) {
    const above: Hash[] = [];
    for (let i = 0; i < row.length; i += 2) above.push(nodeHash(row[i] as Hash, row[i + 1] as Hash));
    row = above;
  }
  return row[0] as Hash;
}
