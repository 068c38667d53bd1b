import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { everyAwait } from '../../../../test/support/every-await.js';
import { verified } from '../../../../test/support/verification.js';
import { AuditStopped, type AuditStore, type StoredLeaf } from '../audit-store.js';
import { describePruning, kept, leavesOf, lines } from '../contract/prune-contract.js';
import { MemoryAuditStore } from '../memory/memory-audit-store.js';
import { audited, testSigner, type Audited } from '../testing/audited.js';
import { originOf } from '../notary.js';
import { mirrorTiles } from '../tiles/mirror.js';
import { Tiles } from '../tiles/tiles.js';
import { verifyStore } from '../verify-store.js';
import { pruneLeaves, type LeafPruned } from './prune-leaves.js';
import { LeavesPruned } from './tree-base.js';

describePruning('memory', () => Promise.resolve(new MemoryAuditStore()));

async function written(leaves: bigint): Promise<Audited<MemoryAuditStore>> {
  const history = audited(72, { partitions: 1 });
  while ((await history.store.open('p0', history.logId)).size < leaves) await history.round(30);
  return history;
}
const prune = (store: AuditStore, logId: string): Promise<LeafPruned> =>
  pruneLeaves({
    ...{ store, logId, log: 'p0', retention: 'play', action: 'a-1', beforeOffset: 10 ** 6 },
    ofClass: (leaf) => !kept(leaf),
    expired: () => true,
  });

function copyOf(store: MemoryAuditStore): MemoryAuditStore {
  const copy = new MemoryAuditStore();
  for (const [log, tree] of store.trees)
    copy.trees.set(log, { ...tree, leaves: [...tree.leaves], accepted: new Map(tree.accepted), tiles: new Map(tree.tiles) });
  for (const [log, blocks] of store.keptTermBlocks) copy.keptTermBlocks.set(log, new Map(blocks));
  copy.keptNotes.push(...store.keptNotes);
  copy.keptBases.push(...store.keptBases);
  copy.prunedClasses.push(...store.prunedClasses);
  for (const [key, stream] of store.keptStreams) copy.keptStreams.set(key, stream);
  return copy;
}

describe('a static copy of a pruned log', () => {
  it('has all hashes, and the entries that were not pruned', async () => {
    const { store, logId } = await written(900n);
    await prune(store, logId);
    const directory = mkdtempSync(path.join(tmpdir(), 'fabula-pruned-'));
    const tiles = new Tiles(store, logId);
    const tile = (name: string): Promise<Buffer | 'pruned' | undefined> =>
      tiles
        .read('p0', name)
        .catch((error: unknown) => (error instanceof LeavesPruned ? ('pruned' as const) : Promise.reject(error as Error)));
    const origin = originOf(testSigner.name, logId, 'p0');
    const newest = await store.latestNote('p0', logId);
    const copy = () =>
      mirrorTiles({ directory, keys: [{ verifier: testSigner.verifier }], origin, tile, checkpoint: async () => newest?.note ?? '' });
    expect((await copy()).root).toEqual(newest?.root);
    expect(existsSync(path.join(directory, 'tile/0/000'))).toBe(true);
    expect(readdirSync(path.join(directory, 'tile/entries')).every((name) => name >= '003')).toBe(true);
    // A second run goes on with what lies there.
    expect((await copy()).size).toBe(newest?.size);
    rmSync(directory, { recursive: true });
  });
});

describe('a pruning that is killed', () => {
  it('at any call that it awaits is taken up where it ended, and verifies at every moment', async () => {
    const { store: whole, logId, log } = await written(800n);
    const all = await leavesOf(whole);
    const expected = lines(all.filter((leaf) => leaf.index >= (BigInt(all.length) / 256n) * 256n || kept(leaf)));
    const verify = async (store: MemoryAuditStore, withLog = true): Promise<void> => {
      const { findings } = await verifyStore({ store, vkey: testSigner.verifier.vkey, ...(withLog ? { log } : {}) });
      if (findings.length > 0) throw new Error(JSON.stringify(findings));
    };
    const steps = await everyAwait<MemoryAuditStore>({
      begin: () => copyOf(whole),
      run: async (store, process) => void (await prune(process.port('store', store), logId)),
      inspect: (store) => verify(store, false),
      recover: async (store) => void (await prune(store, logId)),
      verify: async (store) => {
        await verify(store);
        if (lines(await leavesOf(store)).join() !== expected.join()) throw new Error('other leaves are kept');
      },
    });
    const figures = await verified('5.4 kills while leaves are pruned, at ports', () => Promise.resolve({ steps }));
    expect(figures.steps).toBeGreaterThan(15);
  });
});

