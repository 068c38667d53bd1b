import { Auditor } from '../auditor.js';
import type { AuditStore } from '../audit-store.js';
import { MemoryAuditStore } from '../memory/memory-audit-store.js';
import { Notary } from '../notary.js';
import type { RootLeaf } from '../root-leaf.js';
import { verifyBundle } from '../bundle/verify-bundle.js';
import { audited, bundleOf, streamed, testSigner, type Audited } from '../testing/audited.js';
import { leafHash } from '../tlog/index.js';
import { verifyStore } from '../verify-store.js';
import { TermTree, type TermBlock } from './index.js';
import { catchUpTerms, keepingTerms } from './keep-terms.js';

const timers = { after: () => () => undefined };

/** Straight from all leaves: roots by size, and the blocks. */
function expected(store: MemoryAuditStore): { roots: Map<bigint, Buffer>; blocks: TermBlock[] } {
  const tree = new TermTree();
  const [roots, blocks] = [new Map<bigint, Buffer>(), [] as TermBlock[]];
  const signed = new Set(store.keptNotes.filter(({ log }) => log === 'p0').map(({ size }) => size));
  for (const { bytes } of store.trees.get('p0')?.leaves ?? []) {
    const full = tree.append(bytes, leafHash(bytes));
    if (full !== undefined) blocks.push({ block: full.block, summary: full.summary, frontier: full.frontier });
    if (signed.has(tree.size)) roots.set(tree.size, tree.root());
  }
  return { roots, blocks };
}
const kept = (store: MemoryAuditStore): TermBlock[] => [...(store.keptTermBlocks.get('p0')?.values() ?? [])];
const notary = (history: Audited<MemoryAuditStore>, store: AuditStore = history.store): Notary =>
  new Notary({
    store,
    logId: history.logId,
    partitions: 1,
    signers: [testSigner],
    clock: { now: () => 1_900_000_000_000 },
    timers,
    terms: keepingTerms(store, history.logId),
  });

