import { verified } from '../../../test/support/verification.js';
import type { KeptNote } from './audit-store.js';
import type { FindingKind } from './bundle/findings.js';
import { verifyBundle, type BundleReport } from './bundle/verify-bundle.js';
import { MemoryAuditStore } from './memory/memory-audit-store.js';
import { audited, bundleOf, streamed, testSigner, type Audited } from './testing/audited.js';
import { colluded, edited, rechained, rewritten, rows } from './testing/forging.js';
import { pack, unpack, withLeaves, withManifest } from './testing/tampering.js';
import { verifyStore, type StoreReport } from './verify-store.js';

const { vkey } = testSigner.verifier;
const AT = 5;

interface Attack {
  readonly what: string;
  readonly change: (leaves: readonly Buffer[]) => Buffer[];
  /** What a verifier calls it when only bytes are changed, and the leaf that it names. */
  readonly kind: FindingKind;
  readonly index: number | undefined;
  /** First leaf that is another one once everything is chained anew. */
  readonly from: number;
}

const verdictOf = (leaf: Buffer): string => (JSON.parse(leaf.toString()) as { readonly verdict: string }).verdict;
const flipped = (leaf: Buffer): Buffer => {
  const bytes = Buffer.from(leaf);
  // A digit of the record's digest: still a leaf.
  const at = bytes.indexOf('"record":"') + 10;
  bytes[at] = bytes[at] === 0x30 ? 0x31 : 0x30;
  return bytes;
};
const one = (change: (leaf: Buffer) => Buffer) => (leaves: readonly Buffer[]) => leaves.with(AT, change(leaves[AT] as Buffer));
const at = (leaves: readonly Buffer[], index: number): Buffer => leaves.at(index) as Buffer;

/** Each is tried on the store and on the export, by somebody without the signing key and by somebody with it. */
const attacks: readonly Attack[] = [
  {
    what: 'a verdict turned',
    change: one((leaf) => edited(leaf, { verdict: verdictOf(leaf) === 'accepted' ? 'conflict' : 'accepted' })),
    kind: 'LEAF',
    index: AT,
    from: AT,
  },
  { what: 'one digit of a digest', change: one(flipped), kind: 'LEAF', index: AT, from: AT },
  {
    what: 'a deed laid on somebody else',
    change: one((leaf) => edited(leaf, { actor: { id: 'somebody-else', role: 'reader' } })),
    kind: 'LEAF',
    index: AT,
    from: AT,
  },
  { what: 'a leaf dated back', change: one((leaf) => edited(leaf, { time: '1600000000000' })), kind: 'LEAF', index: AT, from: AT },
  {
    what: 'another choice put in',
    change: one((leaf) => edited(leaf, { events: [{ type: 'ChoiceMade', v: 1, choice: 'the-other-door' }] })),
    kind: 'LEAF',
    index: AT,
    from: AT,
  },
  { what: 'a leaf taken out', change: (leaves) => leaves.toSpliced(AT, 1), kind: 'GAP', index: AT, from: AT },
  { what: 'the first leaf taken out', change: (leaves) => leaves.slice(1), kind: 'GAP', index: 0, from: 0 },
  { what: 'a run of leaves taken out', change: (leaves) => leaves.toSpliced(3, 3), kind: 'GAP', index: 3, from: 3 },
  {
    what: 'a forged leaf put in',
    change: (leaves) => leaves.toSpliced(AT, 0, edited(at(leaves, AT), { actor: { id: 'never-was', role: 'reader' } })),
    kind: 'REORDER',
    index: AT,
    from: AT,
  },
  { what: 'a leaf repeated', change: (leaves) => leaves.toSpliced(AT, 0, at(leaves, AT - 1)), kind: 'REORDER', index: AT - 1, from: AT },
  {
    what: 'neighbours swapped',
    change: (leaves) => leaves.toSpliced(4, 2, at(leaves, 5), at(leaves, 4)),
    kind: 'REORDER',
    index: 4,
    from: 4,
  },
  {
    what: 'distant leaves swapped',
    change: (leaves) => leaves.with(2, at(leaves, 7)).with(7, at(leaves, 2)),
    kind: 'REORDER',
    index: undefined,
    from: 2,
  },
  { what: 'the tail cut off', change: (leaves) => leaves.slice(0, -3), kind: 'TRUNCATION', index: -3, from: -3 },
  { what: 'a leaf put behind the last', change: (leaves) => [...leaves, at(leaves, 3)], kind: 'REORDER', index: 3, from: -1 },
  {
    what: "another log's leaf in the place of one",
    change: one((leaf) => edited(leaf, { log: 'log-of-somebody' })),
    kind: 'LEAF',
    index: AT,
    from: AT,
  },
  { what: 'a leaf emptied', change: one(() => Buffer.from('{}')), kind: 'LEAF', index: AT, from: AT },
];

