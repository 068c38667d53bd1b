import fc from 'fast-check';
import { isLong } from '../../../../test/support/requirement.js';
import { verified } from '../../../../test/support/verification.js';
import { Auditor } from '../auditor.js';
import type { MemoryAuditStore } from '../memory/memory-audit-store.js';
import type { RootLeaf } from '../root-leaf.js';
import { decodeSummary, termKey, termsOfLeaf, type Term } from '../terms/index.js';
import { audited, streamed, testSigner, type Audited } from '../testing/audited.js';
import { pack, unpack, withFile, withLeaves, withManifest, type BundleFile } from '../testing/tampering.js';
import { Frontier, leafHash, signCheckpointNote, treeSize } from '../tlog/index.js';
import { parseRedacted, redactedLine, type ExportDescription, type ExportFilter, type TreeProof } from './bundle-format.js';
import { EXIT_CODES, type FindingKind } from './findings.js';
import { ExportRefused } from './write-bundle.js';
import { verifyBundle, type BundleReport, type VerifyOptions } from './verify-bundle.js';

const { vkey } = testSigner.verifier;
const verify = (bundle: Buffer, options: VerifyOptions = { vkey }): Promise<BundleReport> =>
  verifyBundle(streamed(bundle, 50_000), options);
/** The full sizes take minutes. */
const LONG_MS = isLong ? 3_600_000 : 60_000;
const term: Term = { type: 'actor', value: 'actor-2' };
const filter: ExportFilter = { kind: 'term', term };
const has = (bytes: Buffer, wanted: Term): boolean =>
  termsOfLeaf(bytes).some(({ type, value }) => type === wanted.type && value === wanted.value);
const linesOf = (files: readonly BundleFile[], tree = 'p0'): string[] =>
  files
    .filter(({ name }) => name.startsWith(`data/${tree}/entries-`))
    .flatMap(({ content }) => content.toString().split('\n').slice(0, -1));
const shownIn = (lines: readonly string[]): number[] =>
  lines.flatMap((line, i) => (parseRedacted(Buffer.from(line)) === undefined ? [i] : []));