describe('The terms of a tree', () => {
  it('stand beside every note in the root tree, as its leaves give them, through growth and restarts', async () => {
    const history = audited(90, { partitions: 1 });
    await history.round(170);
    const { roots, blocks } = expected(history.store);
    expect(blocks.length).toBeGreaterThan(1);
    expect(kept(history.store)).toEqual(blocks);
    const notes = history.store.keptNotes.filter(({ log }) => log === 'p0');
    expect(notes.length).toBeGreaterThan(10);
    for (const note of notes) {
      expect(note.terms).toEqual(roots.get(note.size));
      const leaf = history.store.trees.get('root')?.leaves[Number(note.rootIndex)]?.bytes;
      expect((JSON.parse(String(leaf)) as RootLeaf).terms).toBe(note.terms?.toString('hex'));
    }
  });

  it('are said of notes that were signed before there were terms, though their tree never grows again', async () => {
    const history = audited(95, { partitions: 2 });
    await history.round(40);
    const { store, logId, log } = history;
    // As an earlier release left it: neither terms nor blocks, and the root tree without them.
    store.keptNotes.forEach(({ terms: _none, ...note }, i) => (store.keptNotes[i] = note));
    store.keptTermBlocks.clear();
    await store.forget('root');
    store.keptNotes.splice(0, store.keptNotes.length, ...store.keptNotes.filter(({ log: tree }) => tree !== 'root'));
    const filter = { kind: 'term', term: { type: 'actor', value: 'actor-1' } } as const;
    const signs = async (terms = true): Promise<void> => {
      const notary = new Notary({
        store,
        logId,
        partitions: 2,
        signers: [testSigner],
        clock: { now: () => 1_900_000_000_000 },
        timers,
        ...(terms ? { terms: keepingTerms(store, logId) } : {}),
      });
      for (let rounds = 0; rounds < 3; rounds++) await notary.sign();
      expect(notary.status().flatMap(({ problem }) => problem ?? [])).toEqual([]);
      expect(notary.status().map(({ state }) => state)).toEqual(['current', 'current', 'current']);
    };
    await signs(false);
    await expect(bundleOf(history, { more: { filter } })).rejects.toThrow('which terms its leaves have');
    const before = await store.latestNote('root', logId);
    const whole = await bundleOf(history);
    await signs();
    const newest = (await store.latestNotes(logId)).filter(({ log: tree }) => tree !== 'root');
    expect(newest).toHaveLength(2);
    // Once each, whoever looks again; the notes are the very same.
    const root = await store.latestNote('root', logId);
    expect((root?.size ?? 0n) - (before?.size ?? 0n)).toBe(2n);
    for (const note of newest)
      expect([note.terms !== undefined, (note.firstRootIndex ?? 0n) < (note.rootIndex ?? 0n)]).toEqual([true, true]);
    const { vkey } = testSigner.verifier;
    const report = await verifyBundle(streamed(await bundleOf(history, { more: { filter } })), { vkey, previousNotes: [] });
    expect(report.findings).toEqual([]);
    expect(report.trees.map(({ shown }) => shown > 0)).toEqual([true, true]);
    // An export that was begun before ends as it was begun.
    const sizes = new Map([...newest.map(({ log: tree, size }) => [tree, size] as const), ['root', before?.size ?? 0n] as const]);
    expect((await bundleOf(history, { more: { signed: sizes } })).length).toBe(whole.length);
    // Nothing of it looks like tampering, also from outside, and a root tree that is built again is the same.
    const leaves = store.trees.get('root')?.leaves.map(({ bytes }) => String(bytes));
    expect((await verifyStore({ store, vkey, log })).findings).toEqual([]);
    await store.forget('root');
    await signs();
    expect(store.trees.get('root')?.leaves.map(({ bytes }) => String(bytes))).toEqual(leaves);
    await history.round(3);
    expect((await verifyStore({ store, vkey, log })).findings).toEqual([]);
    expect((await verifyBundle(streamed(await bundleOf(history, { more: { filter } })), { vkey })).findings).toEqual([]);
  });

  it('are read from what grew, not from the whole history', async () => {
    const history = audited(91, { partitions: 1 });
    await history.round(250);
    await history.writer.batch(5);
    await new Auditor({ log: history.log, store: history.store, timers }).catchUp(0);
    const read: bigint[] = [];
    const { leaves } = history.store;
    history.store.leaves = async function* counted(log, from, to) {
      for await (const page of leaves.call(history.store, log, from, to)) {
        if (log === 'p0') read.push(...page.leaves.map(({ index }) => index));
        yield page;
      }
    };
    await history.sign();
    const { size } = await history.store.open('p0', history.logId);
    expect(size).toBeGreaterThan(1000n);
    expect(read.length).toBeLessThan(256 + 10);
    expect(read.at(-1)).toBe(size - 1n);
  });

  it('are the same after a rebuild, and after having been kept by nobody', async () => {
    const history = audited(92, { partitions: 1 });
    await history.round(130);
    const before = kept(history.store);
    await history.store.forget('p0');
    expect(kept(history.store)).toEqual([]);
    await new Auditor({ log: history.log, store: history.store, timers }).catchUp(0);
    await catchUpTerms(history.store, 'p0', history.logId, BigInt(before.length));
    expect(kept(history.store)).toEqual(before);
    history.store.keptTermBlocks.delete('p0');
    await history.round(20);
    expect(kept(history.store)).toEqual(expected(history.store).blocks);
    expect(history.store.keptNotes.findLast(({ log }) => log === 'p0')?.terms).toEqual([...expected(history.store).roots.values()].at(-1));
  });

  it('are not signed when kept blocks are not those that were signed before, or leaves are not the tree’s', async () => {
    const history = audited(93, { partitions: 1 });
    await history.round(130);
    const blocks = history.store.keptTermBlocks.get('p0')!;
    const [index, last] = [...blocks.entries()].at(-1)!;
    const forged = last.frontier.map((hash) => leafHash(hash));
    blocks.set(index, { ...last, frontier: forged });
    await history.writer.batch(3);
    await new Auditor({ log: history.log, store: history.store, timers }).catchUp(0);
    const signer = notary(history);
    await signer.sign();
    expect(signer.status().find(({ log }) => log === 'p0')).toMatchObject({
      state: 'stopped',
      problem: { code: 'STORE_CORRUPT', message: expect.stringContaining('kept term blocks') as string },
    });
    blocks.clear();
    const leaves = history.store.trees.get('p0')!.leaves;
    leaves[5] = { ...leaves[5]!, bytes: Buffer.from(String(leaves[5]!.bytes).replace('actor-', 'actor_')) };
    await expect(catchUpTerms(history.store, 'p0', history.logId, 1n)).rejects.toThrow('the leaves from 0 on');
    expect(blocks.size).toBe(0);
  });

  it('are compared by the verification of the store: blocks, notes and root leaves', async () => {
    const history = audited(95, { partitions: 1 });
    await history.round(130);
    const { store } = history;
    const blocks = store.keptTermBlocks.get('p0')!;
    const found = async (): Promise<unknown[]> => {
      const { findings } = await verifyStore({ store, vkey: testSigner.verifier.vkey });
      return findings.map(({ kind, where }) => [kind, where.tree, where.index]);
    };
    expect(await found()).toEqual([]);
    const [index, block] = [...blocks.entries()].at(-1)!;
    for (const other of [
      { ...block, summary: Buffer.from(block.summary.map((byte, at) => (at === 40 ? byte ^ 1 : byte))) },
      { ...block, frontier: block.frontier.map((hash) => leafHash(hash)) },
    ]) {
      blocks.set(index, other);
      expect(await found()).toEqual([['TERMS', 'p0', String(index * 256n)]]);
    }
    // What nobody kept yet is no tampering.
    blocks.delete(index);
    expect(await found()).toEqual([]);
    const at = store.keptNotes.findLastIndex(({ log }) => log === 'p0');
    const note = store.keptNotes[at]!;
    store.keptNotes[at] = { ...note, terms: leafHash(Buffer.from('x')) };
    expect(await found()).toEqual([
      ['TERMS', 'p0', String(note.size)],
      ['TERMS', 'root', String(note.rootIndex)],
    ]);
  });

  it('survive a crash at every call', async () => {
    let crashes = 0;
    for (let at = 1; ; at++) {
      const history = audited(94, { partitions: 1 });
      await history.round(6);
      for (let i = 0; i < 36; i++) await history.writer.batch(8);
      await new Auditor({ log: history.log, store: history.store, timers }).catchUp(0);
      let calls = 0;
      const crashing = new Proxy(history.store, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name, target);
          if (typeof value !== 'function') return value;
          return (...given: unknown[]) => {
            if (++calls >= at) throw new Error('crashed');
            return (value as (...all: unknown[]) => unknown).apply(target, given);
          };
        },
      });
      await notary(history, crashing).sign();
      if (calls < at) break;
      crashes++;
      await history.sign();
      const { roots, blocks } = expected(history.store);
      expect(kept(history.store)).toEqual(blocks);
      const last = history.store.keptNotes.findLast(({ log }) => log === 'p0');
      expect(last?.terms).toEqual(roots.get(last!.size));
    }
    expect(crashes).toBeGreaterThan(8);
  });
});
