import { audited, bundleOf, streamed, testSigner, type Audited } from '../testing/audited.js';
import { pack, unpack, withManifest, type BundleFile } from '../testing/tampering.js';
import type { MemoryAuditStore } from '../memory/memory-audit-store.js';
import { bodiesOf, bodyLine, type RecordBodies } from './bodies.js';
import { EXIT_CODES } from './findings.js';
import { SealedFields } from './sealed-fields.js';
import { verifyBundle, type BundleReport } from './verify-bundle.js';

const verify = (bundle: Buffer): Promise<BundleReport> => verifyBundle(streamed(bundle), { vkey: testSigner.verifier.vkey });
const filter = { kind: 'term', term: { type: 'actor', value: 'actor-1' } } as const;
const isBodies = ({ name }: BundleFile): boolean => name.startsWith('data/bodies/p0-');
const withBodies = (files: readonly BundleFile[], change: (lines: string[]) => string[]): Buffer =>
  pack(
    withManifest(
      files.map((file) => {
        if (!isBodies(file)) return file;
        const lines = change(file.content.toString().split('\n').slice(0, -1));
        return { ...file, content: Buffer.from(lines.map((line) => `${line}\n`).join('')) };
      }),
      testSigner,
    ),
  );

describe('an export with bodies', () => {
  let history: Audited<MemoryAuditStore>;
  let bodies: RecordBodies;
  beforeAll(async () => {
    history = audited(71);
    await history.round(25);
    bodies = bodiesOf(history.log);
  });

  it('holds the very bytes of every record that a shown leaf is about, and of no other', async () => {
    for (const more of [{}, { filter }]) {
      const bundle = await bundleOf(history, { bodies, more });
      const report = await verify(bundle);
      expect(report.findings).toEqual([]);
      const [p0] = report.trees;
      expect(p0?.bodies).toEqual({ shown: p0?.shown, missing: 0 });
      expect(p0?.shown).toBeGreaterThan(3);
      expect(report.trees.find(({ tree }) => tree === 'root')?.bodies ?? null).toBeNull();
      const lines = (await unpack(bundle)).filter(isBodies).flatMap(({ content }) => content.toString().split('\n').slice(0, -1));
      expect(lines).toHaveLength(p0?.shown as number);
    }
  });

  it('is verified too where records stand as base64', async () => {
    const files = await unpack(await bundleOf(history, { bodies }));
    const report = await verify(withBodies(files, (lines) => lines.map((line) => `"${Buffer.from(line).toString('base64')}"`)));
    expect([report.findings, report.trees[0]?.bodies?.missing]).toEqual([[], 0]);
  });

  it('says which body is not the record of its leaf, and when one is left out', async () => {
    const files = await unpack(await bundleOf(history, { bodies }));
    const changed = await verify(withBodies(files, (lines) => lines.with(4, lines[5] as string)));
    expect(changed).toMatchObject({
      exitCode: EXIT_CODES.BODY,
      findingsTotal: 1,
      findings: [{ kind: 'BODY', where: { line: 5, index: '4' } }],
    });
    const fewer = await verify(withBodies(files, (lines) => lines.slice(0, -1)));
    expect(fewer).toMatchObject({ exitCode: EXIT_CODES.BODY, findingsTotal: 1 });
    const more = await verify(withBodies(files, (lines) => [...lines, 'null']));
    expect(more).toMatchObject({ exitCode: EXIT_CODES.BODY, findingsTotal: 1 });
    const none = await verify(
      pack(
        withManifest(
          files.filter((file) => !isBodies(file)),
          testSigner,
        ),
      ),
    );
    expect(none.exitCode).toBe(EXIT_CODES.MALFORMED);
  });

  it('verifies where records are kept no more, and counts them', async () => {
    const pruned: RecordBodies = {
      of: async (partition, offsets) => new Map([...(await bodies.of(partition, offsets))].filter(([offset]) => offset >= 5)),
    };
    const report = await verify(await bundleOf(history, { bodies: pruned }));
    expect(report.findings).toEqual([]);
    expect(report.trees[0]?.bodies).toEqual({ shown: (report.trees[0]?.shown as number) - 5, missing: 5 });
  });

  it('says how many sealed fields it shows, and of how many the erasure is told in it', async () => {
    const sealed = (kid: string): object => ({ alg: 'A256GCM', ct: 'x', iv: 'y', kid, tag: 'z' });
    const told = new SealedFields();
    const record = (value: object): void => told.record(Buffer.from(JSON.stringify(value)));
    record({ stream: 'playthrough/a', events: [{ type: 'CheckpointSet', name: sealed('k-1'), more: [sealed('k-2')] }] });
    record({ stream: 'playthrough/b', events: [{ name: sealed('k-1') }, { text: '"A256GCM"' }] });
    expect(told.report()).toEqual({ fields: 3, erased: 0, erasures: 0, complete: true });
    const result = { keysDestroyed: ['k-1', 'k-9'], linksCut: 1 };
    // Only the one stream that decides compliance tells of erasures.
    record({ stream: 'playthrough/c', events: [{ type: 'ActionCarriedOut', result: { keysDestroyed: ['k-2'] } }] });
    record({ stream: 'compliance/main', events: [{ type: 'ActionProposed', result: { keysDestroyed: ['k-2'] } }] });
    expect(told.report().erased).toBe(0);
    record({ stream: 'compliance/main', events: [{ type: 'ActionCarriedOut', result }] });
    expect(told.report()).toEqual({ fields: 3, erased: 2, erasures: 1, complete: true });
    told.record(Buffer.from(`${'['.repeat(60_000)}"A256GCM"${']'.repeat(60_000)}`));
    told.record(Buffer.from('"keysDestroyed" and no JSON'));
    for (let n = 0; n < 20_001; n++) record({ name: sealed(`other-${n}`) });
    expect(told.report()).toEqual({ fields: 20_004, erased: 2, erasures: 1, complete: false });
    expect((await verify(await bundleOf(history, { bodies }))).sealed).toEqual({ fields: 0, erased: 0, erasures: 0, complete: true });
    expect((await verify(await bundleOf(history))).sealed).toBeNull();
  });

  it('writes any bytes as one line', () => {
    expect(bodyLine(Buffer.from('{"a":1}')).toString()).toBe('{"a":1}');
    expect(bodyLine(Buffer.from('{"a":\n1}')).toString()).toBe(`"${Buffer.from('{"a":\n1}').toString('base64')}"`);
    expect(bodyLine(Buffer.from([0x7b, 0xff])).toString()).toBe('"e/8="');
    expect(bodyLine(Buffer.alloc(0)).toString()).toBe('""');
    expect(bodyLine(undefined).toString()).toBe('null');
  });
});
