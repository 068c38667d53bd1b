import type { Timers } from '#lib/platform';
import type { StoredLeaf } from './audit-store.js';
import { Auditor } from './auditor.js';
import { MemoryAuditStore } from './memory/memory-audit-store.js';
import { Notary, originOf, type NotaryOptions } from './notary.js';
import { rebuildTrees } from './rebuild.js';
import type { BeginTerms } from './rederive.js';
import type { RootLeaf } from './root-leaf.js';
import { history } from './testing/histories.js';
import { generateSigner, leafHash, rootOf, type Hash } from './tlog/index.js';
import { edgeTiles, TreeGrowth } from './tree-growth.js';
import { verifyStore } from './verify-store.js';

const noTimers: Timers = { after: () => () => undefined };
const signer = generateSigner('fabula.test/audit');
const clock = { now: () => 1_800_000_000_000 };
const logId = 'log-60';

function bench() {
  const { log, writer } = history(60, 1);
  const store = new MemoryAuditStore();
  const auditor = new Auditor({ log, store, timers: noTimers });
  const notary = (options: Partial<NotaryOptions> = {}): Notary =>
    new Notary({ store, logId, partitions: 1, signers: [signer], clock, timers: noTimers, ...options });
  const grow = async (batches: number, size: number): Promise<void> => {
    for (let i = 0; i < batches; i++) await writer.batch(size);
    await auditor.catchUp(0);
  };
  return { log, store, notary, grow };
}

/** An entry as whoever records looks appends it. */
async function look(store: MemoryAuditStore, what: string): Promise<void> {
  await store.open('access', logId);
  await store.transact('access', async ({ head, tiles, grow }) => {
    const growth = new TreeGrowth(head, await tiles(edgeTiles(head.size)));
    const previousLeaf = head.previousLeaf?.toString('hex') ?? null;
    const bytes = Buffer.from(JSON.stringify({ v: 1, log: head.logId, index: String(head.size), time: '5', previousLeaf, what }));
    growth.append(leafHash(bytes));
    const place = { index: head.size, offset: Number(head.size), time: 5 };
    const leaf: StoredLeaf = { ...place, bytes, stream: null, correlationId: null, actor: null, accepted: false };
    const next = { ...head, size: growth.size, nextOffset: Number(growth.size), frontier: growth.hashes, previousLeaf: leafHash(bytes) };
    await grow({ leaves: [leaf], tiles: growth.takeChanged(), head: next });
  });
}
const rootLeaves = (store: MemoryAuditStore): RootLeaf[] =>
  (store.trees.get('root')?.leaves ?? []).map(({ bytes }) => JSON.parse(bytes.toString()) as RootLeaf);

