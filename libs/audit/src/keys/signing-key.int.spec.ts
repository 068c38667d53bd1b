import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DirectoryNoteKeeper } from '../note-keeper.js';
import { KeyRefused } from './announce-key.js';
import { makeNextKey, nextKeyFile, openSigningKey, openSigningKeys, settleSigningKeys, SigningKeyUnusable } from './signing-key.js';

describe('the signing key', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'fabula-key-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  it('is made once, for its owner alone, also when several processes start at once', async () => {
    const file = path.join(directory, 'keys', 'audit.key');
    const opened = await Promise.all(Array.from({ length: 8 }, () => openSigningKey(file, 'fabula.test')));
    expect(new Set(opened.map((signer) => signer.skey)).size).toBe(1);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await openSigningKey(file, 'fabula.test')).skey).toBe(opened[0]?.skey);
    expect((await readFile(file, 'utf8')).startsWith('PRIVATE+KEY+fabula.test+')).toBe(true);
  });

  it('is refused when others can read it, when it is damaged, and under another name', async () => {
    const file = path.join(directory, 'audit.key');
    const { skey } = await openSigningKey(file, 'fabula.test');
    await expect(openSigningKey(file, 'other.test')).rejects.toThrow(SigningKeyUnusable);
    await chmod(file, 0o640);
    await expect(openSigningKey(file, 'fabula.test')).rejects.toThrow(SigningKeyUnusable);
    await chmod(file, 0o600);
    await writeFile(file, skey.slice(0, -4));
    const damaged = openSigningKey(file, 'fabula.test');
    await expect(damaged).rejects.toThrow(SigningKeyUnusable);
    await expect(damaged).rejects.not.toThrow(skey.slice(40, 60));
  });

  it('is followed by the one that was made beside it: both are kept while both sign, then only what verifies the old one', async () => {
    const file = path.join(directory, 'audit-signing.key');
    await expect(makeNextKey(file)).rejects.toThrow(KeyRefused);
    const first = await openSigningKey(file, 'fabula.test');
    const next = await makeNextKey(file);
    expect(nextKeyFile(file)).toBe(path.join(directory, 'audit-signing.next.key'));
    expect((await stat(nextKeyFile(file))).mode & 0o777).toBe(0o600);
    await expect(makeNextKey(file)).rejects.toThrow(/already/);
    const vkeys = async (): Promise<string[][]> => {
      const { signers, former } = await openSigningKeys(file, 'fabula.test');
      return [signers.map(({ verifier }) => verifier.vkey), former.map(({ vkey }) => vkey)];
    };
    const [a, b] = [first.verifier.vkey, next.verifier.vkey];
    expect(await vkeys()).toEqual([[a, b], []]);
    const one = { vkey: a, since: {}, until: null, announcedAt: 0 };
    await settleSigningKeys(file, 'fabula.test', [one], 1_000);
    expect(await vkeys()).toEqual([[a, b], []]);
    const kept = [
      { ...one, until: { p0: '5' } },
      { vkey: b, since: { p0: '5' }, until: null, announcedAt: 1_000 },
    ];
    for (let again = 0; again < 2; again++) {
      await settleSigningKeys(file, 'fabula.test', kept, 1_500, 1_000);
      expect(await vkeys()).toEqual([[b, a], []]);
      await expect(stat(nextKeyFile(file))).rejects.toThrow('ENOENT');
    }
    for (let again = 0; again < 2; again++) {
      await settleSigningKeys(file, 'fabula.test', kept, 2_000, 1_000);
      expect(await vkeys()).toEqual([[b], [a]]);
    }
    expect(await readFile(file, 'utf8')).toBe(`${next.skey}\n${a}\n`);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  it('has notes kept beside it that are replaced whole', async () => {
    const keeper = new DirectoryNoteKeeper(path.join(directory, 'notes'));
    expect(await keeper.newest('p0')).toBeUndefined();
    await keeper.keep('p0', 'one\n');
    await keeper.keep('p0', 'two\n');
    await keeper.keep('root', 'r\n');
    expect([await keeper.newest('p0'), await keeper.newest('root')]).toEqual(['two\n', 'r\n']);
  });
});
