import { planExport, writeBundle } from './write-bundle.js';
import { audited, streamed, testSigner, type Audited } from '../testing/audited.js';
import type { ExportRange } from '../export-job.js';
import type { MemoryAuditStore } from '../memory/memory-audit-store.js';
import type { ExportFilter } from './bundle-format.js';
import { EXIT_CODES } from './findings.js';
import { verifyBundle, type Acceptance, type BundleReport } from './verify-bundle.js';

const filter: ExportFilter = { kind: 'term', term: { type: 'actor', value: 'actor-2' } };
const timed: ExportFilter = { kind: 'time', from: '1' };

describe('how much of the log a bundle holds', () => {
  let history: Audited<MemoryAuditStore>;
  beforeAll(async () => {
    history = audited(310, { partitions: 3 });
    await history.round(40);
  });
  /** What an exporter with the manifest key writes, whatever was ordered. */
  const exported = async (ranges: readonly ExportRange[], more: { filter?: ExportFilter; asked?: 'everything' | 'part' } = {}) => {
    const { store, logId } = history;
    const { asked, ...rest } = more;
    const parts: Buffer[] = [];
    await writeBundle({
      store,
      logId,
      signer: testSigner,
      id: 'export-1',
      createdAt: 1,
      plan: await planExport(store, logId, ranges, rest),
      ...(asked === undefined ? {} : { asked }),
      write: async (bytes) => void parts.push(Buffer.from(bytes)),
    });
    return Buffer.concat(parts);
  };
  const verify = (bundle: Buffer, accept?: Acceptance): Promise<BundleReport> =>
    verifyBundle(streamed(bundle), { vkey: testSigner.verifier.vkey, ...(accept === undefined ? {} : { accept }) });
  const [p0, p1, p2, root] = (['p0', 'p1', 'p2', 'root'] as const).map((log) => ({ log, from: 0n })) as [
    ExportRange,
    ExportRange,
    ExportRange,
    ExportRange,
  ];

  it.each([undefined, filter, timed])('is shown to be everything by the root tree: %j', async (narrowed) => {
    const more = narrowed === undefined ? {} : { filter: narrowed };
    const bundle = await exported([p0, p1, p2, root], { ...more, asked: 'everything' });
    for (const accept of [undefined, 'part', 'whole'] as const) {
      const { findings, coverage, exitCode } = await verify(bundle, accept);
      expect([findings, exitCode, coverage]).toEqual([[], 0, { kind: 'whole', asked: 'everything', missing: [] }]);
    }
  });

  it.each([undefined, filter, timed])('tells of a partition that was left out whole, whoever signs: %j', async (narrowed) => {
    const more = narrowed === undefined ? {} : { filter: narrowed };
    const bundle = await exported([p0, p2, root], { ...more, asked: 'everything' });
    const { size } = (await history.store.latestNote('p1', history.logId)) ?? { size: 0n };
    for (const accept of [undefined, 'part', 'whole'] as const) {
      const { findings, exitCode } = await verify(bundle, accept);
      expect(exitCode).toBe(EXIT_CODES.INCOMPLETE);
      expect(findings).toMatchObject([{ kind: 'INCOMPLETE', where: { tree: 'p1' } }]);
      expect(findings[0]?.message).toContain(`p1 with ${size} leaves`);
    }
    // Not even with the word that only a part was ordered, unless whoever verifies knows that.
    const disguised = await exported([p0, p2, root], { ...more, asked: 'part' });
    expect((await verify(disguised)).exitCode).toBe(EXIT_CODES.INCOMPLETE);
    expect((await verify(disguised, 'part')).findings).toEqual([]);
    // Nor where the root tree was left out beside it.
    for (const accept of [undefined, 'part', 'whole'] as const)
      expect((await verify(await exported([p0, p2], { ...more, asked: 'everything' }), accept)).exitCode).toBe(EXIT_CODES.INCOMPLETE);
  });

  it.each([undefined, filter])('tells of a tree that was given as nothing or as a part: %j', async (narrowed) => {
    const more = narrowed === undefined ? {} : { filter: narrowed };
    const { size } = (await history.store.latestNote('p0', history.logId)) ?? { size: 0n };
    for (const one of [
      { ...p0, to: 0n },
      { ...p0, from: size },
    ]) {
      const given = [one, p1, p2, root];
      const report = await verify(await exported(given, { ...more, asked: 'everything' }));
      const [{ from, to }] = report.trees as [BundleReport['trees'][number]];
      expect(report.exitCode).toBe(from === '0' && to === String(size) ? 0 : EXIT_CODES.INCOMPLETE);
      expect(report.coverage?.kind).toBe(report.exitCode === 0 ? 'whole' : 'part');
      const ordered = await exported(given, { ...more, asked: 'part' });
      expect((await verify(ordered, 'part')).findings).toEqual([]);
      expect((await verify(ordered, 'whole')).exitCode).toBe(report.exitCode);
    }
    const nothing = await verify(await exported([{ ...p0, to: 0n }, p1, p2, root], { ...more, asked: 'everything' }));
    expect(nothing.findings).toMatchObject([{ kind: 'INCOMPLETE', where: { tree: 'p0' } }]);
    expect(nothing.coverage?.missing).toEqual([`leaves 0–${size} of p0`]);
  });

  it('tells of a tree that is shown as it once was', async () => {
    const { store, logId } = history;
    const [old] = await store.notes('p1', logId, 0n, 1);
    const { size } = (await store.latestNote('p1', logId)) ?? { size: 0n };
    expect(old?.size).toBeLessThan(size);
    const plan = await planExport(store, logId, [p0, p1, p2, root]);
    const stale = plan.parts.map((part) => (part.log === 'p1' && old !== undefined ? { ...part, note: old, to: old.size } : part));
    const parts: Buffer[] = [];
    await writeBundle({
      store,
      logId,
      signer: testSigner,
      id: 'export-1',
      createdAt: 1,
      plan: { ...plan, parts: stale },
      asked: 'everything',
      write: async (bytes) => void parts.push(Buffer.from(bytes)),
    });
    const { findings } = await verify(Buffer.concat(parts), 'part');
    expect(findings).toMatchObject([{ kind: 'INCOMPLETE', where: { tree: 'p1' } }]);
    expect(findings[0]?.message).toContain(`a note of size ${size} is in the root tree`);
  });

  it('cannot be known of exports of before, which verify as they did unless a whole is insisted on', async () => {
    const older = await exported([p0, p2], { filter });
    const { findings, coverage, notShown } = await verify(older);
    expect([findings, coverage]).toEqual([[], { kind: 'unknown', asked: null, missing: [] }]);
    expect(notShown.join()).toContain('p0, p2 are here; compare with how many it has');
    expect((await verify(older, 'whole')).findings).toMatchObject([{ kind: 'INCOMPLETE', where: { tree: 'root' } }]);
  });
});
