import type { Timers } from '#lib/platform';
import { Auditor } from '../auditor.js';
import { MemoryAuditStore } from '../memory/memory-audit-store.js';
import { Notary, type NotaryOptions } from '../notary.js';
import { history } from '../testing/histories.js';
import {
  formatTrust,
  generateSigner,
  openNote,
  openTrustedNote,
  parseTrust,
  signCheckpointNote,
  treeSize,
  UnverifiedNote,
  type NoteSigner,
} from '../tlog/index.js';
import { verifyStore } from '../verify-store.js';
import { announceKey, KeyRefused } from './announce-key.js';
import { trustOf } from './kept-keys.js';

const noTimers: Timers = { after: () => () => undefined };
const [older, newer, third] = [1, 2, 3].map(() => generateSigner('fabula.test/audit')) as [NoteSigner, NoteSigner, NoteSigner];
const DAY = 86_400_000;

function bench(seed = 70) {
  const { log, writer } = history(seed, 1);
  const store = new MemoryAuditStore();
  const auditor = new Auditor({ log, store, timers: noTimers });
  const logId = `log-${seed}`;
  const clock = { time: 1_800_000_000_000, now: () => clock.time };
  const notary = (signers: readonly NoteSigner[], options: Partial<NotaryOptions> = {}): Notary =>
    new Notary({ store, logId, partitions: 1, signers, clock, timers: noTimers, ...options });
  const grow = async (): Promise<void> => {
    await writer.batch(7);
    await auditor.catchUp(0);
    clock.time += 1_000;
  };
  const note = async (tree: 'p0' | 'root' = 'p0'): Promise<string> => (await store.latestNote(tree, logId))?.note ?? '';
  const announce = (key: NoteSigner) => announceKey({ store, logId, vkey: key.verifier.vkey, now: clock.now() });
  const policy = async (): Promise<string> => formatTrust(trustOf(await store.signingKeys(logId)));
  return { log, store, logId, clock, notary, grow, note, announce, policy };
}
const signersOf = (note: string): number[] => {
  const all = [older, newer, third];
  return all.flatMap(({ verifier }, i) => {
    try {
      return openNote(note, [verifier]).verified.length > 0 ? [i] : [];
    } catch (error) {
      if (error instanceof UnverifiedNote) return [];
      throw error;
    }
  });
};