describe('the tree of the access log', () => {
  it('is signed once it is there, its notes stand in the root tree, and the store verifies with it', async () => {
    const b = bench();
    await b.grow(2, 5);
    const notary = b.notary();
    await notary.sign();
    expect(notary.status().map(({ log }) => log)).toEqual(['p0', 'root']);
    await look(b.store, 'search');
    await look(b.store, 'export');
    await notary.sign();
    expect(notary.status().map(({ log, state }) => [log, state])).toEqual([
      ['p0', 'current'],
      ['root', 'current'],
      ['access', 'current'],
    ]);
    expect(rootLeaves(b.store).map(({ tree }) => tree)).toEqual(['p0', 'access']);
    const report = await verifyStore({ store: b.store, vkey: signer.verifier.vkey, log: b.log });
    expect(report.findings).toEqual([]);
    expect(report.trees.map(({ log, leaves }) => [log, leaves])).toContainEqual(['access', 2]);
    const entry = b.store.trees.get('access')?.leaves[0]?.bytes as Buffer;
    entry[entry.length - 4]! ^= 1;
    const tampered = await verifyStore({ store: b.store, vkey: signer.verifier.vkey, log: b.log });
    expect(tampered.findings).toContainEqual(
      expect.objectContaining({ kind: 'LEAF', where: expect.objectContaining({ index: '0', tree: 'access' }) as object }),
    );
  });

  it('is never forgotten: a rebuild keeps it, and one for another log goes on with it', async () => {
    const b = bench();
    await b.grow(1, 5);
    await look(b.store, 'search');
    await b.notary().sign();
    const before = b.store.trees.get('access');
    await rebuildTrees({ store: b.store, log: b.log, timers: noTimers });
    expect(b.store.trees.get('access')).toBe(before);

    const other = history(61, 1);
    await other.writer.batch(3);
    const stopped = b.notary({ logId: 'log-61' });
    await stopped.sign();
    expect(stopped.status().find(({ log }) => log === 'access')?.problem?.code).toBe('OTHER_LOG');
    await rebuildTrees({ store: b.store, log: other.log, timers: noTimers });
    await look(b.store, 'after the move');
    const notary = b.notary({ logId: 'log-61' });
    await notary.sign();
    expect(notary.status().find(({ log }) => log === 'access')).toMatchObject({ state: 'current', size: 2n });
    expect((await b.store.latestNote('access', 'log-61'))?.note).toContain(originOf(signer.name, 'log-61', 'access'));
    expect((await verifyStore({ store: b.store, vkey: signer.verifier.vkey, log: other.log })).findings).toEqual([]);
  });
});

describe('what is said about terms', () => {
  it('is read from the very bytes that the root is derived from, block by block, and signed in the root tree', async () => {
    const b = bench();
    const begun: [string, bigint][] = [];
    const seen = new Map<bigint, Buffer>();
    const terms: BeginTerms = (log, from) => {
      begun.push([log, from]);
      let next = from;
      let last: Hash | undefined;
      return Promise.resolve({
        leaf(index, bytes, hash) {
          expect(index).toBe(next++);
          expect(leafHash(bytes)).toEqual(hash);
          seen.set(index, bytes);
          last = hash;
        },
        root(size) {
          expect(size).toBe(next);
          return Promise.resolve(rootOf([last as Hash]));
        },
      });
    };
    await b.grow(3, 100);
    await b.notary({ terms }).sign();
    await b.grow(1, 10);
    await b.notary({ terms }).sign();
    await b.notary({ terms }).sign();
    const leaves = b.store.trees.get('p0')?.leaves ?? [];
    expect(begun).toEqual([
      ['p0', 0n],
      ['p0', 256n],
    ]);
    expect(seen.size).toBe(leaves.length);
    expect(rootLeaves(b.store).map((leaf) => leaf.terms)).toEqual(
      [leaves[299], leaves[309]].map((leaf) => leafHash(leaf!.bytes).toString('hex')),
    );
    // The root tree can be built again from the kept notes alone.
    const root = await b.store.open('root', logId);
    await b.store.forget('root');
    await b.notary().sign();
    expect(await b.store.open('root', logId)).toEqual(root);
    await b.grow(1, 1);
    await b.notary().sign();
    expect(rootLeaves(b.store).at(-1)).not.toHaveProperty('terms');
  });

  it('is not said of bytes that are not the tree’s: a leaf of the last block that was changed after it was signed stops the notary', async () => {
    const b = bench();
    const asked: bigint[] = [];
    const terms: BeginTerms = () =>
      Promise.resolve({ leaf: () => undefined, root: (size) => (asked.push(size), Promise.resolve(leafHash(Buffer.from('')))) });
    await b.grow(1, 20);
    await b.notary({ terms }).sign();
    await b.grow(1, 1);
    b.store.trees.get('p0')!.leaves[3]!.bytes[9]! ^= 1;
    const notary = b.notary({ terms });
    await notary.sign();
    expect(notary.status()[0]).toMatchObject({
      state: 'stopped',
      problem: { message: expect.stringContaining('leaf 3 has another hash') as string },
    });
    expect(asked).toEqual([20n]);
  });
});
