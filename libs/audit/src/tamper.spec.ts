import { isLong } from '../../../test/support/requirement.js';
import { progress, verified } from '../../../test/support/verification.js';
import { verifyBundle } from './bundle/verify-bundle.js';
import { MemoryAuditStore } from './memory/memory-audit-store.js';
import { audited, streamed } from './testing/audited.js';
import { describeTampering, type Attacker } from './testing/tamper-suite.js';
import { TreeGrowth } from './tree-growth.js';
import { leafHash } from './tlog/index.js';
import { verifyStore } from './verify-store.js';

describeTampering('a store in memory', async (seed) => {
  const history = audited<MemoryAuditStore>(seed, { partitions: 1 });
  await history.round(4);
  await history.round(4);
  const { store, logId } = history;
  const tree = store.trees.get('p0')!;
  const attacker: Attacker = {
    leaf: (index) => Promise.resolve(tree.leaves.find((leaf) => leaf.index === BigInt(index))!.bytes),
    put: (index, bytes) => {
      const at = tree.leaves.findIndex((leaf) => leaf.index === BigInt(index));
      if (at >= 0) tree.leaves[at] = { ...tree.leaves[at]!, bytes };
      else tree.leaves.push({ ...tree.leaves.at(-1)!, index: BigInt(index), bytes });
      return Promise.resolve();
    },
    remove: (index) => Promise.resolve(void tree.leaves.splice(index, 1)),
    cut: (index, head) => {
      tree.leaves = tree.leaves.slice(0, index);
      tree.head = { ...tree.head, ...head, size: BigInt(index) };
      return Promise.resolve();
    },
    rewriteTree: (leaves) => {
      const growth = new TreeGrowth({ size: 0n, frontier: [] }, []);
      for (const leaf of leaves) growth.append(leafHash(leaf));
      for (const tile of growth.takeChanged()) tree.tiles.set(`${tile.level}/${tile.index}`, tile.hashes);
      tree.head = { ...tree.head, frontier: growth.hashes, previousLeaf: leafHash(leaves.at(-1)!) };
      return Promise.resolve();
    },
    putNote: (log, size, note, root) => {
      const at = store.keptNotes.findIndex((one) => one.log === log && one.logId === logId && one.size === size);
      store.keptNotes[at] = { ...store.keptNotes[at]!, note, root };
      return Promise.resolve();
    },
    removeNotes: (log, above) => {
      const kept = store.keptNotes.filter((note) => note.log !== log || note.size <= above);
      store.keptNotes.splice(0, store.keptNotes.length, ...kept);
      return Promise.resolve();
    },
    refile: (index, actor) => Promise.resolve(void (tree.leaves[index] = { ...tree.leaves[index]!, actor })),
  };
  return { history, attacker, size: tree.leaves.length };
});

describe('honest histories', () => {
  const histories = isLong ? 10_000 : 300;
  const ROW = '5.3 honest histories';
  it(`raise no alarm in ${histories} random ones, through restarts, rebuilds and changes of the signing key, on store and on export`, async () => {
    const figures = await verified(ROW, async () => {
      const alarms: unknown[] = [];
      const counted = { histories, leaves: 0, signingKeyChanges: 0, rebuilds: 0 };
      const far = progress(ROW);
      for (let seed = 0; seed < histories; seed++) {
        const partitions = 1 + (seed % 3);
        const history = audited(seed, { partitions });
        await history.round(1 + (seed % 4));
        far(seed, histories, 'histories');
        if (seed % 5 === 0) {
          await history.store.forget(`p${seed % partitions}`);
          counted.rebuilds++;
        }
        if (seed % 7 === 0) await history.store.forget('root');
        if (seed % 11 === 0 && (await history.store.signingKeys(history.logId)).length > 0) {
          await history.rotate();
          counted.signingKeyChanges++;
        }
        await history.round(1 + (seed % 3));
        const vkey = await history.trust();
        const outsideNotes = history.store.keptNotes.map(({ note }) => note);
        const store = await verifyStore({ store: history.store, vkey, log: history.log, outsideNotes });
        const { size } = await history.store.open('p0', history.logId);
        const from = size === 0n ? 0n : BigInt(seed) % size;
        const ranges = seed % 2 === 0 && size > 0n ? [{ log: 'p0' as const, from }] : undefined;
        const bundle = await history.bundle(ranges ?? (await everythingSigned(history)));
        const file = await verifyBundle(streamed(bundle, 5000), {
          vkey,
          previousNotes: ranges === undefined ? outsideNotes : [],
        });
        counted.leaves += store.trees.reduce((sum, tree) => sum + tree.leaves, 0);
        if (!store.ok || !file.ok) alarms.push({ seed, store: store.findings, file: file.findings });
      }
      expect(alarms).toEqual([]);
      return { ...counted, falseAlarms: alarms.length };
    });
    expect(figures).toMatchObject({ histories, falseAlarms: 0 });
    expect(figures.leaves).toBeGreaterThan(histories * 5);
    expect(figures.signingKeyChanges).toBeGreaterThan(histories / 20);
    expect(figures.rebuilds).toBeGreaterThan(histories / 10);
  });
});

async function everythingSigned(history: ReturnType<typeof audited<MemoryAuditStore>>) {
  const ranges: { log: 'root' | `p${number}`; from: bigint }[] = [{ log: 'root', from: 0n }];
  for (let partition = 0; partition < history.partitions; partition++) {
    const log = `p${partition}` as const;
    if ((await history.store.latestNote(log, history.logId)) !== undefined) ranges.push({ log, from: 0n });
  }
  return ranges;
}
