import { createMemoryLog } from '#lib/log';
import { Auditor } from '../auditor.js';
import type { AuditStore, StoredLeaf } from '../audit-store.js';
import { verifyBundle, type BundleReport } from '../bundle/verify-bundle.js';
import { MemoryAuditStore } from '../memory/memory-audit-store.js';
import { Proofs } from '../proofs.js';
import { rebuildTrees } from '../rebuild.js';
import { pruneLeaves, type LeafPruning } from '../retention/prune-leaves.js';
import { LeavesPruned } from '../retention/tree-base.js';
import { audited, testSigner, type Audited } from '../testing/audited.js';
import { Tiles } from '../tiles/tiles.js';
import { leafHash } from '../tlog/index.js';
import { verifyStore, type StoreReport, type VerifyStoreOptions } from '../verify-store.js';

const timers = { after: () => () => undefined };
const LEAVES = 1_100;

export async function leavesOf(store: AuditStore, from = 0n): Promise<StoredLeaf[]> {
  const all: StoredLeaf[] = [];
  for await (const page of store.leaves('p0', from, 10n ** 9n)) all.push(...page.leaves);
  return all;
}
export const lines = (leaves: readonly StoredLeaf[]): string[] => leaves.map(({ index, bytes }) => `${index} ${bytes.toString()}`);
/** Streams of three readers are of a class that is kept. */
export const kept = (leaf: StoredLeaf): boolean => ['0', '1', '2'].some((n) => leaf.stream === `playthrough/reader-${n}`);
const bundle = async function* (bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
};

