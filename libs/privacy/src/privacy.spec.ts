import { mkdtemp, readdir, rm, stat, writeFile, chmod } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describeKeyEncryption } from './contract/key-encryption-contract.js';
import { describePseudonymTable } from './contract/pseudonym-table-contract.js';
import { describeSubjectKeyStore } from './contract/subject-key-store-contract.js';
import { Eraser } from './eraser.js';
import { FileKeyEncryption } from './file-key-encryption.js';
import { KekUnusable } from './key-encryption.js';
import { blindIndexOf } from './keyring.js';
import { MemoryKeyEncryption } from './memory-key-encryption.js';
import { MemorySubjectKeys } from './memory-subject-keys.js';
import { BadSubject, MemoryPseudonyms, newPseudonym, Pseudonyms, type PseudonymTable } from './pseudonyms.js';
import { Sealer, SubjectForgotten, type Sealed } from './sealer.js';

const keys = new MemorySubjectKeys();
describeSubjectKeyStore('memory', () => keys);
const table = new MemoryPseudonyms();
describePseudonymTable('memory', () => table);
const encryption = new MemoryKeyEncryption();
describeKeyEncryption('memory', () => encryption);

describe('key-encryption keys in files', () => {
  let folder: string;
  beforeAll(async () => void (folder = await mkdtemp(path.join(os.tmpdir(), 'fabula-keks-'))));
  afterAll(() => rm(folder, { recursive: true, force: true }));
  const files = (): FileKeyEncryption => new FileKeyEncryption(path.join(folder, 'keks'));
  describeKeyEncryption('a folder', files);

  it('lie there for their owner alone, and leave nothing else behind', async () => {
    const id = await files().create();
    expect((await stat(path.join(files().place, `${id}.kek`))).mode & 0o777).toBe(0o600);
    expect((await stat(files().place)).mode & 0o777).toBe(0o700);
    await files().destroy(id);
    expect((await readdir(files().place)).filter((name) => !name.endsWith('.kek') || name.startsWith(id))).toEqual([]);
  });

  it('are refused when others can read them, when they are damaged, and under names that are paths', async () => {
    const id = await files().create();
    const file = path.join(files().place, `${id}.kek`);
    await chmod(file, 0o640);
    await expect(files().wrap(id, randomBytes(32), 'a')).rejects.toThrow(/can be read by others/);
    await chmod(file, 0o600);
    await writeFile(file, 'fabula-kek-1:AAAA\n');
    await expect(files().wrap(id, randomBytes(32), 'a')).rejects.toThrow(KekUnusable);
    for (const name of ['../escape', '', 'A', 'x'.repeat(64)]) await expect(files().create(name)).rejects.toThrow(KekUnusable);
  });
});

describe('the blind index', () => {
  it('is the same for the same person, another for anybody else or under another key, and holds nothing of the name', () => {
    const [key, other] = [randomBytes(32), randomBytes(32)];
    const name = fc.string({ minLength: 1, maxLength: 40 }).filter((text) => !/\p{Cc}/u.test(text) && text.isWellFormed());
    fc.assert(
      fc.property(name, name, name, name, (issuer, sub, issuer2, sub2) => {
        const blind = blindIndexOf(key)(issuer, sub);
        expect(blind).toEqual(blindIndexOf(key)(issuer, sub));
        expect(blind.equals(blindIndexOf(other)(issuer, sub))).toBe(false);
        expect(blind.equals(blindIndexOf(key)(issuer2, sub2))).toBe(issuer === issuer2 && sub === sub2);
      }),
    );
  });
});

