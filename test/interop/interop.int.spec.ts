import { execFile, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import {
  checkConsistency,
  checkInclusion,
  entriesPath,
  formatEntries,
  formatCheckpointNote,
  Frontier,
  generateSigner,
  leafHash,
  leafIndex,
  openCheckpointNote,
  parseBase64,
  parseEntries,
  parseEntriesPath,
  parseTilePath,
  proveConsistency,
  proveInclusion,
  signCheckpointNote,
  tileHashReader,
  tilePath,
  tileWidth,
  treeSize,
  type Hash,
  type NoteSigner,
  type TileAddress,
} from '#lib/audit';
import { describeWith, isLong } from '../support/requirement.js';
import { verified } from '../support/verification.js';

/*
 * The same entries, sizes and key on every side: notes, proofs and tiles must be the same bytes whoever made them.
 */
const SIZES = isLong ? [1, 2, 3, 7, 8, 130, 255, 256, 257, 1_000, 66_000] : [1, 2, 3, 7, 8, 130, 256, 257, 600];
const HERE = path.join(process.cwd(), 'test', 'interop');
const run = promisify(execFile);
jest.setTimeout(isLong ? 1_200_000 : 60_000);
const signer: NoteSigner = generateSigner('fabula.test/audit');
const origin = 'fabula.test/audit/log-1/p0';
const largest = SIZES.at(-1) as number;
const entries = Array.from({ length: largest }, (_, i) => Buffer.from(`{"index":"${i}","text":"${'é'.repeat(i % 7)}"}`));

let folder = '';
const roots = new Map<number, Hash>();
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'fabula-interop-'));
  await makeOurs(path.join(folder, 'ours'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function put(directory: string, name: string, content: string | Uint8Array): void {
  mkdirSync(path.dirname(path.join(directory, name)), { recursive: true });
  writeFileSync(path.join(directory, name), content);
}

/** What Fabula writes: a note, proofs and tiles for every size. */
async function makeOurs(directory: string): Promise<void> {
  const hashes = new Map<string, Hash[]>();
  const frontier = new Frontier();
  const reader = tileHashReader((tiles) => Promise.resolve(tiles.map((tile) => bytesOf(tile))));
  const bytesOf = ({ level, index }: TileAddress): Buffer => Buffer.concat(hashes.get(`${level}/${index}`) ?? []);
  put(
    directory,
    'input.json',
    JSON.stringify({
      skey: signer.skey,
      vkey: signer.verifier.vkey,
      origin,
      sizes: SIZES,
      entries: entries.map((entry) => entry.toString('base64')),
    }),
  );
  put(directory, 'vkey', `${signer.verifier.vkey}\n`);
  const lines: string[] = [];
  const line = (kind: string, size: number, at: number, proof: readonly Hash[]): void => {
    lines.push([kind, size, at, ...proof.map((hash) => hash.toString('base64'))].join(' '));
  };
  for (const size of SIZES) {
    for (let i = Number(frontier.size); i < size; i++)
      frontier.append(leafHash(entries[i] as Buffer), ({ level, index }, hash) => {
        if (level % 8 !== 0) return;
        const key = `${level / 8}/${index >> 8n}`;
        const tile = hashes.get(key);
        if (tile === undefined) hashes.set(key, [hash]);
        else tile.push(hash);
      });
    roots.set(size, frontier.root());
    put(directory, `note-${size}`, signCheckpointNote({ origin, size: treeSize(size), root: frontier.root() }, signer));
    for (let index = 0; index < size; index += size > 1_000 ? 97 : 1)
      line('inclusion', size, index, await proveInclusion(reader, treeSize(size), leafIndex(index)));
    for (const before of SIZES.filter((one) => one <= size))
      line('consistency', size, before, await proveConsistency(reader, treeSize(size), treeSize(before)));
    for (let level = 0; size >> (8 * level) > 0; level++)
      for (let index = 0n; ; index++) {
        const width = tileWidth(BigInt(size), { level, index });
        if (width === 0) break;
        put(directory, tilePath({ level, index }, width), bytesOf({ level, index }).subarray(0, 32 * width));
        const from = Number(index) * 256;
        if (level === 0) put(directory, entriesPath(index, width), formatEntries(entries.slice(from, from + width)));
      }
  }
  put(directory, 'proofs.txt', `${lines.join('\n')}\n`);
}

const files = (directory: string): string[] =>
  readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(path.join(directory, name)).isFile())
    .toSorted();

/** A copy with one byte changed in that file. */
function changed(name: string): string {
  const copy = mkdtempSync(path.join(folder, 'changed-'));
  cpSync(path.join(folder, 'ours'), copy, { recursive: true });
  const file = path.join(copy, name);
  const bytes = readFileSync(file);
  const at = name === 'proofs.txt' ? bytes.indexOf(`inclusion ${largest} 0 `) + 25 : bytes.length >> 1;
  bytes[at] = bytes[at] === 65 ? 66 : 65;
  writeFileSync(file, bytes);
  return copy;
}
async function refused(command: string, ...args: string[]): Promise<string> {
  const failed = await run(command, args).then(
    () => undefined,
    (error: { readonly stderr: string }) => error.stderr,
  );
  return failed ?? 'accepted';
}

const go = spawnSync('go', ['mod', 'download'], { cwd: path.join(HERE, 'go') }).status === 0;
describeWith('go', go, 'Go is not here, or cannot get golang.org/x/mod', "Go's sumdb/tlog and sumdb/note", () => {
  let program = '';
  beforeAll(async () => {
    program = path.join(folder, 'interop');
    await run('go', ['build', '-o', program, '.'], { cwd: path.join(HERE, 'go') });
    await run(program, ['make', path.join(folder, 'ours'), path.join(folder, 'theirs')]);
  });

  it('verify our notes, inclusion and consistency proofs and tiles', async () => {
    await expect(run(program, ['check', path.join(folder, 'ours')])).resolves.toBeDefined();
  });

  it('refuse each of them once a byte of it is changed', async () => {
    for (const [name, words] of [
      [`note-${largest}`, /note of/],
      ['note-3', /note of 3/],
      ['proofs.txt', /proofs\.txt/],
      ['tile/0/000', /tiles of/],
      ['tile/entries/000', /other entries/],
    ] as const)
      expect([name, await refused(program, 'check', changed(name))]).toEqual([name, expect.stringMatching(words)]);
  });

  it('make the very bytes that we make: every note, proof and tile', async () => {
    const figures = await verified('5.2 Go beside us', () => {
      const [ours, theirs] = [path.join(folder, 'ours'), path.join(folder, 'theirs')];
      expect(files(theirs)).toEqual(files(ours).filter((name) => name !== 'input.json' && name !== 'vkey'));
      const other = files(theirs).filter((name) => !readFileSync(path.join(ours, name)).equals(readFileSync(path.join(theirs, name))));
      expect(other).toEqual([]);
      return Promise.resolve({
        sizes: SIZES.map(String),
        notes: SIZES.length,
        proofs: readFileSync(path.join(theirs, 'proofs.txt'), 'utf8').trimEnd().split('\n').length,
        tiles: files(theirs).filter((name) => name.startsWith('tile/')).length,
        filesThatDiffer: other.length,
      });
    });
    expect(figures.tiles).toBeGreaterThan(SIZES.length);
  });

  it('make what we verify, read from their files alone', () => {
    const theirs = path.join(folder, 'theirs');
    const notes = new Map(
      SIZES.map((size) => [size, openCheckpointNote(readFileSync(path.join(theirs, `note-${size}`)), [signer.verifier])]),
    );
    let proofs = 0;
    for (const text of readFileSync(path.join(theirs, 'proofs.txt'), 'utf8').trimEnd().split('\n')) {
      const [kind, size, at, ...words] = text.split(' ') as [string, string, string, ...string[]];
      const hashes = words.map((word) => parseBase64(word, 32) as Hash);
      const tree = notes.get(Number(size));
      const before = notes.get(Number(at));
      const holds =
        kind === 'inclusion'
          ? checkInclusion(
              hashes,
              treeSize(BigInt(size)),
              tree?.root as Hash,
              leafIndex(BigInt(at)),
              leafHash(entries[Number(at)] as Buffer),
            )
          : checkConsistency(hashes, treeSize(BigInt(size)), tree?.root as Hash, treeSize(BigInt(at)), before?.root as Hash);
      if (holds) proofs++;
      else expect(text).toBe('a proof that holds');
    }
    expect(proofs).toBe(
      readFileSync(path.join(folder, 'ours', 'proofs.txt'), 'utf8')
        .trimEnd()
        .split('\n').length,
    );
    for (const name of files(theirs).filter((one) => one.startsWith('tile/'))) {
      const bytes = readFileSync(path.join(theirs, name));
      const hashes = parseTilePath(name);
      const bundle = parseEntriesPath(name);
      if (hashes !== undefined) expect(bytes).toHaveLength(32 * hashes.width);
      else expect(parseEntries(bytes, bundle?.width ?? 0)).toHaveLength(bundle?.width ?? -1);
    }
  });
});

const openssl = (spawnSync('openssl', ['version'], { encoding: 'utf8' }).stdout ?? '').startsWith('OpenSSL 3');
describeWith('openssl', openssl, 'OpenSSL 3 is not here', 'OpenSSL', () => {
  const spki = Buffer.from('302a300506032b6570032100', 'hex');
  const pkcs8 = Buffer.from('302e020100300506032b657004220420', 'hex');
  const keyOf = (key: string): Buffer =>
    (parseBase64(key.slice(key.lastIndexOf(`${signer.keyId.toString(16).padStart(8, '0')}+`) + 9), 33) as Buffer).subarray(1);

  it('verifies the signature of a note, refuses it over another text, and signs the very same bytes', async () => {
    const directory = path.join(folder, 'openssl');
    const text = formatCheckpointNote({ origin, size: treeSize(3), root: roots.get(3) as Hash });
    const note = readFileSync(path.join(folder, 'ours', 'note-3'), 'utf8');
    const signature = (parseBase64(note.slice(note.lastIndexOf(' ') + 1).trimEnd()) as Buffer).subarray(4);
    put(directory, 'public.der', Buffer.concat([spki, keyOf(signer.verifier.vkey)]));
    put(directory, 'private.der', Buffer.concat([pkcs8, keyOf(signer.skey)]));
    put(directory, 'text', text);
    put(directory, 'other', text.replace('\n3\n', '\n4\n'));
    put(directory, 'signature', signature);
    const file = (name: string): string => path.join(directory, name);
    const verify = (name: string): string[] => [
      'pkeyutl',
      '-verify',
      '-pubin',
      '-keyform',
      'DER',
      '-inkey',
      file('public.der'),
      '-rawin',
      '-in',
      file(name),
      '-sigfile',
      file('signature'),
    ];
    expect((await run('openssl', verify('text'))).stdout).toContain('Verified Successfully');
    expect(await refused('openssl', ...verify('other'))).not.toBe('accepted');
    await run('openssl', [
      'pkeyutl',
      '-sign',
      '-keyform',
      'DER',
      '-inkey',
      file('private.der'),
      '-rawin',
      '-in',
      file('text'),
      '-out',
      file('signed'),
    ]);
    expect(readFileSync(file('signed'))).toEqual(signature);
  });
});

const python = spawnSync('python3', ['-c', 'import sys; sys.exit(sys.version_info < (3, 8))']).status === 0;
describeWith('python', python && openssl, 'Python 3 with OpenSSL is not here', 'Python', () => {
  it('verifies notes, roots and proofs from the files alone', async () => {
    const { stdout } = await run('python3', [path.join(HERE, 'verify.py'), path.join(folder, 'ours')]);
    expect(stdout.trimEnd().split('\n')).toEqual(SIZES.map((size) => `${origin} ${size} ${roots.get(size)?.toString('hex')}`));
  });

  it('refuses each of them once a byte of it is changed', async () => {
    for (const name of ['note-3', `note-${largest}`, 'proofs.txt', 'tile/entries/000'])
      expect([name, await refused('python3', path.join(HERE, 'verify.py'), changed(name))]).not.toEqual([name, 'accepted']);
  });
});
