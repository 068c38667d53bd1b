import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { errorCode, makeDirectory, replaceFile, syncDirectory } from '#lib/platform';
import { blockStart } from '../rederive.js';
import {
  cover,
  entriesPath,
  Frontier,
  HASH_BYTES,
  leafHash,
  openTrustedNote,
  parseEntries,
  tileHashReader,
  TileMissing,
  tilePath,
  tileWidth,
  TILE_WIDTH,
  type CheckpointNote,
  type Hash,
  type TileAddress,
  type TrustedKey,
} from '../tlog/index.js';
import { edgeTiles, TreeGrowth } from '../tree-growth.js';

/** What lies there and what is offered cannot both be true, or what is offered contradicts itself. */
export class MirrorRefused extends Error {
  override readonly name = 'MirrorRefused';
}

export interface MirrorOptions {
  /** One log's files: `checkpoint`, `tile/…`, as C2SP tlog-tiles says; any web server can serve them. */
  readonly directory: string;
  readonly keys: readonly TrustedKey[];
  /** The origin that the log must have, so that no other log's tiles are taken for it. */
  readonly origin: string;
  /** The newest signed note. */
  readonly checkpoint: () => Promise<string>;
  /** Bytes of `tile/…`; undefined: not there. Of entries that the log says it pruned, only the hashes are taken. */
  readonly tile: (path: string) => Promise<Uint8Array | 'pruned' | undefined>;
  readonly progress?: (leaves: bigint, of: bigint) => void;
  readonly signal?: AbortSignal;
}

/**
 * Brings a directory up to the newest signed tree: only tiles that are not there yet are asked for. Every entry is hashed and every hash
 * stands in the tree that was signed, which continues the tree of the note that lies there; only then that note is replaced. Broken off
 * anywhere, the next run goes on where this one ended. Memory: one tile of entries and one of hashes per level.
 * @throws MirrorRefused, MalformedNote, UnverifiedNote; whatever `checkpoint` and `tile` throw
 */
export async function mirrorTiles(options: MirrorOptions): Promise<CheckpointNote> {
  const mirror = new Mirror(options);
  return mirror.run();
}

class Mirror {
  /** Folders whose names may not be flushed yet: they are, before a note says that their tiles lie here. */
  private readonly unflushed = new Set<string>();

  constructor(private readonly options: MirrorOptions) {}

  async run(): Promise<CheckpointNote> {
    const { progress, signal } = this.options;
    const text = await this.options.checkpoint();
    const note = this.open(text, 'the note that is offered');
    const kept = await this.file('checkpoint');
    const before = kept === undefined ? undefined : this.open(kept.toString('utf8'), 'the note that lies here');
    if (before !== undefined && before.size > note.size)
      throw new MirrorRefused(`a tree of ${before.size} lies here, but the log says that it has ${note.size}: it was set back`);
    const growth = await this.resumed(before);
    if (before?.size === growth.size && !growth.root().equals(before.root)) throw this.spoilt();
    for (let from = growth.size; from < note.size; from = growth.size) {
      signal?.throwIfAborted();
      const width = tileWidth(note.size, { level: 0, index: from / BigInt(TILE_WIDTH) });
      const hashes = await this.block(from / BigInt(TILE_WIDTH), width);
      for (const hash of hashes) {
        growth.append(hash);
        if (growth.size === before?.size && !growth.root().equals(before.root))
          throw new MirrorRefused(
            `the log shows another history than the one that lies here and was signed at size ${before.size}: keep both notes`,
          );
      }
      for (const { level, index, hashes: bytes } of growth.takeChanged())
        if (level > 0) await this.keep({ level, index }, bytes.length / HASH_BYTES === TILE_WIDTH ? bytes : undefined);
      progress?.(growth.size, note.size);
    }
    if (!growth.root().equals(note.root)) throw new MirrorRefused(`the tiles do not give the root that was signed at size ${note.size}`);
    await this.partials(growth, note.size);
    for (const folder of this.unflushed) await syncDirectory(folder);
    await makeDirectory(this.options.directory);
    await replaceFile(path.join(this.options.directory, 'checkpoint'), text, 0o644);
    return note;
  }

  private open(text: string, what: string): CheckpointNote {
    const note = openTrustedNote(text, this.options.keys);
    if (note.origin === this.options.origin) return note;
    throw new MirrorRefused(`${what} is of ${note.origin}, not of ${this.options.origin}`);
  }
  private spoilt(): MirrorRefused {
    return new MirrorRefused('the tiles that lie here do not give the root of the note beside them: mirror into another directory');
  }