describe('forgetting', () => {
  it("of any readers, in any order and however often, takes their texts and names and nobody else's", async () => {
    const subs = ['a', 'b', 'c', 'd'] as const;
    const step = fc.record({ forget: fc.boolean(), sub: fc.constantFrom(...subs), text: fc.string({ maxLength: 30, unit: 'grapheme' }) });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const [store, links] = [new MemorySubjectKeys(), new MemoryPseudonyms()];
        const [sealer, pseudonyms] = [new Sealer(store), new Pseudonyms(links)];
        const eraser = new Eraser(store, links, (pseudonym) => pseudonyms.drop(pseudonym));
        const written: { readonly by: string; readonly text: string; readonly sealed: Sealed }[] = [];
        const forgotten = new Set<string>();
        for (const { forget, sub, text } of steps) {
          const by = await pseudonyms.of('i', sub);
          expect(forgotten.has(by)).toBe(false);
          if (!forget) {
            written.push({ by, text, sealed: (await sealer.seal(by, text)).sealed });
            continue;
          }
          const erased = await eraser.erase(by);
          expect(erased).toEqual({
            subject: by,
            keysDestroyed: [...new Set(written.filter((one) => one.by === by).map(({ sealed }) => sealed.kid))],
            linksCut: 1,
          });
          expect(await eraser.erase(by)).toEqual(erased);
          forgotten.add(by);
          await expect(sealer.seal(by, 'late')).rejects.toThrow(SubjectForgotten);
        }
        for (const { by, text, sealed } of written) expect(await sealer.unseal(by, sealed)).toBe(forgotten.has(by) ? null : text);
      }),
      { numRuns: 60 },
    );
  });

  it('takes a pseudonym only: anything else would leave a mark for nobody', async () => {
    const eraser = new Eraser(new MemorySubjectKeys(), new MemoryPseudonyms(), () => undefined);
    await expect(eraser.erase('ada@example.org')).rejects.toThrow(BadSubject);
  });
});

describe('the pseudonyms kept in memory', () => {
  const counting = (): PseudonymTable & { asked: string[] } => {
    const asked: string[] = [];
    const inner = new MemoryPseudonyms();
    return {
      asked,
      findOrAdd(issuer, sub, proposed) {
        asked.push(sub);
        return inner.findOrAdd(issuer, sub, proposed);
      },
      find: (issuer, sub) => inner.find(issuer, sub),
      cut: (pseudonym) => inner.cut(pseudonym),
    };
  };

  it('asks the table once for a reader, however often and however many at once', async () => {
    const counted = counting();
    const pseudonyms = new Pseudonyms(counted);
    await Promise.all([pseudonyms.of('i', 'a'), pseudonyms.of('i', 'a')]);
    await pseudonyms.of('i', 'a');
    expect(counted.asked).toEqual(['a']);
  });

  it('keeps those used last, up to its limit', async () => {
    const counted = counting();
    const pseudonyms = new Pseudonyms(counted, 2);
    for (const sub of ['a', 'b', 'a', 'c', 'a', 'b']) await pseudonyms.of('i', sub);
    expect(counted.asked).toEqual(['a', 'b', 'c', 'b']);
  });

  it('asks again after a failure', async () => {
    const counted = counting();
    let fails = true;
    const failing: PseudonymTable = {
      findOrAdd: (issuer, sub, proposed) => (fails ? Promise.reject(new Error('down')) : counted.findOrAdd(issuer, sub, proposed)),
      find: (issuer, sub) => counted.find(issuer, sub),
      cut: (pseudonym) => counted.cut(pseudonym),
    };
    const pseudonyms = new Pseudonyms(failing);
    await expect(pseudonyms.of('i', 'a')).rejects.toThrow('down');
    fails = false;
    expect(await pseudonyms.of('i', 'a')).toMatch(/^r-/);
  });

  it('does not keep an answer that was on its way while the reader was forgotten', async () => {
    const inner = new MemoryPseudonyms();
    let release: () => void = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    let first = true;
    const slow: PseudonymTable = {
      async findOrAdd(issuer, sub, proposed) {
        const found = await inner.findOrAdd(issuer, sub, proposed);
        if (first) {
          first = false;
          await held;
        }
        return found;
      },
      find: (issuer, sub) => inner.find(issuer, sub),
      cut: (pseudonym) => inner.cut(pseudonym),
    };
    const pseudonyms = new Pseudonyms(slow);
    const onItsWay = pseudonyms.of('i', 'a');
    const old = (await inner.find('i', 'a')) ?? '';
    await inner.cut(old);
    pseudonyms.drop(old);
    release();
    expect(await onItsWay).toBe(old);
    expect(await pseudonyms.of('i', 'a')).not.toBe(old);
  });

  it('makes pseudonyms that do not repeat', () => {
    const many = Array.from({ length: 2_000 }, newPseudonym);
    expect(new Set(many).size).toBe(2_000);
  });
});
