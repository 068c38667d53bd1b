import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { BundleReport } from '#lib/audit';
import { audited, bundleOf, testSigner } from '../../../libs/audit/src/testing/audited.js';
import { pack, unpack, withLeaves, withManifest, type BundleFile } from '../../../libs/audit/src/testing/tampering.js';
import { describeWith } from '../../../test/support/requirement.js';
import { recorded } from './testing/recorded.js';

const { vkey } = testSigner.verifier;
const VERIFIER = path.resolve(__dirname, '../../../dist/verifier/verify.mjs');

/** With nothing but Node: another folder, no environment. */
function plainNode(folder: string, args: readonly string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, ['verify.mjs', ...args], { cwd: folder, env: {} });
  let [out, err] = ['', ''];
  child.stdout.on('data', (text) => (out += String(text)));
  child.stderr.on('data', (text) => (err += String(text)));
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, out, err })));
}

// Who runs one spec by hand may not have built; `npm test` builds first, and then a verifier that is missing is a failure.
const built = existsSync(VERIFIER) || process.env['FABULA_TEST_BUILT'] !== undefined;
describeWith('build', built, 'the build has not made it: npm run build', 'verify.mjs', () => {
  let folder: string;
  let files: BundleFile[];
  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'fabula-alone-'));
    const history = audited(81);
    await history.round(20);
    const bundle = await bundleOf(history, { verifier: readFileSync(VERIFIER) });
    files = await unpack(bundle);
    writeFileSync(path.join(folder, 'verify.mjs'), files.find(({ name }) => name === 'verify.mjs')?.content ?? '');
    writeFileSync(path.join(folder, 'good.tar'), bundle);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('taken out of an export verifies it in an empty folder, and reports as the command does', async () => {
    const alone = await plainNode(folder, ['good.tar', '--key', vkey]);
    const command = await recorded(['audit', 'verify', path.join(folder, 'good.tar'), '--key', vkey], { columns: 80 });
    expect(alone).toEqual({ code: 0, err: '', out: command.out.replace(folder + path.sep, '') });
    expect(alone.out).toMatch(/carries +verify\.mjs, sha256 [0-9a-f]{64}/);
  });

  test('finds what was changed, and ends with the code of its cause', async () => {
    const lies: [number, BundleFile[]][] = [
      [
        12,
        withManifest(
          withLeaves(files, 'p0', (lines) => lines.toSpliced(7, 1)),
          testSigner,
        ),
      ],
      [
        16,
        withManifest(
          withLeaves(files, 'p1', (lines) => lines.with(3, lines[3]!.replace('"time":"1', '"time":"2'))),
          testSigner,
        ),
      ],
      [17, files.map((file) => (file.name === 'verify.mjs' ? { ...file, content: Buffer.from('process.exitCode = 0;\n') } : file))],
      [
        17,
        files
          .map((file) => (file.name === 'verify.mjs' ? { ...file, name: 'verify.js' } : file))
          .filter(({ name }) => name !== 'verify.js'),
      ],
    ];
    for (const [wanted, lie] of lies) {
      writeFileSync(path.join(folder, 'bad.tar'), pack(lie));
      const { code, out } = await plainNode(folder, ['bad.tar', '--key', vkey, '--json']);
      expect([code, (JSON.parse(out) as BundleReport).exitCode]).toEqual([wanted, wanted]);
    }
  });

  test('says how it is used, and ends with 2 where it cannot be', async () => {
    expect(await plainNode(folder, ['--help'])).toMatchObject({ code: 0, out: expect.stringContaining('--previous') as string });
    expect(await plainNode(folder, [])).toMatchObject({ code: 2, err: expect.stringContaining('Name one file') as string });
    expect(await plainNode(folder, ['none.tar'])).toMatchObject({ code: 2, err: expect.stringContaining('cannot be read') as string });
    expect((await plainNode(folder, ['good.tar', '--keys', 'x'])).code).toBe(2);
  });
});
