import { Auditor } from '../auditor.js';
import type { AuditStore } from '../audit-store.js';
import { verifyStore, type StoreReport } from '../verify-store.js';
import { Frontier, generateSigner, leafHash, signCheckpointNote, treeSize } from '../tlog/index.js';
import { audited, testSigner, type Audited } from './audited.js';

/** What an attacker with the database can do, without any check on the way. Leaves are those of p0. */
export interface Attacker {
  leaf(index: number): Promise<Buffer>;
  /** Rows, by index, are replaced, removed or added. */
  put(index: number, bytes: Buffer): Promise<void>;
  remove(index: number): Promise<void>;
  /** Everything about p0 from `index` on disappears, and the head says so. */
  cut(index: number, head: { frontier: readonly Buffer[]; previousLeaf: Buffer | null; nextOffset: number }): Promise<void>;
  /** Stored hashes as a cheat would write them after changing leaves. */
  rewriteTree(leaves: readonly Buffer[]): Promise<void>;
  putNote(log: 'p0' | 'root', size: bigint, note: string, root: Buffer): Promise<void>;
  removeNotes(log: 'p0' | 'root', above: bigint): Promise<void>;
  refile(index: number, actor: string): Promise<void>;
}

export interface Scene {
  readonly history: Audited<AuditStore>;
  readonly attacker: Attacker;
  readonly size: number;
}

type Expected = { readonly kind: string; readonly tree?: string; readonly index?: string };

