import type { Clock, Timers } from '#lib/platform';
import { Auditor } from './auditor.js';
import type { AuditStore } from './audit-store.js';
import { MemoryAuditStore } from './memory/memory-audit-store.js';
import { Notary, type NotaryOptions, type NotaryStatus } from './notary.js';
import type { NoteKeeper } from './note-keeper.js';
import { Proofs, ProofRefused } from './proofs.js';
import type { RootLeaf } from './root-leaf.js';
import { history, type History } from './testing/histories.js';
import {
  checkConsistency,
  checkInclusion,
  generateSigner,
  leafHash,
  leafIndex,
  openCheckpointNote,
  treeSize,
  type CheckpointNote,
} from './tlog/index.js';

const noTimers: Timers = { after: () => () => undefined };
const signer = generateSigner('fabula.test/audit');

class MemoryKeeper implements NoteKeeper {
  readonly notes = new Map<string, string>();
  newest(log: string): Promise<string | undefined> {
    return Promise.resolve(this.notes.get(log));
  }
  keep(log: string, note: string): Promise<void> {
    this.notes.set(log, note);
    return Promise.resolve();
  }
}

interface Bench extends History {
  readonly store: MemoryAuditStore;
  readonly keeper: MemoryKeeper;
  readonly clock: Clock & { time: number };
  grow(size: number): Promise<void>;
  notary(options?: Partial<NotaryOptions>): Notary;
}
function bench(seed: number, partitions = 2): Bench {
  const made = history(seed, partitions);
  const store = new MemoryAuditStore();
  const auditor = new Auditor({ log: made.log, store, timers: noTimers });
  const clock = { time: 1_800_000_000_000, now: () => clock.time };
  const keeper = new MemoryKeeper();
  return {
    ...made,
    store,
    keeper,
    clock,
    async grow(size) {
      for (let i = 0; i < 4; i++) await made.writer.batch(size);
      for (let partition = 0; partition < partitions; partition++) await auditor.catchUp(partition);
    },
    notary: (options) =>
      new Notary({ store, logId: `log-${seed}`, partitions, signers: [signer], clock, timers: noTimers, keeper, ...options }),
  };
}
const problems = (notary: Notary): (string | undefined)[] => notary.status().map((status: NotaryStatus) => status.problem?.code);
const opened = async (store: AuditStore, log: 'p0' | 'root', seed: number): Promise<CheckpointNote> =>
  openCheckpointNote((await store.latestNote(log, `log-${seed}`))?.note ?? '', [signer.verifier]);