describe('what was tampered with', () => {
  it('is evidence: no block with a changed or missing leaf is pruned', async () => {
    const { store: whole, logId } = await written(600n);
    for (const instead of [(leaf: StoredLeaf) => [{ ...leaf, bytes: Buffer.concat([leaf.bytes, Buffer.from(' ')]) }], () => []]) {
      const store = copyOf(whole);
      const leaves = store.trees.get('p0')?.leaves ?? [];
      leaves.splice(300, 1, ...instead(leaves[300] as StoredLeaf));
      const before = lines(await leavesOf(store));
      await expect(prune(store, logId)).rejects.toThrow(AuditStopped);
      expect(lines(await leavesOf(store))).toEqual(before);
      expect([store.keptBases, store.prunedClasses]).toEqual([[], []]);
    }
  });

  it('below the base is found by what is kept: hashes, base, leaves of other classes, the log', async () => {
    const { store: whole, logId, log } = await written(900n);
    await prune(whole, logId);
    const found = async (tamper: (store: MemoryAuditStore) => void, withLog = false): Promise<readonly string[]> => {
      const store = copyOf(whole);
      tamper(store);
      const { findings } = await verifyStore({ store, vkey: testSigner.verifier.vkey, ...(withLog ? { log } : {}) });
      return findings.map(({ kind }) => kind);
    };
    const flipped = (bytes: Buffer, at: number): Buffer => {
      const copy = Buffer.from(bytes);
      copy[at] = (copy[at] ?? 0) ^ 1;
      return copy;
    };
    expect(await found(() => undefined, true)).toEqual([]);
    const tile = (store: MemoryAuditStore): Buffer => store.trees.get('p0')?.tiles.get('0/1') as Buffer;
    expect(await found((store) => store.trees.get('p0')?.tiles.set('0/1', flipped(tile(store), 700)))).toContain('ROOT');
    expect(await found((store) => store.trees.get('p0')?.tiles.delete('0/1'))).toContain('GAP');
    expect(await found((store) => (store.keptBases.length = 0))).toContain('GAP');
    const base = whole.keptBases[0];
    if (base === undefined) throw new Error('nothing was pruned');
    expect(await found((store) => store.keptBases.splice(0, 1, { ...base, size: 256n }))).toContain('GAP');
    expect(await found((store) => store.keptBases.splice(0, 1, { ...base, previousLeaf: flipped(base.previousLeaf, 0) }))).toContain(
      'ROOT',
    );
    const change = (store: MemoryAuditStore): void => {
      const tree = store.trees.get('p0');
      const [leaf] = tree?.leaves ?? [];
      if (tree !== undefined && leaf !== undefined)
        tree.leaves = [{ ...leaf, bytes: Buffer.from(leaf.bytes.toString().replace('actor-', 'Actor-')) }, ...tree.leaves.slice(1)];
    };
    expect(await found(change)).toContain('LEAF');
    // Once something was pruned, anything else below the base could go with it.
    const tree = (store: MemoryAuditStore): { leaves: StoredLeaf[] } => store.trees.get('p0') as { leaves: StoredLeaf[] };
    expect(await found((store) => tree(store).leaves.splice(3, 1), true)).toEqual(['GAP']);
    // A whole false history below the base, consistent in itself but not what the log's records give.
    expect(
      await found((store) => store.trees.get('p0')?.tiles.set('0/0', flipped(store.trees.get('p0')?.tiles.get('0/0') as Buffer, 9)), true),
    ).toContain('LEAF');
  });
});
