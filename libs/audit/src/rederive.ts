import { AuditStopped, type AuditHead, type AuditStore } from './audit-store.js';
import type { LogName } from './log-name.js';
import { cover, Frontier, leafHash, tileHashReader, TileMissing, TILE_HEIGHT, TILE_WIDTH, type Hash } from './tlog/index.js';

const LOOK = 'find the place with `fabula audit verify --store`';

/** A size and root that were signed. */
export interface SignedRoot {
  readonly size: bigint;
  readonly root: Hash;
}

/** Sees a tree's leaves while its root is derived from them. */
export interface TermsReading {
  /** Each leaf in order, from the first of the block of 256 in which the signed size lies: the very bytes that are hashed. */
  leaf(index: bigint, bytes: Buffer, hash: Hash): void;
  /** Root over the tree's term blocks at that size; asked once, after the last leaf, when the bytes have been found to be the tree's. */
  root(size: bigint): Promise<Hash>;
}
/** Begins to read a tree at that leaf, a multiple of 256; undefined: nothing is to be said about that tree's terms. */
export type BeginTerms = (log: LogName, from: bigint) => Promise<TermsReading | undefined>;

/** Start of the block of leaves in which the next leaf of a tree of that size stands. */
export const blockStart = (size: bigint): bigint => size - (size % BigInt(TILE_WIDTH));

/**
 * Root of the tree at `head.size`, derived again from stored bytes: the stored hashes must give the root that was signed last, and every
 * leaf since then is hashed anew and compared with what the tree stores about it. Memory O(log n); time in the leaves since `signed`.
 * (One flipped bit in one stored leaf hash once retired a certificate log: it had been signed.)
 * @throws AuditStopped naming the first place that contradicts itself
 */
export async function rederiveRoot(
  store: AuditStore,
  head: AuditHead,
  signed: SignedRoot | undefined,
  reading?: TermsReading,
): Promise<Hash> {
  const { log } = head;
  let frontier = signed === undefined ? new Frontier() : await signedFrontier(store, log, signed);
  if (reading !== undefined) frontier = beforeBlock(frontier);
  for await (const page of store.leafBytes(log, frontier.size, head.size)) {
    if (page.from !== frontier.size) throw corrupt(log, `leaf ${frontier.size} is missing`);
    const tiles = new Map<string, { level: number; index: bigint; first: number; hashes: Hash[] }>();
    for (const bytes of page.leaves) {
      const hashed = leafHash(bytes);
      reading?.leaf(frontier.size, bytes, hashed);
      frontier.append(hashed, (node, hash) => {
        if (node.level % TILE_HEIGHT !== 0) return;
        const level = node.level / TILE_HEIGHT;
        const index = node.index >> BigInt(TILE_HEIGHT);
        const key = `${level}/${index}`;
        const tile = tiles.get(key);
        if (tile === undefined) tiles.set(key, { level, index, first: Number(node.index & 255n), hashes: [hash] });
        else tile.hashes.push(hash);
      });
    }
    const wanted = [...tiles.values()];
    const stored = await store.tiles(log, wanted);
    wanted.forEach(({ level, index, first, hashes }, i) => {
      const place = hashes.findIndex((hash, at) => stored[i]?.subarray((first + at) * 32, (first + at + 1) * 32).equals(hash) !== true);
      if (place >= 0)
        throw corrupt(log, `${subtree(level, index * 256n + BigInt(first + place))} has another hash than the tree holds for it`);
    });
  }
  if (frontier.size !== head.size) throw corrupt(log, `leaf ${frontier.size} is missing, the head counts ${head.size}`);
  if (!frontier.hashes.every((hash, i) => head.frontier[i]?.equals(hash)))
    throw corrupt(log, 'the head has another frontier than its leaves');
  return frontier.root();
}

/** The same tree without the leaves of its last block, which are then read again: each still has to have the hash that was signed. */
function beforeBlock(frontier: Frontier): Frontier {
  const from = blockStart(frontier.size);
  return new Frontier(from, frontier.hashes.slice(0, cover(0n, from).length));
}

async function signedFrontier(store: AuditStore, log: LogName, signed: SignedRoot): Promise<Frontier> {
  const reader = tileHashReader((tiles) => store.tiles(log, tiles));
  try {
    const frontier = new Frontier(signed.size, await reader.readHashes(cover(0n, signed.size)));
    if (frontier.root().equals(signed.root)) return frontier;
  } catch (error) {
    if (error instanceof TileMissing) throw corrupt(log, error.message);
    throw error;
  }
  throw new AuditStopped('NOTE_DISAGREES', log, `its stored hashes do not give the root signed at size ${signed.size}`, LOOK);
}

function subtree(level: number, index: bigint): string {
  return level === 0 ? `leaf ${index}` : `the subtree of level ${level * TILE_HEIGHT} at ${index}`;
}
function corrupt(log: LogName, message: string): AuditStopped {
  return new AuditStopped('STORE_CORRUPT', log, message, LOOK);
}
