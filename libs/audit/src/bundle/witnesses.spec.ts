import { audited, bundleOf, streamed, testSigner, type Audited } from '../testing/audited.js';
import { pack, unpack, withFile, withManifest } from '../testing/tampering.js';
import type { MemoryAuditStore } from '../memory/memory-audit-store.js';
import { generateCosigner, generateSigner, parseNote, signCheckpointNote, treeSize, withSignatures, type Cosigner } from '../tlog/index.js';
import { MalformedPolicy } from '../witness/policy.js';
import { EXIT_CODES } from './findings.js';
import type { RootEvidence } from './root-evidence.js';
import { verifyBundle, type BundleReport, type VerifyOptions } from './verify-bundle.js';

const { vkey } = testSigner.verifier;
const verify = (bundle: Buffer, options: VerifyOptions): Promise<BundleReport> => verifyBundle(streamed(bundle), { vkey, ...options });

describe('cosignatures on a bundle', () => {
  const [one, two, stranger] = ['one.test/w', 'two.test/w', 'three.test/w'].map(generateCosigner) as [Cosigner, Cosigner, Cosigner];
  const policyOf = (quorum: string): string =>
    `witness one ${one.verifier.vkey}\nwitness two ${two.verifier.vkey}\ngroup both all one two\nquorum ${quorum}\n`;
  const both = policyOf('both');
  const cosigned = (note: string, ...by: readonly Cosigner[]): string =>
    withSignatures(
      note,
      by.map((witness) => witness.cosign(parseNote(note).text, 1_800_000_000)),
    );
  let history: Audited<MemoryAuditStore>;
  let earlier: { size: bigint; note: string };
  let newest: { size: bigint; note: string };
  beforeAll(async () => {
    history = audited(90);
    await history.round(6);
    earlier = await noteOf();
    await history.round(6);
    newest = await noteOf();
    expect(newest.size).toBeGreaterThan(earlier.size);
  });
  const noteOf = async (): Promise<{ size: bigint; note: string }> => {
    const found = await history.store.latestNote('root', history.logId);
    return { size: found?.size ?? 0n, note: found?.note ?? '' };
  };
  const bundle = (rootNote: string, evidence: RootEvidence = {}): Promise<Buffer> => bundleOf(history, { rootNote, evidence });

  it('count by the policy that is given, not by the one in the bundle', async () => {
    const good = await bundle(cosigned(newest.note, one, two));
    const report = await verify(good, { policy: both });
    expect([report.exitCode, report.findings]).toEqual([0, []]);
    expect(report.witnesses).toMatchObject({
      quorum: 'reached',
      size: String(newest.size),
      cosignatures: [
        { name: 'one.test/w', state: 'verified', cosignedAt: 1_800_000_000_000 },
        { name: 'two.test/w', state: 'verified' },
      ],
    });
    expect(report.notShown.join()).not.toContain('no other history');
    // The policy's log is a key that was handed over too.
    const named = await verifyBundle(streamed(good), { policy: `log ${vkey}\n${both}` });
    expect([named.exitCode, named.keyTrusted]).toEqual([0, 'given']);
    const foreign = await verifyBundle(streamed(good), { policy: `log ${generateSigner(testSigner.name).verifier.vkey}\n${both}` });
    expect(foreign.exitCode).toBe(EXIT_CODES.SIGNATURE);
  });

  it('are listed and not trusted without a policy, or by one that does not name them', async () => {
    const unchecked = await verify(await bundle(cosigned(newest.note, one)), {});
    expect(unchecked).toMatchObject({
      exitCode: 0,
      witnesses: { quorum: 'unchecked', size: null, cosignatures: [{ state: 'not-trusted' }] },
    });
    expect(unchecked.notShown.join()).toContain('give your own policy');
    const strangers = await verify(await bundle(cosigned(newest.note, stranger)), { policy: policyOf('one') });
    expect(strangers).toMatchObject({
      exitCode: EXIT_CODES.WITNESS,
      witnesses: { quorum: 'missing', cosignatures: [{ state: 'not-trusted' }] },
    });
    const none = await verify(await bundle(newest.note), { policy: policyOf('none') });
    expect(none).toMatchObject({ exitCode: 0, witnesses: { quorum: 'none', cosignatures: [] } });
  });

  it('that are too few, wrong or of another note end with the code of witnesses', async () => {
    const few = await verify(await bundle(cosigned(newest.note, one)), { policy: both });
    expect(few).toMatchObject({
      exitCode: EXIT_CODES.WITNESS,
      findingsTotal: 1,
      findings: [{ kind: 'WITNESS', where: { file: 'data/root-checkpoint' } }],
    });
    const moved = withSignatures(newest.note, [one.cosign(parseNote(earlier.note).text, 1_800_000_000)]);
    const wrong = await verify(await bundle(moved), { policy: policyOf('one') });
    expect(wrong.exitCode).toBe(EXIT_CODES.WITNESS);
    expect(wrong.findings[0]?.message).toContain('the cosignature of one.test/w');
    expect(wrong.witnesses.cosignatures[0]?.state).toBe('wrong');
  });

  it('of an earlier note count where the newest has none yet, and the report says from where on nobody saw it', async () => {
    const carried = { cosigned: { size: earlier.size, note: cosigned(earlier.note, one, two) } };
    const report = await verify(await bundle(newest.note, carried), { policy: both });
    expect(report.findings).toEqual([]);
    expect(report.witnesses).toMatchObject({ quorum: 'reached', size: String(earlier.size) });
    expect(report.notShown.join()).toContain(`after size ${earlier.size}`);
    const few = await verify(await bundle(newest.note, { cosigned: { ...carried.cosigned, note: cosigned(earlier.note, two) } }), {
      policy: both,
    });
    expect(few.exitCode).toBe(EXIT_CODES.WITNESS);
  });

  it('of another history are a fork, whoever signs the manifest', async () => {
    const origin = parseNote(newest.note).text.split('\n')[0] as string;
    const forged = signCheckpointNote({ origin, size: treeSize(3n), root: Buffer.alloc(32, 7) }, testSigner);
    const files = await unpack(await bundle(newest.note, { cosigned: { size: earlier.size, note: cosigned(earlier.note, one, two) } }));
    const replaced = (change: (said: { note: string; hashes: string[] }) => object): Buffer =>
      pack(
        withManifest(
          withFile(files, 'data/root-cosigned.json', (content) => JSON.stringify(change(JSON.parse(content) as never))),
          testSigner,
        ),
      );
    for (const policy of [both, undefined]) {
      const lie = await verify(
        replaced((said) => ({ ...said, note: cosigned(forged, one, two) })),
        policy === undefined ? {} : { policy },
      );
      expect([lie.exitCode, lie.findings[0]?.where.file]).toEqual([EXIT_CODES.FORK, 'data/root-cosigned.json']);
    }
    expect(
      (
        await verify(
          replaced((said) => ({ ...said, hashes: said.hashes.slice(1) })),
          { policy: both },
        )
      ).exitCode,
    ).toBe(EXIT_CODES.FORK);
    const unsigned = await verify(
      replaced((said) => ({ ...said, note: said.note.replace(`\u2014 ${testSigner.name} `, '\u2014 other ') })),
      { policy: both },
    );
    expect(unsigned.exitCode).toBe(EXIT_CODES.SIGNATURE);
  });

  it('are asked of a policy that can be read', async () => {
    const good = await bundle(newest.note);
    await expect(verify(good, { policy: 'quorum x\n' })).rejects.toThrow(MalformedPolicy);
    await expect(
      verifyBundle(streamed(good), { policy: `log ${vkey}\nlog ${generateSigner('other').verifier.vkey}\nquorum none\n` }),
    ).rejects.toThrow('several names');
  });
});