describe('tampering by attack, target and key', () => {
  let seed = 4_000;
  let history: Audited<MemoryAuditStore>;
  let honest: readonly Buffer[];
  let notes: readonly KeptNote[];
  const counted = { kinds: attacks.length, forgeries: 0, namedAndLocated: 0 };
  afterAll(() => verified('5.3 tampering', () => Promise.resolve(counted)));
  beforeEach(async () => {
    history = audited(seed++, { partitions: 1 });
    await history.round(6);
    await history.round(6);
    honest = (history.store.trees.get('p0')?.leaves ?? []).map(({ bytes }) => bytes);
    notes = await history.store.notes('p0', history.logId, 0n, 1_000);
    expect(honest.length).toBeGreaterThan(12);
    expect(notes.length).toBeGreaterThan(1);
  });

  const indexOf = (index: number): string => String(index < 0 ? honest.length + index : index);
  const found = (report: StoreReport | BundleReport, kind: FindingKind, index?: string): void => {
    counted.forgeries++;
    expect(report.ok).toBe(false);
    expect(report.exitCode).toBeGreaterThan(9);
    expect(report.findings).toContainEqual(
      expect.objectContaining({
        kind,
        where: expect.objectContaining({ tree: 'p0', ...(index === undefined ? {} : { index }) }) as object,
      }),
    );
    counted.namedAndLocated++;
  };
  const located = ({ kind, index }: Attack): [FindingKind, string | undefined] => [kind, index === undefined ? undefined : indexOf(index)];
  /** The first note that speaks of a forged leaf: one such note kept elsewhere is enough. */
  const telling = ({ from, kind }: Attack): KeptNote => {
    const after = kind === 'TRUNCATION' ? BigInt(honest.length) : BigInt(indexOf(from)) + 1n;
    return notes.find(({ size }) => size >= after) as KeptNote;
  };
  const canBeChained = ({ what }: Attack): boolean => what !== 'a leaf emptied' && !what.startsWith("another log's");

  it.each(attacks)('store, without the key, rows alone: $what', async (attack) => {
    const tree = history.store.trees.get('p0')!;
    tree.leaves = attack.change(honest).map((bytes, i) => ({ ...(tree.leaves[i] ?? tree.leaves.at(-1)!), index: BigInt(i), bytes }));
    const behind = attack.what === 'a leaf put behind the last';
    const report = await verifyStore({ store: history.store, vkey });
    if (behind) found(report, 'REORDER', String(honest.length));
    else found(report, ...located(attack));
  });

  it.each(attacks.filter(canBeChained))('store, without the key, chain, hashes and head made to fit: $what', async (attack) => {
    rewritten(history.store, rechained(attack.change(honest)));
    const report = await verifyStore({ store: history.store, vkey });
    if (attack.what === 'a leaf put behind the last') {
      // It continues the signed tree: only the log tells that there was no such record.
      found(await verifyStore({ store: history.store, vkey, log: history.log }), 'REORDER', String(honest.length));
      return;
    }
    if (attack.kind === 'TRUNCATION') return found(report, 'TRUNCATION', indexOf(-3));
    found(report, 'ROOT', String(telling(attack).size));
    found(await verifyStore({ store: history.store, vkey, log: history.log }), 'LEAF', indexOf(attack.from));
  });

  it.each(attacks.filter(canBeChained))('store, with the key, everything signed anew: $what', async (attack) => {
    const store = await collude(attack);
    // Nobody could tell from this store alone: that is what notes kept elsewhere are for.
    expect((await verifyStore({ store, vkey })).findings).toEqual([]);
    if (attack.what === 'a leaf put behind the last') {
      found(await verifyStore({ store, vkey, log: history.log }), 'REORDER', String(honest.length));
      return;
    }
    const { note, size } = telling(attack);
    found(await verifyStore({ store, vkey, outsideNotes: [note] }), ...told(store, size));
    if (attack.kind !== 'TRUNCATION') found(await verifyStore({ store, vkey, log: history.log }), 'LEAF', indexOf(attack.from));
  });

  it.each(attacks)('export, with and without the key of its manifest: $what', async (attack) => {
    const files = await unpack(await history.bundle([{ log: 'p0', from: 0n }]));
    const tampered = withLeaves(files, 'p0', (lines) => attack.change(lines.map((line) => Buffer.from(line))).map(String));
    for (const given of [tampered, withManifest(tampered), withManifest(tampered, testSigner)])
      found(await verifyBundle(streamed(pack(given)), { vkey }), ...located(attack));
  });

  it.each(attacks.filter(canBeChained))('export, with the key, of a history signed anew: $what', async (attack) => {
    const store = await collude(attack);
    const bundle = await bundleOf({ ...history, store }, { ranges: [{ log: 'p0', from: 0n }] });
    expect((await verifyBundle(streamed(bundle), { vkey })).findings).toEqual([]);
    if (attack.what === 'a leaf put behind the last') return;
    const { note, size } = telling(attack);
    found(await verifyBundle(streamed(bundle), { vkey, previousNotes: [note] }), told(store, size)[0]);
  });

  it('finds a stored hash, a head and a note of the root tree changed, and names them', async () => {
    const { store } = history;
    const tree = store.trees.get('p0')!;
    const tile = Buffer.from(tree.tiles.get('0/0') as Buffer);
    tile[3 * 32]! ^= 1;
    tree.tiles.set('0/0', tile);
    found(await verifyStore({ store, vkey }), 'ROOT', '3');
    const root = store.trees.get('root')!;
    const said = root.leaves[0]!;
    root.leaves[0] = { ...said, bytes: edited(said.bytes, { time: '1' }) };
    const report = await verifyStore({ store, vkey });
    expect(report.findings).toContainEqual(
      expect.objectContaining({ kind: 'ROOT', where: expect.objectContaining({ tree: 'root' }) as object }),
    );
  });

  it('numbers and chains a forged history as the auditor would an honest one', () => {
    expect(rechained(honest).map(String)).toEqual(honest.map(String));
    expect(rows(honest)).toEqual(history.store.trees.get('p0')?.leaves);
  });

  function collude(attack: Attack): Promise<MemoryAuditStore> {
    return colluded(
      history.logId,
      testSigner,
      rechained(attack.change(honest)),
      notes.map(({ size }) => size),
    );
  }
  /** What the outside note of that size says about a forged store: another history, or one that was cut. */
  function told(store: MemoryAuditStore, size: bigint): [FindingKind, string] {
    const shorter = (store.trees.get('p0')?.head.size ?? 0n) < size;
    return [shorter ? 'TRUNCATION' : 'FORK', String(size)];
  }
});