describe('replacing the signing key', () => {
  it('lets both keys sign for a while, then the new one alone, and every note verifies by the policy that follows', async () => {
    const b = bench();
    await b.grow();
    await b.notary([older]).sign();
    expect(signersOf(await b.note())).toEqual([0]);
    const announced = await b.announce(newer);
    expect(await b.announce(newer)).toEqual(announced);
    const size = (await b.store.latestNote('p0', b.logId))?.size;
    expect(announced.since).toEqual({ p0: String(size), root: '1' });

    const both = b.notary([older, newer]);
    await both.sign();
    expect(both.status().map(({ state }) => state)).toEqual(['current', 'current']);
    await b.grow();
    await both.sign();
    expect(signersOf(await b.note())).toEqual([0, 1]);
    expect(signersOf(await b.note('root'))).toEqual([0, 1]);
    b.clock.time += 7 * DAY;
    await b.grow();
    await both.sign();
    expect(signersOf(await b.note())).toEqual([1]);

    const policy = await b.policy();
    expect(policy).toBe(`log ${newer.verifier.vkey}\nlog-until ${older.verifier.vkey} p0=${size} root=1\n`);
    expect(await verifyStore({ store: b.store, vkey: policy, log: b.log })).toMatchObject({ ok: true, findings: [] });
    // Who knows the new key alone is told of the notes from before it; who knows the old one alone, of those after the overlap.
    for (const { verifier } of [newer, older]) {
      const { findings } = await verifyStore({ store: b.store, vkey: verifier.vkey, log: b.log });
      expect(findings.map(({ kind }) => kind)).toEqual(['SIGNATURE', 'SIGNATURE']);
    }
  });

  it('leaves the old key no say beyond the stated sizes: its notes are refused by verifiers, by the notary and in the store', async () => {
    const b = bench(71);
    await b.grow();
    await b.notary([older]).sign();
    await b.announce(newer);
    await b.grow();
    await b.notary([newer, older], { overlapMs: 0 }).sign();
    const genuine = await b.store.latestNote('p0', b.logId);
    const forged = signCheckpointNote(
      { origin: `fabula.test/audit/${b.logId}/p0`, size: treeSize(genuine?.size ?? 0n), root: genuine?.root as Buffer },
      older,
    );
    const keys = parseTrust(await b.policy());
    expect(openTrustedNote(genuine?.note ?? '', keys).size).toBe(genuine?.size);
    expect(() => openTrustedNote(forged, keys)).toThrow(/replaced/);
    const at = b.store.keptNotes.findIndex(({ note }) => note === genuine?.note);
    b.store.keptNotes[at] = { ...b.store.keptNotes[at]!, note: forged };
    const { findings } = await verifyStore({ store: b.store, vkey: await b.policy(), log: b.log });
    expect(findings).toContainEqual(expect.objectContaining({ kind: 'SIGNATURE', message: expect.stringContaining('replaced') as string }));
    // Former keys have no private half here any more.
    const notary = b.notary([newer], { reloadKeys: () => Promise.resolve({ signers: [newer], former: [older.verifier] }) });
    await notary.sign();
    expect(notary.status()[0]).toMatchObject({
      state: 'stopped',
      problem: { code: 'NOTE_DISAGREES', message: expect.stringContaining('replaced') as string },
    });
  });

  it('stops a process that has only the old key before it signs anything more, until it is given the new one', async () => {
    const b = bench(72);
    await b.grow();
    let given: readonly NoteSigner[] = [older];
    const left = b.notary([older], { reloadKeys: () => Promise.resolve({ signers: given, former: [] }) });
    await left.sign();
    await b.announce(newer);
    await b.grow();
    const count = b.store.keptNotes.length;
    await left.sign();
    expect(left.status().find(({ log }) => log === 'root')?.problem).toMatchObject({ code: 'KEY_MISSING' });
    expect(b.store.keptNotes).toHaveLength(count);
    given = [older, newer];
    left.resume();
    await left.sign();
    expect(left.status().map(({ state }) => state)).toEqual(['current', 'current']);
    expect(signersOf(await b.note('root'))).toEqual([0, 1]);
  });

  it('goes on over several keys, and takes none twice, none of another name and none before anything is signed', async () => {
    const b = bench(73);
    await expect(b.announce(newer)).rejects.toThrow(KeyRefused);
    await b.grow();
    const notary = b.notary([older, newer, third], { overlapMs: 0 });
    await notary.sign();
    for (const key of [newer, third]) {
      await b.announce(key);
      await b.grow();
      await notary.sign();
    }
    await expect(b.announce(older)).rejects.toThrow(/replaced before/);
    await expect(b.announce(generateSigner('another/name'))).rejects.toThrow(/name/);
    expect(signersOf(await b.note())).toEqual([2]);
    expect((await b.policy()).split('\n').map((line) => line.split(' ')[0])).toEqual(['log', 'log-until', 'log-until', '']);
    expect((await verifyStore({ store: b.store, vkey: await b.policy(), log: b.log })).findings).toEqual([]);
    // A key that somebody put into the store, but that this process was never given, is not believed.
    const own = await b.store.signingKeys(b.logId);
    b.store.keptKeys.set(b.logId, [
      ...own,
      { vkey: generateSigner('fabula.test/audit').verifier.vkey, since: {}, until: null, announcedAt: 1 },
    ]);
    await b.grow();
    await notary.sign();
    expect(notary.status().find(({ log }) => log === 'root')?.problem?.code).toBe('KEY_MISSING');
  });
});
