import { isLong } from '../../../../test/support/requirement.js';
import { audited, streamed, testSigner, type Audited } from '../testing/audited.js';
import { pack, unpack, withFile, withLeaves, withManifest, type BundleFile } from '../testing/tampering.js';
import type { MemoryAuditStore } from '../memory/memory-audit-store.js';
import { Frontier, generateSigner, leafHash, signCheckpointNote, treeSize } from '../tlog/index.js';
import { BUNDLE_FORMAT, FIRST_BUNDLE_FORMAT, type ExportDescription } from './bundle-format.js';
import { EXIT_CODES, type FindingKind } from './findings.js';
import { ExportRefused } from './write-bundle.js';
import { verifyBundle, type BundleReport, type VerifyOptions } from './verify-bundle.js';

const { vkey } = testSigner.verifier;
const verify = (bundle: Buffer, options: VerifyOptions = { vkey }): Promise<BundleReport> => verifyBundle(streamed(bundle), options);

describe('an export bundle', () => {
  let whole: Audited<MemoryAuditStore>;
  let bundle: Buffer;
  let files: BundleFile[];
  beforeAll(async () => {
    whole = audited(40);
    await whole.round(30);
    bundle = await whole.bundle();
    files = await unpack(bundle);
  });

  it('verifies on its own bytes, however they arrive, and says what it holds', async () => {
    const report = await verify(bundle);
    expect(report.findings).toEqual([]);
    expect(report).toMatchObject({
      ok: true,
      exitCode: 0,
      keyTrusted: 'given',
      logId: 'log-40',
      exportId: 'export-40',
      bytes: bundle.length,
    });
    const head = await whole.store.open('p0', 'log-40');
    expect(report.trees[0]).toMatchObject({
      tree: 'p0',
      from: '0',
      to: String(head.size),
      leaves: Number(head.size),
      root: new Frontier(head.size, head.frontier).root().toString('hex'),
    });
    expect(Object.values(report.trees[0]?.verdicts ?? {}).reduce((a, b) => a + b)).toBe(Number(head.size));
    for (const chunk of [7, 512, 100_000]) expect((await verifyBundle(streamed(bundle, chunk), { vkey })).ok).toBe(true);
    expect((await verify(bundle, {})).notShown.join()).toContain('whose key this is');
  });

  it('of any range hangs in the signed tree', async () => {
    const { size } = await whole.store.open('p0', 'log-40');
    for (const [from, to] of [
      [0n, 1n],
      [1n, 2n],
      [0n, size],
      [5n, 5n],
      [size, size],
      [7n, 30n],
      [8n, size - 1n],
      [size - 1n, size],
    ] as const) {
      const report = await verify(await whole.bundle([{ log: 'p0', from, to }]));
      expect(report.findings).toEqual([]);
      expect(report.trees).toMatchObject([{ leaves: Number(to - from) }]);
    }
    for (const range of [
      { log: 'p0' as const, from: 0n, to: size + 1n },
      { log: 'p0' as const, from: 3n, to: 2n },
      { log: 'p9' as const, from: 0n },
    ])
      await expect(whole.bundle([range])).rejects.toThrow(ExportRefused);
    await expect(whole.bundle([])).rejects.toThrow(ExportRefused);
  });

  it('has no byte that can be changed unseen, cut off or added', async () => {
    const small = audited(41, { partitions: 1 });
    await small.round(2);
    const one = await small.bundle();
    const step = isLong ? 1 : 29;
    const unseen: number[] = [];
    for (let at = 0; at < one.length; at += step) {
      const changed = Buffer.from(one);
      changed[at]! ^= 1 << (at % 8);
      const report = await verify(changed);
      if (report.ok || report.exitCode === 0) unseen.push(at);
    }
    expect(unseen).toEqual([]);
    for (const cut of [0, 1, 511, 512, 600, one.length >> 1, one.length - 1025, one.length - 1024, one.length - 1]) {
      expect([cut, (await verify(one.subarray(0, cut))).exitCode]).toEqual([cut, EXIT_CODES.TRUNCATION]);
    }
    expect((await verify(Buffer.concat([one, Buffer.alloc(512)]))).exitCode).toBe(EXIT_CODES.MALFORMED);
  });

  it('is malformed where a name is no text, which would be longer written again', async () => {
    const spoilt = Buffer.from(bundle);
    spoilt.fill(0x80, 0, 60);
    expect((await verify(spoilt)).findings).toMatchObject([{ kind: 'MALFORMED', where: { byte: 0 } }]);
  });

  it('names the leaf in which any one byte was changed, and where it stands', async () => {
    const small = audited(43, { partitions: 1 });
    await small.round(2);
    const honest = await unpack(await small.bundle([{ log: 'p0', from: 0n }]));
    const entries = honest.find(({ name }) => name === 'data/p0/entries-000000.ndjson')?.content as Buffer;
    const lines = entries.toString().split('\n').slice(0, -1);
    expect(lines.length).toBeGreaterThan(4);
    for (const at of isLong ? lines.keys() : [0, 3, lines.length - 1]) {
      const start = lines.slice(0, at).reduce((sum, one) => sum + Buffer.byteLength(one) + 1, 0);
      const missed: unknown[] = [];
      for (let byte = start; byte < start + Buffer.byteLength(lines[at] as string); byte += at === 3 ? 1 : 5) {
        const content = Buffer.from(entries);
        content[byte]! ^= 1 << (byte % 7);
        if (content[byte] === 10) continue;
        const tampered = honest.map((file) => (file.name === 'data/p0/entries-000000.ndjson' ? { ...file, content } : file));
        const [cause] = (await verify(pack(withManifest(tampered, testSigner)))).findings;
        if (cause?.kind !== 'LEAF' || cause.where.index !== String(at) || cause.where.line !== at + 1) missed.push([byte - start, cause]);
      }
      expect(missed).toEqual([]);
    }
  });

  const attacks: [string, FindingKind, (files: BundleFile[]) => BundleFile[], string | undefined][] = [
    [
      'a leaf substituted',
      'LEAF',
      (f) => withLeaves(f, 'p0', (l) => l.toSpliced(9, 1, (l[9] as string).replace('"verdict":"', '"verdict":"accepted","x":"'))),
      '9',
    ],
    ['a leaf deleted', 'GAP', (f) => withLeaves(f, 'p0', (l) => l.toSpliced(9, 1)), '9'],
    ['ten leaves deleted', 'GAP', (f) => withLeaves(f, 'p0', (l) => l.toSpliced(9, 10)), '9'],
    ['a leaf inserted', 'REORDER', (f) => withLeaves(f, 'p0', (l) => l.toSpliced(9, 0, l[12] as string)), '9'],
    ['a leaf repeated', 'REORDER', (f) => withLeaves(f, 'p0', (l) => l.toSpliced(9, 0, l[8] as string)), '8'],
    ['neighbours swapped', 'REORDER', (f) => withLeaves(f, 'p0', (l) => l.toSpliced(9, 2, l[10] as string, l[9] as string)), '9'],
    [
      'distant leaves swapped',
      'REORDER',
      (f) => withLeaves(f, 'p0', (l) => l.with(9, l[20] as string).with(20, l[9] as string)),
      undefined,
    ],
    ['the tail cut off', 'TRUNCATION', (f) => withLeaves(f, 'p0', (l) => l.slice(0, -3)), undefined],
    ['the first leaves cut off', 'GAP', (f) => withLeaves(f, 'p0', (l) => l.slice(2)), '0'],
    ['leaves appended', 'REORDER', (f) => withLeaves(f, 'p0', (l) => [...l, l[3] as string]), '3'],
    ["another partition's leaves", 'LEAF', (f) => withLeaves(f, 'p0', (l) => l.with(4, (l[4] as string).replace('log-40', 'log-41'))), '4'],
  ];
  it.each(attacks)('shows %s as %s, with and without the signing key', async (_, kind, attack, index) => {
    for (const tampered of [attack(files), withManifest(attack(files)), withManifest(attack(files), testSigner)]) {
      const report = await verify(pack(tampered));
      expect(report.findings[0]).toMatchObject({ kind, exitCode: EXIT_CODES[kind] });
      expect(report.exitCode).toBe(EXIT_CODES[kind]);
      if (index !== undefined)
        expect(report.findings[0]?.where).toMatchObject({ tree: 'p0', index, file: 'data/p0/entries-000000.ndjson' });
    }
  });

  it('shows a whole chain written anew, whoever holds the manifest key', async () => {
    const rewrite = (lines: string[]): string[] => {
      let previous: string | null = null;
      return lines.map((line, i) => {
        const leaf = { ...(JSON.parse(line) as object), previousLeaf: previous } as { previousLeaf: string | null; verdict: string };
        if (i === 9) leaf.verdict = leaf.verdict === 'accepted' ? 'conflict' : 'accepted';
        const text = JSON.stringify(leaf);
        previous = leafHash(Buffer.from(text)).toString('hex');
        return text;
      });
    };
    let tampered = withLeaves(files, 'p0', rewrite);
    const last =
      tampered
        .find(({ name }) => name.startsWith('data/p0/entries'))
        ?.content.toString()
        .split('\n')
        .at(-2) ?? '';
    tampered = withFile(tampered, 'data/export.json', (text) => {
      const description = JSON.parse(text) as ExportDescription;
      const trees = description.trees.map((tree) =>
        tree.tree === 'p0' ? { ...tree, lastLeaf: leafHash(Buffer.from(last)).toString('base64') } : tree,
      );
      return JSON.stringify({ ...description, trees });
    });
    const report = await verify(pack(withManifest(tampered, testSigner)));
    expect(report.findings[0]).toMatchObject({ kind: 'ROOT', exitCode: 11, where: { tree: 'p0' } });
  });

  it('shows forged notes, foreign keys and foreign manifests', async () => {
    const stranger = generateSigner(testSigner.name);
    const head = await whole.store.open('p0', 'log-40');
    const note = { origin: 'fabula.test/audit/log-40/p0', size: treeSize(head.size), root: leafHash(Buffer.from('forged')) };
    const forged = withFile(files, 'data/p0/checkpoint', () => signCheckpointNote(note, stranger));
    expect((await verify(pack(withManifest(forged, testSigner)))).findings[0]).toMatchObject({
      kind: 'SIGNATURE',
      where: { file: 'data/p0/checkpoint' },
    });
    const other = withFile(
      files,
      'data/p0/checkpoint',
      () => files.find(({ name }) => name === 'data/p1/checkpoint')?.content.toString() ?? '',
    );
    expect((await verify(pack(withManifest(other, testSigner)))).findings[0]).toMatchObject({ kind: 'SIGNATURE', where: { tree: 'p0' } });
    expect((await verify(bundle, { vkey: stranger.verifier.vkey })).exitCode).toBe(EXIT_CODES.SIGNATURE);
    const edited = withFile(files, 'data/export.json', (text) => text.replace('export-40', 'export-99'));
    expect((await verify(pack(edited))).findings[0]).toMatchObject({ kind: 'MANIFEST', where: { file: 'data/export.json' } });
    expect((await verify(pack(withManifest(edited, stranger)))).findings[0]).toMatchObject({
      kind: 'SIGNATURE',
      where: { file: 'MANIFEST.note' },
    });
    const withKey = withFile(files, 'data/p0/checkpoint', () => signCheckpointNote(note, testSigner));
    expect((await verify(pack(withManifest(withKey, testSigner)))).findings.map(({ kind }) => kind)).toEqual(['ROOT', 'ROOT']);
    expect((await verify(pack(files.filter(({ name }) => name !== 'data/p1/proof.json')))).exitCode).toBe(EXIT_CODES.MALFORMED);
  });

  it('is compared with a note kept from earlier: continued, rolled back, forked', async () => {
    const grown = audited(42, { partitions: 1 });
    await grown.round(8);
    const early = (await grown.store.latestNote('p0', 'log-42'))!;
    const earlyBundle = await grown.bundle();
    await grown.round(8);
    const late = (await grown.store.latestNote('p0', 'log-42'))!;
    const full = await grown.bundle();
    const tail = await grown.bundle([{ log: 'p0', from: early.size + 1n, since: early.size }]);
    const unproved = await grown.bundle([{ log: 'p0', from: early.size + 1n }]);
    const given = (note: string): VerifyOptions => ({ vkey, previousNotes: [note] });
    expect((await verify(full, given(early.note))).findings).toEqual([]);
    expect((await verify(full, given(late.note))).findings).toEqual([]);
    expect((await verify(tail, given(early.note))).findings).toEqual([]);
    expect((await verify(unproved, given(early.note))).exitCode).toBe(EXIT_CODES.PREVIOUS_UNPROVED);
    expect((await verify(earlyBundle, given(late.note))).findings[0]).toMatchObject({
      kind: 'TRUNCATION',
      message: expect.stringContaining('rolled back') as string,
    });
    const forked = signCheckpointNote(
      { origin: 'fabula.test/audit/log-42/p0', size: treeSize(early.size), root: leafHash(Buffer.from('x')) },
      testSigner,
    );
    for (const one of [full, tail]) {
      const report = await verify(one, given(forked));
      expect(report.findings[0]).toMatchObject({ kind: 'FORK', exitCode: 15 });
      expect(report.findings[0]?.message).toContain(String(early.size));
    }
    expect(
      (await verify(full, given(signCheckpointNote({ origin: 'x', size: treeSize(1), root: early.root }, generateSigner('x'))))).exitCode,
    ).toBe(EXIT_CODES.SIGNATURE);
    await expect(grown.bundle([{ log: 'p0', from: 0n, since: early.size + 1n }])).rejects.toThrow(ExportRefused);
  });

  it('does not pass for the continuation of a note of another log or of a tree that it does not hold', async () => {
    const replaced = audited(44);
    await replaced.round(8);
    const kept = async (log: 'p1' | 'root'): Promise<string> => (await whole.store.latestNote(log, whole.logId))?.note ?? '';
    // Whoever has the key may write history anew under another log id.
    const anew = await verify(await replaced.bundle(), { vkey, previousNotes: [await kept('root')] });
    expect(anew.findings[0]).toMatchObject({ kind: 'PREVIOUS_UNPROVED', exitCode: 19 });
    expect(anew.findings[0]?.message).toContain(`fabula.test/audit/${whole.logId}/root`);
    const part = await whole.bundle([{ log: 'p0', from: 0n }]);
    expect((await verify(part, { vkey, previousNotes: [await kept('p1')] })).exitCode).toBe(EXIT_CODES.PREVIOUS_UNPROVED);
    expect((await verify(part, { vkey, previousNotes: [await kept('root')] })).findings).toEqual([]);
  });

  it('of no tree at all proves nothing', async () => {
    const none = withFile(
      files.filter(({ name }) => !/^data\/(p[01]|root)\//.test(name)),
      'data/export.json',
      (text) => JSON.stringify({ ...(JSON.parse(text) as ExportDescription), trees: [] }),
    );
    expect((await verify(pack(withManifest(none, testSigner)))).findings[0]).toMatchObject({ kind: 'MALFORMED' });
  });

  it('of the first format is still verified, and lies in it are still found', async () => {
    const first = withFile(
      files.filter(({ name }) => !['data/trust.policy', 'data/root-consistency.json', 'tagmanifest-sha256.txt'].includes(name)),
      'data/export.json',
      (text) => text.replace(BUNDLE_FORMAT, FIRST_BUNDLE_FORMAT),
    );
    expect((await verify(pack(withManifest(first, testSigner)))).findings).toEqual([]);
    const lied = withLeaves(first, 'p0', (lines) => lines.toSpliced(9, 1));
    expect((await verify(pack(withManifest(lied, testSigner)))).findings[0]).toMatchObject({ kind: 'GAP', where: { index: '9' } });
    const mixed = withFile(files, 'data/export.json', (text) => text.replace(BUNDLE_FORMAT, FIRST_BUNDLE_FORMAT));
    expect((await verify(pack(withManifest(mixed, testSigner)))).exitCode).toBe(EXIT_CODES.MALFORMED);
  });

  it('answers any bytes with a finding, never with an exception', async () => {
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.alloc(1024),
      Buffer.alloc(2048, 255),
      Buffer.from('hello'),
      pack([{ name: 'bagit.txt', content: Buffer.from('x') }]),
    ]) {
      expect((await verify(bytes)).ok).toBe(false);
    }
    for (const content of [
      '',
      '{}',
      'null',
      '{"format":"fabula-audit-export/1","trees":[{}]}',
      '{"format":"fabula-audit-export/1","trees":[{"tree":"../x"}]}',
      `[${'['.repeat(50_000)}`,
    ]) {
      expect((await verify(pack(withFile(files, 'data/export.json', () => content)))).exitCode).toBe(EXIT_CODES.MALFORMED);
    }
  });
});