/** Pruning over any store. */
export function describePruning(name: string, create: () => Promise<AuditStore>): void {
  describe(`a pruned prefix of a tree, in ${name}`, () => {
    let history: Audited<AuditStore>;
    let before: readonly StoredLeaf[];
    const pruning = (change: Partial<LeafPruning> = {}): LeafPruning => ({
      store: history.store,
      logId: history.logId,
      log: 'p0',
      retention: 'play',
      ofClass: (leaf) => !kept(leaf),
      expired: () => true,
      beforeOffset: 800,
      action: 'a-1',
      ...change,
    });
    const verified = async (more: { readonly approved?: VerifyStoreOptions['approved'] } = {}): Promise<StoreReport> =>
      verifyStore({ store: history.store, vkey: testSigner.verifier.vkey, log: history.log, ...more });
    const verifiedBundle = async (from: bigint): Promise<BundleReport> =>
      verifyBundle(bundle(await history.bundle([{ log: 'p0', from }])), { vkey: testSigner.verifier.vkey });

    async function made(store: AuditStore): Promise<Audited<AuditStore>> {
      const written = audited(71, { partitions: 1, store });
      while ((await store.open('p0', written.logId)).size < LEAVES) await written.round(30);
      return written;
    }
    beforeEach(async () => {
      history = await made(await create());
      before = await leavesOf(history.store);
    });

    it('loses the leaves of its class and nothing else, block by block, up to the offset', async () => {
      const pruned = await pruneLeaves(pruning());
      expect(pruned).toEqual({ log: 'p0', below: 768n, leaves: before.filter((leaf) => leaf.index < 768n && !kept(leaf)).length });
      expect(lines(await leavesOf(history.store))).toEqual(lines(before.filter((leaf) => leaf.index >= 768n || kept(leaf))));
      expect(pruned.leaves).toBeGreaterThan(350);
      expect(await pruneLeaves(pruning())).toEqual(pruned);
      expect(await history.store.pruned(history.logId)).toEqual([{ ...pruned, retention: 'play', action: 'a-1' }]);
    });

    it('verifies as before: the store with and without the log, proofs byte for byte, tiles of hashes, exports from there on', async () => {
      const proofs = new Proofs(history.store, history.logId);
      const { size } = await history.store.open('p0', history.logId);
      const asked = [768n, 800n, size - 1n].map((index) => () => proofs.inclusion('p0', index, size));
      const notes = await history.store.notes('p0', history.logId, 0n, 1_000);
      const proven = async (): Promise<string> =>
        JSON.stringify([
          ...(await Promise.all(asked.map((ask) => ask()))).map(({ hashes }) => hashes.map(String)),
          ...(await Promise.all(notes.map((note) => proofs.consistency('p0', note.size, size)))).map(({ hashes }) => hashes.map(String)),
        ]);
      const [was, exported] = [await proven(), await verifiedBundle(768n)];
      await pruneLeaves(pruning());
      expect(await proven()).toBe(was);
      expect(notes.filter((note) => note.size < 768n && note.size % 256n !== 0n).length).toBeGreaterThan(3);
      const report = await verified({ approved: ({ action }) => Promise.resolve(action === 'a-1') });
      expect([report.findings, report.pruned.length, report.trees.length]).toEqual([[], 1, 2]);
      expect((await verifyStore({ store: history.store, vkey: testSigner.verifier.vkey })).findings).toEqual([]);
      expect(exported.findings).toEqual([]);
      expect(await verifiedBundle(768n)).toEqual(exported);
      const term = { type: 'actor', value: 'actor-3' } as const;
      const filtered = await history.bundle([{ log: 'p0', from: 768n }], testSigner, { filter: { kind: 'term', term } });
      const { findings, trees } = await verifyBundle(bundle(filtered), { vkey: testSigner.verifier.vkey });
      const shown = before.filter((leaf) => leaf.index >= 768n && leaf.actor === 'actor-3').length;
      expect([findings, trees[0]?.shown]).toEqual([[], shown]);
    });

    it('is verified and built again on a log that was pruned too, from where its leaves begin to be all there', async () => {
      await pruneLeaves(pruning());
      const [base] = await history.store.bases(history.logId);
      const begin = (base?.nextOffset ?? 0) - 20;
      await history.log.forget(0, begin);
      const report = await verified();
      expect(report.findings).toEqual([]);
      expect(report.notShown.join()).toContain(`records before offset ${begin}: those were pruned`);
      const head = await history.store.open('p0', history.logId);
      const { log, store } = history;
      await rebuildTrees({ store, log, timers });
      expect(await store.open('p0', history.logId)).toEqual(head);
      expect((await verified()).findings).toEqual([]);
      const told = { partition: 0, offset: begin, problem: 'was changed' };
      const checked = await verifyStore({ store, log, vkey: testSigner.verifier.vkey, logBases: () => Promise.resolve([told]) });
      expect(checked.findings).toMatchObject([{ kind: 'BASE', exitCode: 26, where: { tree: 'p0', offset: String(begin) } }]);
      const other = createMemoryLog({ partitions: 1, clock: { now: () => 5 }, id: history.logId });
      for await (const { records } of log.read(0, begin, { upTo: await log.end(0) })) {
        if ((await other.end(0)) === 0) for (let n = 0; n < begin; n++) await other.append(0, records.slice(0, 1));
        // One record was exchanged for another.
        await other.append(
          0,
          records.map((record, i) => (i === 60 ? (records[61] ?? record) : record)),
        );
      }
      await other.forget(0, begin);
      const lying = await verifyStore({ store, log: other, vkey: testSigner.verifier.vkey });
      expect(lying.findings[0]).toMatchObject({ kind: 'LEAF', where: { tree: 'p0' } });
      // More of the log is gone than the tree begins with.
      await log.forget(0, (base?.nextOffset ?? 0) + 1);
      expect((await verified()).findings).toMatchObject([{ kind: 'GAP', where: { tree: 'p0' } }]);
    });

    it('says that leaves were pruned, to proofs, tiles of entries and exports alike; what was kept of them is proven on', async () => {
      await pruneLeaves(pruning());
      const proofs = new Proofs(history.store, history.logId);
      const tiles = new Tiles(history.store, history.logId);
      const { size } = await history.store.open('p0', history.logId);
      const gone = before.find((leaf) => !kept(leaf)) as StoredLeaf;
      const there = before.find(kept) as StoredLeaf;
      await expect(proofs.inclusion('p0', gone.index, size)).rejects.toThrow(LeavesPruned);
      expect((await proofs.inclusion('p0', there.index, size)).leaf.equals(there.bytes)).toBe(true);
      await expect(tiles.read('p0', 'tile/entries/000')).rejects.toThrow('below 768 were pruned');
      expect((await tiles.read('p0', 'tile/0/000'))?.subarray(0, 32)).toEqual(leafHash(before[0]?.bytes ?? Buffer.alloc(0)));
      expect(await tiles.read('p0', 'tile/entries/003')).toBeInstanceOf(Buffer);
      await expect(history.bundle([{ log: 'p0', from: 767n }])).rejects.toThrow(LeavesPruned);
      await expect(history.bundle(undefined, testSigner, { filter: { kind: 'time', to: '1800000000000' } })).rejects.toThrow(LeavesPruned);
    });

    it('is gone on with as if nothing had been pruned: retries, reuses and conflicts of old streams have the same verdicts', async () => {
      await pruneLeaves(pruning());
      await history.round(60);
      const oracle = new MemoryAuditStore();
      const whole = await new Auditor({ log: history.log, store: oracle, timers }).catchUp(0);
      expect(await history.store.open('p0', history.logId)).toEqual(whole);
      expect(lines(await leavesOf(history.store, 768n))).toEqual(lines(await leavesOf(oracle, 768n)));
      expect((await verified()).findings).toEqual([]);
      expect(await pruneLeaves(pruning({ beforeOffset: 10 ** 6 }))).toMatchObject({ below: (whole.size / 256n) * 256n });
      await history.round(20);
      expect((await verified()).findings).toEqual([]);
    });

    it('stops between two steps when it is told to, and goes on from there', async () => {
      let steps = 0;
      const proceed = (): Promise<void> => (++steps === 2 ? Promise.reject(new Error('a hold came')) : Promise.resolve());
      await expect(pruneLeaves(pruning({ proceed }))).rejects.toThrow('a hold came');
      expect(await history.store.pruned(history.logId)).toMatchObject([{ below: 512n }]);
      expect((await verified()).findings).toEqual([]);
      expect(await pruneLeaves(pruning({ proceed }))).toMatchObject({ below: 768n });
    });

    it('begins again at its base when it is rebuilt', async () => {
      await pruneLeaves(pruning());
      const [head, leaves] = [await history.store.open('p0', history.logId), lines(await leavesOf(history.store))];
      const offsets: number[] = [];
      const { log } = history;
      const watched = Object.assign(Object.create(log) as typeof log, {
        read: (...given: Parameters<typeof log.read>) => (offsets.push(given[1]), log.read(...given)),
      });
      await rebuildTrees({ store: history.store, log: watched, timers });
      expect(await history.store.open('p0', history.logId)).toEqual(head);
      expect(lines(await leavesOf(history.store))).toEqual(leaves);
      expect(offsets).toEqual([before[768]?.offset]);
      await history.round(10);
      expect((await verified()).findings).toEqual([]);
      await history.store.forget('p0');
      expect(await leavesOf(history.store)).toEqual([]);
    });

    it('ends before what is not expired, not signed, or not named; another class goes by itself', async () => {
      const first = before.find((leaf) => leaf.index >= 600n && !kept(leaf)) as StoredLeaf;
      expect(await pruneLeaves(pruning({ expired: (leaf) => leaf.offset < first.offset }))).toMatchObject({ below: 512n });
      expect(await pruneLeaves(pruning({ beforeOffset: 0 }))).toMatchObject({ below: 512n });
      const rest = { retention: 'stories', ofClass: kept, action: 'a-2' };
      const both = await pruneLeaves(pruning({ ...rest, beforeOffset: 300 }));
      expect(both).toMatchObject({ below: 256n, leaves: before.filter((leaf) => leaf.index < 256n && kept(leaf)).length });
      expect((await leavesOf(history.store))[0]?.index).toBeGreaterThanOrEqual(256n);
      expect(await pruneLeaves(pruning({ ...rest, beforeOffset: 800 }))).toMatchObject({ below: 768n });
      expect((await verified()).findings).toEqual([]);
      const none = await verified({ approved: ({ action }) => Promise.resolve(action === 'a-1') });
      expect(none.findings.map(({ message }) => message)).toEqual([
        'leaves of p0 below 768 were pruned for action a-2, which two people never approved',
      ]);
    });
  });
}