describe('a filtered export', () => {
  let history: Audited<MemoryAuditStore>;
  let files: BundleFile[];
  let leaves: Buffer[];
  /** Indexes of leaves that are shown, and of some that are not. */
  let shown: number[];
  let others: number[];
  beforeAll(async () => {
    history = audited(70, { partitions: 1 });
    await history.round(130);
    leaves = (history.store.trees.get('p0')?.leaves ?? []).map(({ bytes }) => bytes);
    files = await unpack(await history.bundle(undefined, testSigner, { filter }));
    shown = shownIn(linesOf(files));
    others = [...leaves.keys()].filter((i) => !shown.includes(i));
  });

  it('shows exactly the leaves with its term, of the others their hashes, and verifies', async () => {
    expect(leaves.length).toBeGreaterThan(520);
    expect(shown.length).toBeGreaterThan(50);
    expect(shown).toEqual([...leaves.keys()].filter((i) => has(leaves[i] as Buffer, term)));
    for (const chunk of [997, 1_000_000]) {
      const report = await verifyBundle(streamed(pack(files), chunk), { vkey });
      expect(report.findings).toEqual([]);
      expect(report).toMatchObject({ ok: true, exitCode: 0, filter });
      expect(report.trees).toMatchObject([{ tree: 'p0', leaves: leaves.length, shown: shown.length }]);
    }
    expect(linesOf(files)[others[0] as number]).toBe(
      redactedLine(BigInt(others[0] as number), leafHash(leaves[others[0] as number] as Buffer)),
    );
    const secret = (JSON.parse(String(leaves[others[0] as number])) as { record: string }).record;
    expect(pack(files).includes(secret)).toBe(false);
  });

  it(
    'raises no false alarm: any honest history, filter, range and number of blocks',
    async () => {
      const value = { actor: 'actor-', stream: 'playthrough/reader-', story: 'the-tower', correlation: '' } as const;
      const figures = await verified('5.6 honest filtered exports', async () => {
        const counted = { exports: 0, leaves: 0, shown: 0, falseAlarms: 0 };
        await fc.assert(
          fc.asyncProperty(
            fc.integer({ min: 1000, max: 900_000 }),
            fc.integer({ min: 1, max: 70 }),
            fc.constantFrom('actor', 'stream', 'story', 'correlation', 'time'),
            fc.nat(),
            fc.nat(),
            async (seed, batches, kind, a, b) => {
              const made = audited(seed, { partitions: 1 + (seed % 2) });
              await made.round(batches);
              const all = (made.store.trees.get('p0')?.leaves ?? []).map(({ bytes, time }) => ({ bytes, time }));
              if ((await made.store.latestNote('p0', made.logId)) === undefined) return;
              const some = all[a % all.length];
              let wanted: ExportFilter;
              if (kind === 'time') {
                const [from, to] = [a % all.length, b % all.length].toSorted((x, y) => x - y).map((i) => all[i]?.time ?? 0);
                wanted = {
                  kind,
                  ...(a % 5 === 0 ? {} : { from: String(from) }),
                  ...(b % 5 === 0 && a % 5 !== 0 ? {} : { to: String(to) }),
                };
              } else {
                const text =
                  kind === 'correlation'
                    ? (termsOfLeaf(some?.bytes as Buffer).find(({ type }) => type === kind)?.value ?? 'x')
                    : value[kind];
                wanted = { kind: 'term', term: { type: kind, value: kind === 'actor' || kind === 'stream' ? `${text}${b % 7}` : text } };
              }
              const from = kind === 'time' ? 0n : BigInt(a % all.length);
              const to = kind === 'time' ? undefined : from + BigInt(b % (all.length - Number(from) + 1));
              const report = await verify(
                await made.bundle([{ log: 'p0', from, ...(to === undefined ? {} : { to }) }], testSigner, { filter: wanted }),
              );
              counted.exports++;
              counted.leaves += report.trees[0]?.leaves ?? 0;
              counted.shown += report.trees[0]?.shown ?? 0;
              counted.falseAlarms += report.findings.length;
              expect(report.findings).toEqual([]);
              const range = { from: Number(report.trees[0]?.from), to: Number(report.trees[0]?.to) };
              if (kind !== 'time') expect(range.from).toBeLessThanOrEqual(Number(from));
              if (to !== undefined) expect(range.to).toBeGreaterThanOrEqual(Number(to === from ? 0 : to));
              const expected = all.filter(({ bytes, time }, i) =>
                wanted.kind === 'term'
                  ? i >= range.from && i < range.to && has(bytes, wanted.term)
                  : time >= Number(wanted.from ?? 0) && time < Number(wanted.to ?? Infinity),
              ).length;
              const witnesses = (report.trees[0]?.shown ?? 0) - expected;
              expect(witnesses).toBeGreaterThanOrEqual(0);
              expect(witnesses).toBeLessThanOrEqual(wanted.kind === 'time' ? 2 : 0);
            },
          ),
          { numRuns: isLong ? 2_000 : 25 },
        );
        return counted;
      });
      expect(figures.shown).toBeGreaterThan(figures.exports);
    },
    LONG_MS,
  );

  it('says of which partitions and leaves it answers: those that were left out altogether, nobody misses', async () => {
    const made = audited(71, { partitions: 3 });
    await made.round(40);
    const some = await verify(
      await made.bundle([{ log: 'p0', from: 0n, to: 0n }, ...(['p2'] as const).map((log) => ({ log, from: 0n }))], testSigner, { filter }),
    );
    expect(some.findings).toEqual([]);
    expect(some.notShown).toContainEqual(expect.stringContaining('p0, p2 are here; compare with how many it has'));
    expect(some.notShown).toContainEqual(expect.stringMatching(/^what is not in this bundle: leaves 0–\d+ of p0$/));
    const all = await verify(await made.bundle(undefined, testSigner, { filter }));
    expect(all.notShown.join()).toContain('p0, p1, p2 are here');
    expect(all.notShown.join()).not.toContain('outside leaves');
  });

  /** Every way in which the exporter can lie about one leaf: the change, and what must be said of which leaf. */
  const lies: [string, FindingKind, (lines: string[]) => { lines: string[]; index: number }][] = [
    ['a leaf with the term left out', 'GAP', (l) => ({ lines: l.toSpliced(shown[9] as number, 1), index: shown[9] as number })],
    [
      'a leaf with the term replaced by its hash',
      'INCOMPLETE',
      (l) => ({ lines: l.with(shown[9] as number, hidden(shown[9] as number)), index: shown[9] as number }),
    ],
    [
      'the only such leaf of its block replaced by a hash that is not its own',
      'LEAF',
      (l) => ({
        lines: l.with(shown[9] as number, redactedLine(BigInt(shown[9] as number), leafHash(Buffer.from('x')))),
        index: shown[9] as number,
      }),
    ],
    [
      'another leaf shown',
      'SURPLUS',
      (l) => ({ lines: l.with(others[30] as number, String(leaves[others[30] as number])), index: others[30] as number }),
    ],
    [
      'another leaf forged to have the term',
      'LEAF',
      (l) => {
        const index = others[30] as number;
        return {
          lines: l.with(
            index,
            String(leaves[index])
              .replace(/"actor-[0-9]"/, '"actor-2"')
              .replace('"verdict":"', '"verdict": "'),
          ),
          index,
        };
      },
    ],
    [
      'a leaf with the term forged',
      'LEAF',
      (l) => ({
        lines: l.with(shown[9] as number, (l[shown[9] as number] as string).replace('"turn":', '"turn":1')),
        index: shown[9] as number,
      }),
    ],
    [
      'the hash of another leaf forged',
      'LEAF',
      (l) => ({
        lines: l.with(others[7] as number, redactedLine(BigInt(others[7] as number), leafHash(Buffer.from('y')))),
        index: others[7] as number,
      }),
    ],
    [
      'a leaf with the term twice',
      'REORDER',
      (l) => ({ lines: l.toSpliced(shown[9] as number, 0, l[shown[9] as number] as string), index: shown[9] as number }),
    ],
    [
      'a leaf with the term put elsewhere',
      'REORDER',
      (l) => ({ lines: l.toSpliced(shown[9] as number, 1).toSpliced(shown[3] as number, 0, l[shown[9] as number] as string), index: -1 }),
    ],
    [
      'two hashes swapped with their indexes',
      'REORDER',
      (l) => ({
        lines: l.with(others[4] as number, l[others[5] as number] as string).with(others[5] as number, l[others[4] as number] as string),
        index: -1,
      }),
    ],
    ['a hash left out', 'GAP', (l) => ({ lines: l.toSpliced(others[11] as number, 1), index: others[11] as number })],
    ['the end left out', 'TRUNCATION', (l) => ({ lines: l.slice(0, -2), index: leaves.length - 2 })],
  ];
  const hidden = (index: number): string => redactedLine(BigInt(index), leafHash(leaves[index] as Buffer));

  it.each(lies)('with %s is %s, named with its index, with and without the signing key', async (_, kind, lie) => {
    let index = -1;
    const told = withLeaves(files, 'p0', (lines) => {
      const lied = lie(lines);
      ({ index } = lied);
      return lied.lines;
    });
    for (const tampered of [told, withManifest(told), withManifest(told, testSigner)]) {
      const report = await verify(pack(tampered));
      expect(report.findings[0]).toMatchObject({ kind, exitCode: EXIT_CODES[kind], where: { tree: 'p0' } });
      if (index >= 0) expect(report.findings[0]?.where.index).toBe(String(index));
    }
  });

  it(
    'tells of any leaf that is hidden, shown, dropped, added, moved or changed, which one it is',
    async () => {
      const figures = await verified('5.6 lies of the exporter about one leaf', async () => {
        const counted = { lies: 0, named: 0, hide: 0, show: 0, drop: 0, add: 0, move: 0, change: 0 };
        await fc.assert(
          fc.asyncProperty(fc.nat(), fc.constantFrom('hide', 'show', 'drop', 'add', 'move', 'change'), async (n, way) => {
            const index = (way === 'show' ? others : shown)[n % (way === 'show' ? others : shown).length] as number;
            const line = String(leaves[index]);
            const last = index === leaves.length - 1;
            const changed = (lines: string[]): string[] =>
              ({
                hide: () => lines.with(index, hidden(index)),
                show: () => lines.with(index, line),
                drop: () => lines.toSpliced(index, 1),
                add: () => lines.toSpliced(index + 1, 0, line),
                move: () => lines.toSpliced(index, 1).toSpliced(last ? index - 1 : index + 1, 0, line),
                change: () => lines.with(index, line.replace(/"time":"1/, '"time":"2')),
              })[way]();
            const kind = (
              {
                ...{ hide: 'INCOMPLETE', show: 'SURPLUS', drop: last ? 'TRUNCATION' : 'GAP', add: 'REORDER' },
                ...{ move: 'REORDER', change: 'LEAF' },
              } as const
            )[way];
            counted.lies++;
            counted[way]++;
            const report = await verify(pack(withManifest(withLeaves(files, 'p0', changed), testSigner)));
            expect(report.findings[0]).toMatchObject({ kind, where: { tree: 'p0' } });
            // Of two that changed places either may be named.
            const named = Number(report.findings[0]?.where.index);
            expect(way === 'move' ? [index - 1, index, index + 1] : [index]).toContain(named);
            counted.named++;
          }),
          { numRuns: isLong ? 2_000 : 40 },
        );
        return counted;
      });
      expect(figures.named).toBe(figures.lies);
    },
    LONG_MS,
  );

  describe('whose summaries are forged so that they agree with a hidden leaf', () => {
    let forged: BundleFile[];
    let terms: Buffer;
    beforeAll(() => {
      const index = shown[9] as number;
      const hiding = withLeaves(files, 'p0', (lines) => lines.with(index, hidden(index)));
      forged = hiding.map((file) =>
        file.name === 'data/p0/terms-000000.bin' ? { ...file, content: withoutPosition(file.content, index) } : file,
      );
      const root = new Frontier();
      for (const summary of framesOf(forged.find(({ name }) => name === 'data/p0/terms-000000.bin')?.content ?? Buffer.alloc(0)))
        root.append(leafHash(summary));
      terms = root.root();
    });
    const withRootLeaf = (more: (leaf: RootLeaf, proof: TreeProof) => TreeProof): BundleFile[] =>
      withFile(forged, 'data/p0/proof.json', (text) => {
        const proof = JSON.parse(text) as TreeProof;
        return JSON.stringify(more(JSON.parse(proof.inRoot?.leaf ?? '') as RootLeaf, proof));
      });

    it('does not agree with what was signed beside the note', async () => {
      const report = await verify(pack(withManifest(forged, testSigner)));
      expect(report.findings).toMatchObject([{ kind: 'TERMS', exitCode: 22, where: { tree: 'p0' } }]);
    });

    it('and the root tree’s leaf with them: that leaf is not in the root tree', async () => {
      const tampered = withRootLeaf((leaf, proof) => ({
        ...proof,
        inRoot: { ...proof.inRoot!, leaf: JSON.stringify({ ...leaf, terms: terms.toString('hex') }) },
      }));
      const report = await verify(pack(withManifest(tampered, testSigner)));
      expect(report.findings).toMatchObject([{ kind: 'ROOT', exitCode: 11, where: { tree: 'p0' } }]);
    });

    it('and the root tree signed anew with the key: only a note kept outside shows it', async () => {
      let leaf = '';
      const tampered = withFile(
        withRootLeaf((said, proof) => {
          leaf = JSON.stringify({ ...said, index: '0', previousLeaf: null, terms: terms.toString('hex') });
          return { ...proof, inRoot: { index: '0', leaf, hashes: [] } };
        }),
        'data/root-checkpoint',
        () =>
          signCheckpointNote(
            { origin: `${testSigner.name}/${history.logId}/root`, size: treeSize(1), root: leafHash(Buffer.from(leaf)) },
            testSigner,
          ),
      );
      const bundle = pack(withManifest(tampered, testSigner));
      expect((await verify(bundle)).notShown.join()).toContain('no other history');
      expect((await verify(bundle, { vkey, deriveTerms: true })).findings).toEqual([]);
      const kept = (await history.store.latestNote('root', history.logId))?.note as string;
      expect((await verify(bundle, { vkey, previousNotes: [kept] })).findings[0]).toMatchObject({
        kind: 'TRUNCATION',
        where: { tree: 'root' },
      });
    });

    it('lied about by the signer: whoever is shown all leaves can tell', async () => {
      const whole = await unpack(await history.bundle([{ log: 'p0', from: 0n }]));
      const options = { vkey, deriveTerms: true };
      expect((await verify(pack(whole), options)).findings).toEqual([]);
      let leaf = '';
      const lied = withFile(whole, 'data/p0/proof.json', (text) => {
        const proof = JSON.parse(text) as TreeProof;
        leaf = JSON.stringify({ ...(JSON.parse(proof.inRoot?.leaf ?? '') as RootLeaf), terms: terms.toString('hex') });
        return JSON.stringify({ ...proof, inRoot: { index: '0', leaf, hashes: [] } });
      });
      const root = { origin: `${testSigner.name}/${history.logId}/root`, size: treeSize(1) };
      const signed = withFile(lied, 'data/root-checkpoint', () =>
        signCheckpointNote({ ...root, root: leafHash(Buffer.from(leaf)) }, testSigner),
      );
      const bundle = pack(withManifest(signed, testSigner));
      expect((await verify(bundle)).findings).toEqual([]);
      expect((await verify(bundle, options)).findings).toMatchObject([{ kind: 'TERMS', where: { tree: 'p0' } }]);
    });

    it('or cut short, or left out: it is not in form, or blocks lack theirs', async () => {
      const change = (content: (bytes: Buffer) => Buffer): BundleFile[] =>
        files.map((file) => (file.name === 'data/p0/terms-000000.bin' ? { ...file, content: content(file.content) } : file));
      const [first] = framesOf(files.find(({ name }) => name === 'data/p0/terms-000000.bin')?.content as Buffer);
      expect(
        (
          await verify(
            pack(
              withManifest(
                change((bytes) => bytes.subarray(0, -1)),
                testSigner,
              ),
            ),
          )
        ).exitCode,
      ).toBe(EXIT_CODES.MALFORMED);
      expect(
        (
          await verify(
            pack(
              withManifest(
                change((bytes) => bytes.subarray(4 + (first as Buffer).length)),
                testSigner,
              ),
            ),
          )
        ).findings.at(-1)?.kind,
      ).toBe('TERMS');
      expect(
        (
          await verify(
            pack(
              withManifest(
                change(() => Buffer.alloc(0)),
                testSigner,
              ),
            ),
          )
        ).findings[0],
      ).toMatchObject({ kind: 'TERMS', where: { index: '0' } });
      const without = files.filter(({ name }) => name !== 'data/p0/terms-000000.bin');
      expect((await verify(pack(withManifest(without, testSigner)))).findings.some(({ kind }) => kind === 'TERMS')).toBe(true);
    });
  });

  it('that says it was asked for another term shows leaves that it was not asked for', async () => {
    const other = withFile(files, 'data/export.json', (text) => text.replace('actor-2', 'actor-3'));
    expect((await verify(pack(withManifest(other, testSigner)))).exitCode).toBe(EXIT_CODES.INCOMPLETE);
    const none = withFile(files, 'data/export.json', (text) => {
      const { filter: _filter, ...rest } = JSON.parse(text) as ExportDescription;
      return JSON.stringify(rest);
    });
    expect((await verify(pack(withManifest(none, testSigner)))).ok).toBe(false);
  });

  it('by time shows its neighbours as witnesses, and lies about its borders are found', async () => {
    const times = (history.store.trees.get('p0')?.leaves ?? []).map(({ time }) => time);
    const [from, to] = [times[100] as number, times[300] as number];
    const wanted: ExportFilter = { kind: 'time', from: String(from), to: String(to) };
    const bundle = await history.bundle(undefined, testSigner, { filter: wanted });
    const report = await verify(bundle);
    expect(report.findings).toEqual([]);
    expect(report.notShown.join()).toContain('never ran backwards');
    const [first, end] = [times.indexOf(from) - 1, times.indexOf(to) + 1];
    expect(report.trees).toMatchObject([{ from: String(first), to: String(end), shown: end - first }]);
    const lie = async (range: { from: number; to: number }): Promise<BundleReport> => {
      const honest = await unpack(await history.bundle([{ log: 'p0', from: BigInt(range.from), to: BigInt(range.to) }]));
      return verify(
        pack(
          withManifest(
            withFile(honest, 'data/export.json', (text) => JSON.stringify({ ...(JSON.parse(text) as ExportDescription), filter: wanted })),
            testSigner,
          ),
        ),
      );
    };
    expect((await lie({ from: first, to: end })).findings).toEqual([]);
    const kinds = async (range: { from: number; to: number }): Promise<unknown> =>
      (await lie(range)).findings.map(({ kind, where }) => [kind, where.index]);
    expect(await kinds({ from: first + 1, to: end })).toEqual([['INCOMPLETE', String(first + 1)]]);
    expect(await kinds({ from: first, to: end - 1 })).toEqual([['INCOMPLETE', String(end - 2)]]);
    expect(await kinds({ from: first - 1, to: end })).toEqual([['SURPLUS', String(first - 1)]]);
    expect(await kinds({ from: first, to: end + 1 })).toEqual([['SURPLUS', String(end)]]);
  });

  it('of a term that nothing has, and of a tree that has just been rebuilt, verifies', async () => {
    const none = await verify(
      await history.bundle(undefined, testSigner, { filter: { kind: 'term', term: { type: 'story', value: 'no such' } } }),
    );
    expect(none.findings).toEqual([]);
    expect(none.trees).toMatchObject([{ shown: 0, leaves: leaves.length }]);
    const rebuilt = audited(71, { partitions: 1 });
    await rebuilt.round(90);
    await rebuilt.store.forget('p0');
    await new Auditor({ log: rebuilt.log, store: rebuilt.store, timers: { after: () => () => undefined } }).catchUp(0);
    expect((await verify(await rebuilt.bundle(undefined, testSigner, { filter }))).findings).toEqual([]);
  });

  it('is refused where nothing can be proved, and fails where the store was tampered with', async () => {
    const order = (ranges: Parameters<typeof history.bundle>[0], wanted: ExportFilter = filter): Promise<Buffer> =>
      history.bundle(ranges, testSigner, { filter: wanted });
    await expect(order([{ log: 'root', from: 0n }])).rejects.toThrow(ExportRefused);
    await expect(order([{ log: 'p0', from: 5n }], { kind: 'time', from: '0' })).rejects.toThrow(ExportRefused);
    await expect(order(undefined, { kind: 'time', from: '9', to: '5' })).rejects.toThrow(ExportRefused);
    const broken = audited(72, { partitions: 1 });
    await broken.round(90);
    const blocks = broken.store.keptTermBlocks.get('p0')!;
    const [index, block] = [...blocks.entries()][0]!;
    blocks.set(index, { ...block, summary: Buffer.from(block.summary.map((byte, at) => (at === 40 ? byte ^ 1 : byte))) });
    await expect(broken.bundle(undefined, testSigner, { filter })).rejects.toThrow('not those that were signed');
  });

  it('of several files holds the summaries of one at a time, and says what was held back in any', async () => {
    const large = audited(75, { partitions: 1 });
    for (let i = 0; i < 30; i++) await large.writer.batch(50);
    await large.round(1);
    const wanted: Term = { type: 'story', value: 'the-tower' };
    const whole = await unpack(await large.bundle(undefined, testSigner, { filter: { kind: 'term', term: wanted } }));
    expect(whole.map(({ name }) => name).filter((name) => /terms|entries/.test(name))).toEqual([
      'data/p0/terms-000000.bin',
      'data/p0/entries-000000.ndjson',
      'data/p0/terms-000001.bin',
      'data/p0/entries-000001.ndjson',
    ]);
    expect((await verify(pack(whole))).findings).toEqual([]);
    const second = whole.find(({ name }) => name.endsWith('entries-000001.ndjson')) as BundleFile;
    const lines = second.content.toString().split('\n').slice(0, -1);
    const place = shownIn(lines).at(-7) as number;
    const { index } = JSON.parse(lines[place] as string) as { index: string };
    const told = lines.with(place, redactedLine(BigInt(index), leafHash(Buffer.from(lines[place] as string))));
    const lied = whole.map((file) => (file === second ? { ...file, content: Buffer.from(`${told.join('\n')}\n`) } : file));
    expect((await verify(pack(withManifest(lied, testSigner)))).findings).toMatchObject([{ kind: 'INCOMPLETE', where: { index } }]);
    const early = whole.map((file) => (file.name.endsWith('terms-000000.bin') ? { ...file, content: file.content.subarray(0, 0) } : file));
    expect((await verify(pack(withManifest(early, testSigner)))).findings[0]).toMatchObject({ kind: 'TERMS' });
  });

  it('passes over the signatures of witnesses, and carries a trust policy', async () => {
    const cosigned = (text: string): string => `${text}\u2014 witness.test/w ${Buffer.alloc(76, 5).toString('base64')}\n`;
    const witnessed = withFile(withFile(files, 'data/p0/checkpoint', cosigned), 'data/root-checkpoint', cosigned);
    expect((await verify(pack(withManifest(witnessed, testSigner)))).findings).toEqual([]);
    expect(files.find(({ name }) => name === 'data/trust.policy')?.content.toString()).toBe(`log ${vkey}\nquorum none\n`);
    const other = withFile(files, 'data/trust.policy', () => 'quorum none\n');
    expect((await verify(pack(withManifest(other, testSigner)))).exitCode).toBe(EXIT_CODES.MALFORMED);
  });

  it(
    'has no byte that can be changed unseen, cut off or added',
    async () => {
      const small = audited(74, { partitions: 1 });
      await small.round(2);
      const one = await small.bundle(undefined, testSigner, { filter });
      const unseen: number[] = [];
      for (let at = 0; at < one.length; at += isLong ? 1 : 37) {
        const changed = Buffer.from(one);
        changed[at]! ^= 1 << (at % 8);
        if ((await verify(changed)).exitCode === 0) unseen.push(at);
      }
      expect(unseen).toEqual([]);
      for (const cut of [1, 512, one.length >> 1, one.length - 1]) expect((await verify(one.subarray(0, cut))).ok).toBe(false);
    },
    LONG_MS,
  );

  it(
    'answers whatever its files hold with a finding, never with an exception, also with the signing key',
    async () => {
      const names = files.map(({ name }) => name).filter((name) => /json$|bin$|policy$/.test(name));
      const piece = fc.oneof(fc.constantFrom('', 'null', '[]', '9'.repeat(19), '-1', '{"h":"', '\n'), fc.string({ maxLength: 4 }));
      await fc.assert(
        fc.asyncProperty(fc.constantFrom(...names), fc.nat(), fc.nat({ max: 40 }), piece, async (name, at, length, text) => {
          const changed = files.map((file) => {
            if (file.name !== name) return file;
            const place = at % (file.content.length + 1);
            return {
              ...file,
              content: Buffer.concat([file.content.subarray(0, place), Buffer.from(text), file.content.subarray(place + length)]),
            };
          });
          const same = changed.every(({ content }, i) => content.equals(files[i]?.content ?? Buffer.alloc(0)));
          const report = await verify(pack(withManifest(changed, testSigner)));
          // What the signer says about the export itself is theirs to say; no leaf and no proof is.
          if (name.endsWith('.bin')) expect(report.ok).toBe(same);
        }),
        { numRuns: isLong ? 3_000 : 40 },
      );
    },
    LONG_MS,
  );

  it('continues the root note of an earlier export', async () => {
    const grown = audited(73, { partitions: 1 });
    await grown.round(10);
    const early = (await grown.store.latestNote('root', grown.logId))!;
    await grown.round(10);
    const given = { vkey, previousNotes: [early.note] };
    const continued = await grown.bundle(undefined, testSigner, { filter, rootSince: early.size });
    expect((await verify(continued, given)).findings).toEqual([]);
    expect((await verify(await grown.bundle(undefined, testSigner, { filter }), given)).exitCode).toBe(EXIT_CODES.PREVIOUS_UNPROVED);
    const other = signCheckpointNote(
      { origin: `${testSigner.name}/${grown.logId}/root`, size: treeSize(early.size), root: leafHash(Buffer.from('x')) },
      testSigner,
    );
    expect((await verify(continued, { vkey, previousNotes: [other] })).findings[0]).toMatchObject({
      kind: 'FORK',
      where: { tree: 'root' },
    });
  });
});

function framesOf(bytes: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32BE(at))
    frames.push(bytes.subarray(at + 4, at + 4 + bytes.readUInt32BE(at)));
  return frames;
}

/** The summaries without that leaf among those with the term, otherwise well-formed. */
function withoutPosition(bytes: Buffer, index: number): Buffer {
  const frames = framesOf(bytes).map((frame, block) => {
    if (block !== Math.floor(index / 256)) return frame;
    const summary = decodeSummary(frame)!;
    const key = termKey(summary.salt, term);
    const kept = [...summary.positions].map(
      ([one, places]) => [one, one === key ? places.filter((place) => place !== index % 256) : places] as const,
    );
    const left = kept.filter(([, places]) => places.length > 0);
    const head = frame.subarray(0, 37 + 4 * summary.marks.length);
    head.writeUInt16BE(left.length, 3);
    return Buffer.concat([
      head,
      ...left.flatMap(([one, places]) => [Buffer.from(one, 'hex'), Buffer.from([places.length - 1, ...places])]),
    ]);
  });
  const length = (frame: Buffer): Buffer =>
    Buffer.from([frame.length >>> 24, (frame.length >> 16) & 255, (frame.length >> 8) & 255, frame.length & 255]);
  return Buffer.concat(frames.flatMap((frame) => [length(frame), frame]));
}
