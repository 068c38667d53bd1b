import * as fc from 'fast-check';
import { Frontier } from './frontier.js';
import { leafHash, leafIndex, treeSize, type Hash } from './hash.js';
import { checkConsistency, checkInclusion, proveConsistency, proveInclusion, treeRoot } from './proof.js';
import { parseTilePath, TileMissing, tileHashReader, tilePath, tileWidth } from './tile.js';

describe('tiles', () => {
  const size = 70_000;
  const tiles = new Map<string, Buffer[]>();
  const frontier = new Frontier();
  const roots = new Map<number, Hash>();
  const leaves: Hash[] = [];
  for (let i = 0; i < size; i++) {
    const leaf = leafHash(Buffer.from(`${i}`));
    leaves.push(leaf);
    frontier.append(leaf, (node, hash) => {
      if (node.level % 8 !== 0) return;
      const key = `${node.level / 8}/${node.index >> 8n}`;
      const tile = tiles.get(key) ?? [];
      tile.push(hash);
      tiles.set(key, tile);
    });
    if ([1, 255, 256, 257, 65_535, 65_536, 65_537, size].includes(i + 1)) roots.set(i + 1, frontier.root());
  }
  let calls = 0;
  const reader = tileHashReader((addresses) => {
    calls++;
    return Promise.resolve(addresses.map(({ level, index }) => Buffer.concat(tiles.get(`${level}/${index}`) ?? [])));
  });

  it('hold every hash that proofs need, found in one read', async () => {
    for (const [n, root] of roots) {
      expect(await treeRoot(reader, treeSize(n))).toEqual(root);
      for (const index of [0, n >> 1, n - 1]) {
        calls = 0;
        const proof = await proveInclusion(reader, treeSize(n), leafIndex(index));
        expect(calls).toBe(1);
        expect(checkInclusion(proof, treeSize(n), root, leafIndex(index), leaves[index] as Hash)).toBe(true);
      }
      for (const [m, old] of roots) {
        if (m > n) continue;
        const proof = await proveConsistency(reader, treeSize(n), treeSize(m));
        expect(checkConsistency(proof, treeSize(n), root, treeSize(m), old)).toBe(true);
      }
    }
  });

  it('say which one is missing or short', async () => {
    const broken = tileHashReader((addresses) => Promise.resolve(addresses.map(() => Buffer.alloc(32))));
    await expect(proveInclusion(broken, treeSize(300), leafIndex(299))).rejects.toThrow(TileMissing);
  });

  it('are addressed as C2SP tlog-tiles says', () => {
    expect(tilePath({ level: 0, index: 1234067n }, 256)).toBe('tile/0/x001/x234/067');
    expect(tilePath({ level: 1, index: 0n }, 17)).toBe('tile/1/000.p/17');
    expect(parseTilePath('tile/0/x001/x234/067')).toEqual({ level: 0, index: 1234067n, width: 256 });
    for (const bad of [
      'tile/0/1',
      'tile/0/x000/001',
      'tile/0/000.p/256',
      'tile/0/000.p/0',
      'tile/00/000',
      'tile/64/000',
      'tile/0/000/',
      'tile/0/x001',
    ])
      expect(parseTilePath(bad)).toBeUndefined();
    expect([0, 1, 255, 256, 70_000].map((n) => tileWidth(BigInt(n), { level: 0, index: 0n }))).toEqual([0, 1, 255, 256, 256]);
    expect(tileWidth(70_000n, { level: 1, index: 1n })).toBe(17);
  });

  it('have one spelling of each path', () => {
    fc.assert(
      fc.property(fc.nat(63), fc.bigInt(0n, 2n ** 62n), fc.integer({ min: 1, max: 256 }), (level, index, width) => {
        const path = tilePath({ level, index }, width);
        expect(parseTilePath(path)).toEqual({ level, index, width });
      }),
    );
  });
});