/** Row 7 on a store: every attack is found, named and located; with and without the event log at hand. */
export function describeTampering(name: string, scene: (seed: number) => Promise<Scene>): void {
  describe(`tampering with ${name}`, () => {
    let s: Scene;
    let seed = 700;
    let outsideNotes: string[];
    beforeEach(async () => {
      s = await scene(seed++);
      outsideNotes = [];
      for (const log of ['p0', 'root'] as const) outsideNotes.push((await s.history.store.latestNote(log, s.history.logId))?.note ?? '');
    });
    const verify = (more: { withLog?: boolean; outside?: boolean } = {}): Promise<StoreReport> =>
      verifyStore({
        store: s.history.store,
        vkey: testSigner.verifier.vkey,
        ...(more.withLog === true ? { log: s.history.log } : {}),
        ...(more.outside === true ? { outsideNotes } : {}),
      });
    const finds = async (expected: Expected, options?: { withLog?: boolean; outside?: boolean }): Promise<void> => {
      const report = await verify(options);
      const { kind, ...where } = expected;
      expect(report.findings).toContainEqual(expect.objectContaining({ kind, where: expect.objectContaining(where) as object }));
      expect(report.exitCode).toBeGreaterThan(9);
    };

    it('nothing: an honest store has no finding', async () => {
      const report = await verify({ withLog: true, outside: true });
      expect(report.findings).toEqual([]);
      expect(report.notShown).toEqual([]);
      expect(report.trees.map(({ log }) => log).toSorted()).toEqual(['p0', 'root']);
      expect(report.trees.find(({ log }) => log === 'p0')).toMatchObject({ leaves: s.size });
    });

    it('a leaf substituted', async () => {
      const leaf = (await s.attacker.leaf(7)).toString();
      await s.attacker.put(7, Buffer.from(leaf.replace(/"verdict":"\w+"/, '"verdict":"reused"')));
      await finds({ kind: 'LEAF', tree: 'p0', index: '7' });
      await finds({ kind: 'ROOT', tree: 'p0', index: '7' });
      await finds({ kind: 'LEAF', tree: 'p0', index: '7' }, { withLog: true });
    });

    it('any one byte of a leaf flipped', async () => {
      const honest = await s.attacker.leaf(5);
      const step = process.env['FABULA_TEST_LONG'] === undefined ? 97 : 1;
      for (let byte = 0; byte < honest.length; byte += step) {
        const changed = Buffer.from(honest);
        changed[byte]! ^= 1 << (byte % 8);
        await s.attacker.put(5, changed);
        await finds({ kind: 'LEAF', tree: 'p0', index: '5' });
      }
    });

    it('a leaf deleted', async () => {
      await s.attacker.remove(11);
      await finds({ kind: 'GAP', tree: 'p0', index: '11' });
      await finds({ kind: 'GAP', tree: 'p0', index: '11' }, { withLog: true });
    });

    it('a leaf put behind the head', async () => {
      await s.attacker.put(s.size, await s.attacker.leaf(3));
      await finds({ kind: 'REORDER', tree: 'p0', index: String(s.size) });
    });

    it('a leaf inserted in the middle, the others moved up', async () => {
      const leaves = await Promise.all(Array.from({ length: s.size }, (_, i) => s.attacker.leaf(i)));
      const inserted = leaves.toSpliced(6, 0, leaves[2] as Buffer).slice(0, s.size);
      for (let i = 6; i < s.size; i++) await s.attacker.put(i, inserted[i] as Buffer);
      await finds({ kind: 'REORDER', tree: 'p0', index: '2' });
    });

    it('two leaves swapped', async () => {
      const [a, b] = [await s.attacker.leaf(4), await s.attacker.leaf(5)];
      await s.attacker.put(4, b);
      await s.attacker.put(5, a);
      await finds({ kind: 'REORDER', tree: 'p0', index: '4' });
    });

    it('the tail cut off, with the head made to fit', async () => {
      const keep = s.size - 4;
      const frontier = new Frontier();
      for (let i = 0; i < keep; i++) frontier.append(leafHash(await s.attacker.leaf(i)));
      await s.attacker.cut(keep, { frontier: frontier.hashes, previousLeaf: leafHash(await s.attacker.leaf(keep - 1)), nextOffset: keep });
      await finds({ kind: 'TRUNCATION', tree: 'p0', index: String(keep) });
    });

    it('the whole chain and tree written anew after a change: the place by the log, the fact by the note', async () => {
      const leaves: Buffer[] = [];
      for (let i = 0; i < s.size; i++) {
        const leaf = JSON.parse((await s.attacker.leaf(i)).toString()) as Record<string, unknown>;
        const previousLeaf = i === 0 ? null : leafHash(leaves[i - 1] as Buffer).toString('hex');
        leaves.push(
          Buffer.from(
            JSON.stringify({
              ...leaf,
              previousLeaf,
              ...(i === 9 ? { verdict: leaf['verdict'] === 'accepted' ? 'conflict' : 'accepted' } : {}),
            }),
          ),
        );
      }
      for (const [i, leaf] of leaves.entries()) await s.attacker.put(i, leaf);
      await s.attacker.rewriteTree(leaves);
      const { size } = (await s.history.store.latestNote('p0', s.history.logId))!;
      await finds({ kind: 'ROOT', tree: 'p0', index: String(size) });
      await finds({ kind: 'LEAF', tree: 'p0', index: '9' }, { withLog: true });
      // With the signing key: only the log, or a note kept outside, shows it.
      const frontier = new Frontier();
      const roots = new Map<bigint, Buffer>();
      for (const leaf of leaves) {
        frontier.append(leafHash(leaf));
        roots.set(frontier.size, frontier.root());
      }
      for (const note of await s.history.store.notes('p0', s.history.logId, 0n, 1000)) {
        const root = roots.get(note.size) as Buffer;
        await s.attacker.putNote(
          'p0',
          note.size,
          signCheckpointNote({ origin: `fabula.test/audit/${s.history.logId}/p0`, size: treeSize(note.size), root }, testSigner),
          root,
        );
      }
      await finds({ kind: 'SIGNATURE', tree: 'root' });
      await finds({ kind: 'FORK', tree: 'p0', index: String(size) }, { outside: true });
    });

    it('everything rolled back to an earlier honest state', async () => {
      const notes = await s.history.store.notes('p0', s.history.logId, 0n, 1000);
      const rootNotes = await s.history.store.notes('root', s.history.logId, 0n, 1000);
      expect(notes.length).toBeGreaterThan(1);
      await s.attacker.removeNotes('p0', notes[0]!.size);
      await s.attacker.removeNotes('root', rootNotes[0]!.size);
      await finds({ kind: 'TRUNCATION', tree: 'p0' }, { outside: true });
    });

    it('a note forged, replaced or removed', async () => {
      const note = (await s.history.store.latestNote('p0', s.history.logId))!;
      const says = { origin: `fabula.test/audit/${s.history.logId}/p0`, size: treeSize(note.size), root: leafHash(Buffer.from('x')) };
      await s.attacker.putNote('p0', note.size, signCheckpointNote(says, generateSigner('fabula.test/audit')), says.root);
      await finds({ kind: 'SIGNATURE', tree: 'p0', index: String(note.size) });
      await s.attacker.putNote('p0', note.size, note.note, says.root);
      await finds({ kind: 'SIGNATURE', tree: 'p0', index: String(note.size) });
      await s.attacker.putNote('p0', note.size, signCheckpointNote(says, testSigner), says.root);
      await finds({ kind: 'ROOT', tree: 'p0', index: String(note.size) });
      await s.attacker.removeNotes('p0', note.size - 1n);
      await finds({ kind: 'GAP', tree: 'root', index: String(note.rootIndex) });
    });

    it('a leaf filed under somebody else', async () => {
      await s.attacker.refile(8, 'somebody-else');
      await finds({ kind: 'LEAF', tree: 'p0', index: '8' });
    });

    it('records put into or taken out of the log afterwards', async () => {
      const other = audited(s.history.logId === 'log-1' ? 2 : 1, { partitions: 1 });
      await other.round(2);
      const report = await verifyStore({ store: s.history.store, vkey: testSigner.verifier.vkey, log: other.log });
      expect(report.findings.some(({ kind, where }) => kind === 'LEAF' && where.index === '0')).toBe(true);
      const report2 = await verifyStore({ store: s.history.store, vkey: generateSigner('fabula.test/audit').verifier.vkey });
      expect(report2.findings[0]).toMatchObject({ kind: 'SIGNATURE' });
    });

    it('does not hide from an auditor that goes on', async () => {
      await s.attacker.remove(2);
      await s.history.writer.batch(3);
      const auditor = new Auditor({ log: s.history.log, store: s.history.store, timers: { after: () => () => undefined } });
      await auditor.catchUp(0);
      await finds({ kind: 'GAP', tree: 'p0', index: '2' });
    });
  });
}