  /** The tree up to the last full block that lies here under the kept note. */
  private async resumed(before: CheckpointNote | undefined): Promise<TreeGrowth> {
    const from = blockStart(before?.size ?? 0n);
    const read = (tiles: readonly TileAddress[]): Promise<(Buffer | undefined)[]> =>
      Promise.all(tiles.map((tile) => this.widest(tile, tileWidth(before?.size ?? 0n, tile))));
    try {
      const frontier = await tileHashReader(read).readHashes(cover(0n, from));
      const edge = edgeTiles(from);
      const tiles = await read(edge);
      const cut = tiles.map((tile, i) => tile?.subarray(0, tileWidth(from, edge[i] as TileAddress) * HASH_BYTES));
      return new TreeGrowth({ size: new Frontier(from, frontier).size, frontier }, cut);
    } catch (error) {
      if (error instanceof TileMissing || error instanceof RangeError) throw this.spoilt();
      throw error;
    }
  }

  /** A block of leaves: its tile of entries and its tile of hashes, from here or from the log; the hashes are those of the entries. */
  private async block(index: bigint, width: number): Promise<Hash[]> {
    const hashesName = tilePath({ level: 0, index }, width);
    const entriesName = entriesPath(index, width);
    // The entries are written first: where the hashes lie, their entries do, unless they were pruned.
    const here = width === TILE_WIDTH ? await this.file(hashesName) : undefined;
    if (here?.length === width * HASH_BYTES) {
      // Written by a run that may have died before it flushed them.
      for (const name of [hashesName, entriesName]) await this.folderOf(name);
      return split(here);
    }
    const [hashes, bytes] = await Promise.all([this.fetched(hashesName), this.fetched(entriesName)]);
    if (hashes === 'pruned') throw new MirrorRefused(`the log pruned ${hashesName}: hashes must stay`);
    if (bytes === 'pruned' && width === TILE_WIDTH && hashes.length === width * HASH_BYTES) {
      await this.write(hashesName, hashes);
      return split(hashes);
    }
    const entries = bytes === 'pruned' ? undefined : parseEntries(bytes, width);
    if (bytes === 'pruned' || entries === undefined || hashes.length !== width * HASH_BYTES)
      throw new MirrorRefused(`${entries === undefined ? entriesName : hashesName} does not hold ${width} of them`);
    const list = split(hashes);
    const wrong = entries.findIndex((entry, i) => !leafHash(entry).equals(list[i] as Hash));
    if (wrong >= 0)
      throw new MirrorRefused(`entry ${index * BigInt(TILE_WIDTH) + BigInt(wrong)} has another hash than the log's tile holds for it`);
    await this.write(entriesName, bytes);
    await this.write(hashesName, hashes);
    if (width === TILE_WIDTH) await Promise.all([hashesName, entriesName].map((name) => this.remove(`${name}.p`)));
    return list;
  }

  /** A full tile of a higher level; what is not full yet is written at the end, when its width is known. */
  private async keep(tile: TileAddress, full: Buffer | undefined): Promise<void> {
    if (full === undefined) return;
    const name = tilePath(tile, TILE_WIDTH);
    await this.write(name, full);
    await this.remove(`${name}.p`);
  }

  private async partials(growth: TreeGrowth, size: bigint): Promise<void> {
    for (const { level, index, hashes } of growth.edge())
      if (level > 0) await this.write(tilePath({ level, index }, tileWidth(size, { level, index })), hashes);
  }

  /** The widest form of that tile that lies here, from `width` on. */
  private async widest(tile: TileAddress, width: number): Promise<Buffer | undefined> {
    return (
      (await this.file(tilePath(tile, TILE_WIDTH))) ?? (width === TILE_WIDTH || width === 0 ? undefined : this.file(tilePath(tile, width)))
    );
  }

  private async fetched(name: string): Promise<Buffer | 'pruned'> {
    const bytes = await this.options.tile(name);
    if (bytes === 'pruned') return bytes;
    if (bytes === undefined) throw new MirrorRefused(`the log does not have ${name}, although its signed tree is that large`);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  private async file(name: string): Promise<Buffer | undefined> {
    try {
      return await readFile(path.join(this.options.directory, name));
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Whole or not at all. */
  private async write(name: string, bytes: Uint8Array): Promise<void> {
    await this.folderOf(name);
    await replaceFile(path.join(this.options.directory, name), bytes, 0o644, false);
  }

  private async folderOf(name: string): Promise<void> {
    const folder = path.dirname(path.join(this.options.directory, name));
    if (!this.unflushed.has(folder)) await makeDirectory(folder);
    this.unflushed.add(folder);
  }

  private async remove(name: string): Promise<void> {
    await rm(path.join(this.options.directory, name), { recursive: true, force: true });
  }
}

function split(hashes: Buffer): Hash[] {
  return Array.from({ length: hashes.length / HASH_BYTES }, (_, i) => hashes.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES));
}