describe('the notary', () => {
  it('signs each grown tree and a root over the notes, all provable against each other', async () => {
    const b = bench(30);
    const notary = b.notary();
    const roots: CheckpointNote[] = [];
    const firsts: CheckpointNote[] = [];
    for (let round = 0; round < 5; round++) {
      await b.grow(20);
      b.clock.time += 10_000;
      await notary.sign();
      roots.push(await opened(b.store, 'root', 30));
      firsts.push(await opened(b.store, 'p0', 30));
    }
    expect(problems(notary)).toEqual([undefined, undefined, undefined]);
    const proofs = new Proofs(b.store, 'log-30');
    const last = roots.at(-1) as CheckpointNote;
    expect(last.origin).toBe('fabula.test/audit/log-30/root');
    for (const [series, log] of [
      [roots, 'root'],
      [firsts, 'p0'],
    ] as const) {
      for (let i = 1; i < series.length; i++) {
        const [a, z] = [series[i - 1] as CheckpointNote, series[i] as CheckpointNote];
        const { hashes } = await proofs.consistency(log, a.size, z.size);
        expect(checkConsistency(hashes, z.size, z.root, a.size, a.root)).toBe(true);
      }
    }
    const kept = await b.store.latestNote('p0', 'log-30');
    const { leaf, hashes } = await proofs.inclusion('root', kept?.rootIndex as bigint, last.size);
    expect((JSON.parse(leaf.toString()) as RootLeaf).note).toBe(kept?.note);
    expect(checkInclusion(hashes, last.size, last.root, leafIndex(kept?.rootIndex as bigint), leafHash(leaf))).toBe(true);
    expect(b.keeper.notes.get('p0')).toBe(kept?.note);
    await expect(proofs.inclusion('p0', 0n, 10_000n)).rejects.toThrow(ProofRefused);
    await expect(proofs.consistency('p0', 5n, 4n)).rejects.toThrow(ProofRefused);
    await expect(proofs.inclusion('p9', 0n, 1n)).rejects.toThrow(ProofRefused);
    expect(await proofs.consistency('p0', 0n, 4n)).toMatchObject({ hashes: [] });
    expect(treeSize(last.size)).toBe(await b.store.open('root', 'log-30').then((head) => head.size));
  });

  it('signs nothing twice: not when idle, not beside another notary; republishes an idle note in time', async () => {
    const b = bench(31, 1);
    await b.grow(10);
    const notaries = [b.notary(), b.notary(), b.notary()];
    await Promise.all(notaries.map((notary) => notary.sign()));
    expect(notaries.flatMap(problems)).toEqual(notaries.flatMap(() => [undefined, undefined]));
    const count = b.store.keptNotes.length;
    expect(count).toBe(2);
    b.clock.time += 599_999;
    await b.notary().sign();
    const published = (): number[] => b.store.keptNotes.map((note) => note.publishedAt);
    expect(published()).toEqual([1_800_000_000_000, 1_800_000_000_000]);
    b.clock.time += 1;
    await b.notary().sign();
    expect(published()).toEqual([b.clock.time, b.clock.time]);
    expect(b.store.keptNotes).toHaveLength(count);
  });

  it('asks two questions for all trees while nothing grows, and looks again at what grew, is due or was changed', async () => {
    const b = bench(30);
    await b.grow(20);
    const asked: string[] = [];
    const keeper = Object.assign(new MemoryKeeper(), {
      newest: (log: string) => (asked.push(`keeper ${log}`), b.keeper.newest(log)),
      keep: (log: string, note: string) => b.keeper.keep(log, note),
    });
    const notary = b.notary({ store: counting(b.store, asked), keeper });
    const round = async (): Promise<readonly string[]> => {
      asked.length = 0;
      await notary.sign();
      return [...asked];
    };
    await round();
    // What it signed it looks at once more.
    expect(await round()).toContain('keeper p1');
    expect(await round()).toEqual(['heads', 'latestNotes']);
    const statuses = notary.status();
    expect(statuses.map(({ state }) => state)).toEqual(['current', 'current', 'current']);

    await b.grow(1);
    const before = b.store.keptNotes.length;
    await round();
    expect(b.store.keptNotes.length).toBeGreaterThan(before);
    await round();
    expect(await round()).toEqual(['heads', 'latestNotes']);

    b.clock.time += 600_000;
    expect(await round()).toContain('republish');
    await round();
    expect(await round()).toEqual(['heads', 'latestNotes']);

    // A note in place of the one that was checked.
    const place = b.store.keptNotes.findLastIndex(({ log }) => log === 'p1');
    const honest = b.store.keptNotes[place]!;
    b.store.keptNotes[place] = { ...honest, root: leafHash(Buffer.from('x')) };
    await round();
    expect(problems(notary)).toEqual([undefined, 'NOTE_DISAGREES', undefined]);
    b.store.keptNotes[place] = honest;
    notary.resume();
    await round();
    expect(problems(notary)).toEqual([undefined, undefined, undefined]);
    // The whole store set back, while it runs.
    const older = b.store.keptNotes.splice(place);
    await round();
    expect(problems(notary)).toContain('NOTE_DISAGREES');
    b.store.keptNotes.push(...older);
  });

  it('never signs a tree whose stored bytes contradict it, and says where', async () => {
    const cases: [string, (b: Bench) => void, RegExp][] = [
      ['a leaf changed since the last note', (b) => flip(b.store.trees.get('p0')!.leaves.at(-2)!.bytes), /leaf \d+ has another hash/],
      ['a stored leaf hash changed', (b) => flip(b.store.trees.get('p0')!.tiles.get('0/0')!, 32 * 5), /not give the root signed/],
      ['a leaf gone', (b) => void b.store.trees.get('p0')!.leaves.splice(-3, 1), /leaf \d+ is missing/],
      ['the tail gone', (b) => void b.store.trees.get('p0')!.leaves.pop(), /is missing, the head counts/],
      ['another frontier', (b) => flip(b.store.trees.get('p0')!.head.frontier.at(-1)!), /another frontier/],
      ['tiles gone', (b) => void b.store.trees.get('p0')!.tiles.delete('0/0'), /tile 0\/0 holds 0/],
      [
        'a forged note',
        (b) => void b.store.keptNotes.splice(0, 1, { ...b.store.keptNotes[0]!, root: leafHash(Buffer.from('x')) }),
        /not ours/,
      ],
      [
        'a note of another key',
        (b) =>
          void b.store.keptNotes.splice(0, 1, { ...b.store.keptNotes[0]!, note: b.store.keptNotes[0]!.note.replace(/\w=*\n$/, 'AAAA\n') }),
        /not ours/,
      ],
    ];
    for (const [name, tamper, message] of cases) {
      const b = bench(32, 1);
      await b.grow(4);
      await b.notary().sign();
      await b.grow(4);
      const before = b.store.keptNotes.length;
      tamper(b);
      const notary = b.notary({ keeper: undefined });
      await notary.sign();
      expect([name, notary.status()[0]]).toEqual([name, expect.objectContaining({ state: 'stopped' })]);
      expect([name, notary.status()[0]?.problem?.message]).toEqual([name, expect.stringMatching(message)]);
      expect([name, b.store.keptNotes.length]).toEqual([name, before]);
    }
  });

  it('does not take what another notary keeps while it looks for a store that was set back', async () => {
    const b = bench(21, 1);
    await b.grow(3);
    await b.notary().sign();
    await b.grow(3);
    let looks = 0;
    const store = Object.assign(Object.create(b.store) as MemoryAuditStore, {
      async latestNote(...asked: Parameters<AuditStore['latestNote']>) {
        const found = await b.store.latestNote(...asked);
        if (looks++ === 0) await b.notary().sign();
        return found;
      },
    });
    const notary = b.notary({ store });
    await notary.sign();
    expect(looks).toBeGreaterThan(0);
    expect(problems(notary).filter((code) => code !== undefined)).toEqual([]);
  });

  it('releases no root note that another notary was ahead of: outside lie only notes that the store knows', async () => {
    const b = bench(22);
    await b.grow(3);
    const other = b.notary({ keeper: new MemoryKeeper() });
    let transactions = 0;
    const store = Object.assign(Object.create(b.store) as MemoryAuditStore, {
      async transact(...[log, work]: Parameters<AuditStore['transact']>) {
        // The first looks for a forgotten root tree, the second keeps the partitions' notes, the third the root note.
        if (log === 'root' && ++transactions === 3) {
          await b.grow(3);
          await other.sign();
        }
        return b.store.transact(log, work);
      },
    });
    const notary = b.notary({ store });
    await notary.sign();
    expect(transactions).toBe(3);
    expect(b.keeper.notes.has('root')).toBe(false);
    await notary.sign();
    await b.grow(3);
    await notary.sign();
    const { size } = openCheckpointNote(b.keeper.notes.get('root') ?? '', [signer.verifier]);
    expect((await b.store.notes('root', 'log-22', size - 1n, 1))[0]?.size).toBe(size);
    expect(problems(notary)).toEqual([undefined, undefined, undefined]);
  });

  it('notices by a note kept outside that the whole store was set back', async () => {
    const b = bench(33, 1);
    await b.grow(5);
    await b.notary().sign();
    const older = structuredCloneStore(b.store);
    await b.grow(5);
    await b.notary().sign();
    const notary = b.notary({ store: older });
    await notary.sign();
    expect(problems(notary)).toEqual(['NOTE_DISAGREES', 'NOTE_DISAGREES']);
    const unaware = b.notary({ store: older, keeper: undefined });
    await unaware.sign();
    expect(problems(unaware)).toEqual([undefined, undefined]);
  });

  it('waits while a tree is rebuilt, and rebuilds the root tree from the notes', async () => {
    const b = bench(34, 1);
    for (let round = 0; round < 3; round++) {
      await b.grow(5);
      await b.notary().sign();
    }
    const root = await b.store.open('root', 'log-34');
    await b.store.forget('p0');
    await b.store.forget('root');
    const notary = b.notary();
    await notary.sign();
    expect(notary.status().map((status) => status.state)).toEqual(['behind', 'current']);
    expect(await b.store.open('root', 'log-34')).toEqual(root);
    await b.grow(1);
    await notary.sign();
    expect(notary.status().map((status) => status.state)).toEqual(['current', 'current']);
  });

  it('says that a settled tree is current again once it was rebuilt to the size of its note', async () => {
    const b = bench(34, 1);
    await b.grow(5);
    const notary = b.notary();
    for (let round = 0; round < 3; round++) await notary.sign();
    await b.store.forget('p0');
    await notary.sign();
    expect(notary.status().map((status) => status.state)).toEqual(['behind', 'current']);
    await new Auditor({ log: b.log, store: b.store, timers: noTimers }).catchUp(0);
    await notary.sign();
    expect(notary.status().map((status) => status.state)).toEqual(['current', 'current']);
  });

  it('survives a crash at every call to the store: notes stay consistent and signing goes on', async () => {
    const proofsChecked: number[] = [];
    for (let crash = 1; crash <= 25; crash++) {
      const b = bench(35, 2);
      await b.grow(6);
      await b.notary().sign();
      await b.grow(6);
      await b.notary({ store: crashing(b.store, crash) }).sign();
      const notary = b.notary();
      await notary.sign();
      expect(problems(notary)).toEqual([undefined, undefined, undefined]);
      const notes = await b.store.notes('root', 'log-35', 0n, 100);
      const proofs = new Proofs(b.store, 'log-35');
      for (let i = 1; i < notes.length; i++) {
        const [a, z] = [notes[i - 1]!, notes[i]!];
        const { hashes } = await proofs.consistency('root', a.size, z.size);
        expect(checkConsistency(hashes, treeSize(z.size), z.root, treeSize(a.size), a.root)).toBe(true);
        proofsChecked.push(crash);
      }
      expect(notes.at(-1)?.size).toBe((await b.store.open('root', 'log-35')).size);
    }
    expect(proofsChecked).toHaveLength(25);
  });
});

function flip(bytes: Buffer, at = 3): void {
  bytes[at]! ^= 1;
}
function structuredCloneStore(store: MemoryAuditStore): MemoryAuditStore {
  const copy = new MemoryAuditStore();
  for (const [log, tree] of store.trees) {
    copy.trees.set(log, { head: tree.head, leaves: [...tree.leaves], accepted: new Map(tree.accepted), tiles: new Map(tree.tiles) });
  }
  copy.keptNotes.push(...store.keptNotes);
  return copy;
}
/** A store that writes down what it was asked for. */
function counting(store: MemoryAuditStore, asked: string[]): AuditStore {
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...given: unknown[]) => {
        asked.push(String(name));
        return (value as (...all: unknown[]) => unknown).apply(target, given);
      };
    },
  });
}
/** A store whose n-th call, and every one after it, fails. */
function crashing(store: MemoryAuditStore, at: number): AuditStore {
  let calls = 0;
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...given: unknown[]) => {
        if (++calls >= at) throw new Error('crashed');
        return (value as (...all: unknown[]) => unknown).apply(target, given);
      };
    },
  });
}
