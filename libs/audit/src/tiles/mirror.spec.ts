import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { KeptNote, StoredLeaf } from '../audit-store.js';
import { MemoryAuditStore } from '../memory/memory-audit-store.js';
import {
  entriesPath,
  formatEntries,
  generateSigner,
  leafHash,
  parseEntries,
  parseEntriesPath,
  signCheckpointNote,
  treeSize,
  UnverifiedNote,
  type TrustedKey,
} from '../tlog/index.js';
import { edgeTiles, TreeGrowth } from '../tree-growth.js';
import { MirrorRefused, mirrorTiles, type MirrorOptions } from './mirror.js';
import { Tiles } from './tiles.js';

/** In the long form the tree gets a third level of tiles. */
const LAST = process.env['FABULA_TEST_LONG'] === undefined ? 1_100 : 66_000;
const signer = generateSigner('fabula.test/audit');
const keys: readonly TrustedKey[] = [{ verifier: signer.verifier }];
const origin = 'fabula.test/audit/log-1/p0';

/** A log of made-up entries, signed at every size to which it was grown. */
async function made(what = 'entry') {
  const store = new MemoryAuditStore();
  await store.open('p0', 'log-1');
  let note = '';
  const grow = async (to: number): Promise<void> => {
    await store.transact('p0', async ({ head, tiles, grow: append, keepNotes }) => {
      const growth = new TreeGrowth(head, await tiles(edgeTiles(head.size)));
      const leaves: StoredLeaf[] = [];
      for (let i = Number(head.size); i < to; i++) {
        const bytes = Buffer.from(`${what} ${i} ${'.'.repeat(i % 50)}`);
        leaves.push({ index: BigInt(i), offset: i, time: i, bytes, stream: null, correlationId: null, actor: null, accepted: false });
        growth.append(leafHash(bytes));
      }
      const next = { ...head, size: growth.size, nextOffset: to, frontier: growth.hashes };
      await append({ leaves, tiles: growth.takeChanged(), head: next });
      note = signCheckpointNote({ origin, size: treeSize(to), root: growth.root() }, signer);
      const kept: KeptNote = {
        log: 'p0',
        logId: 'log-1',
        size: BigInt(to),
        root: growth.root(),
        note,
        signedAt: 1,
        publishedAt: 1,
        rootIndex: BigInt(to),
      };
      await keepNotes([kept]);
    });
  };
  const served = new Tiles(store, 'log-1');
  const asked: string[] = [];
  const options = (directory: string): MirrorOptions => ({
    directory,
    keys,
    origin,
    checkpoint: () => Promise.resolve(note),
    tile: (name) => (asked.push(name), served.read('p0', name)),
  });
  return { store, grow, served, asked, options };
}

const folders: string[] = [];
const folder = (): string => {
  const made = mkdtempSync(path.join(tmpdir(), 'fabula-tiles-'));
  folders.push(made);
  return made;
};
afterAll(() => {
  for (const one of folders) rmSync(one, { recursive: true });
});
const files = (directory: string): Map<string, string> =>
  new Map(
    readdirSync(directory, { recursive: true, encoding: 'utf8' })
      .filter((name) => statSync(path.join(directory, name)).isFile())
      .toSorted()
      .map((name) => [name, readFileSync(path.join(directory, name), 'base64')]),
  );

describe('tiles as they are served', () => {
  it('hold the entries and hashes of the signed tree, whole or any beginning of them, and nothing more', async () => {
    const { grow, served, store } = await made();
    await grow(600);
    const leaves = store.trees.get('p0')?.leaves ?? [];
    const hashes = (from: number, to: number): Buffer => Buffer.concat(leaves.slice(from, to).map(({ bytes }) => leafHash(bytes)));
    expect(await served.read('p0', 'tile/0/001')).toEqual(hashes(256, 512));
    expect(await served.read('p0', 'tile/0/002.p/88')).toEqual(hashes(512, 600));
    expect(await served.read('p0', 'tile/0/002.p/7')).toEqual(hashes(512, 519));
    expect(await served.read('p0', 'tile/entries/002.p/2')).toEqual(formatEntries(leaves.slice(512, 514).map(({ bytes }) => bytes)));
    expect((await served.read('p0', 'tile/1/000.p/2'))?.length).toBe(64);
    for (const name of [
      'tile/0/002',
      'tile/0/002.p/89',
      'tile/0/003.p/1',
      'tile/1/000',
      'tile/1/000.p/3',
      'tile/2/000.p/1',
      'tile/entries/002.p/89',
      'tile/0/2',
      'tile/entries/00',
      '../p0',
      'checkpoint',
    ])
      expect([name, await served.read('p0', name)]).toEqual([name, undefined]);
    expect(await served.read('p1', 'tile/0/000')).toBeUndefined();
    // What is not signed yet is not shown.
    store.keptNotes.length = 0;
    expect(await served.read('p0', 'tile/0/001')).toBeUndefined();
  });

  it('name entries like hashes, and read back exactly what was put together', () => {
    expect(entriesPath(1234067n, 256)).toBe('tile/entries/x001/x234/067');
    expect(parseEntriesPath('tile/entries/000.p/5')).toEqual({ level: 0, index: 0n, width: 5 });
    for (const bad of ['tile/0/000', 'tile/entries/0', 'tile/entries/000.p/0', 'tile/entries/entries/000'])
      expect(parseEntriesPath(bad)).toBeUndefined();
    const entries = [Buffer.from('a'), Buffer.alloc(0), Buffer.alloc(65_535, 7)];
    const bytes = formatEntries(entries);
    expect(parseEntries(bytes, 3)).toEqual(entries);
    for (const cut of [bytes.subarray(0, -1), Buffer.concat([bytes, Buffer.from('x')]), bytes.subarray(0, 4)])
      expect(parseEntries(cut, 3)).toBeUndefined();
    expect(parseEntries(bytes, 2)).toBeUndefined();
    expect(() => formatEntries([Buffer.alloc(65_536)])).toThrow(RangeError);
  });
});

describe('a directory of tiles', () => {
  it('grown in steps is the one made at once, but for narrower tiles of before; each step asks for new tiles only', async () => {
    const log = await made();
    const stepwise = folder();
    for (const size of [1, 255, 256, 257, 700, LAST]) {
      await log.grow(size);
      log.asked.length = 0;
      expect((await mirrorTiles(log.options(stepwise))).size).toBe(BigInt(size));
      if (size === 700)
        expect(log.asked.toSorted()).toEqual(['tile/0/001', 'tile/0/002.p/188', 'tile/entries/001', 'tile/entries/002.p/188']);
    }
    const once = folder();
    await mirrorTiles(log.options(once));
    const [left, right] = [files(stepwise), files(once)];
    for (const [name, bytes] of right) expect([name, left.get(name)]).toEqual([name, bytes]);
    expect([...left.keys()].filter((name) => !right.has(name)).filter((name) => !/^tile\/1\/000\.p\/[0-9]+$/.test(name))).toEqual([]);
    expect(right.has(LAST > 65_536 ? 'tile/2/000.p/1' : 'tile/1/000.p/4')).toBe(true);
    // The higher levels are the log's own, byte for byte.
    for (const name of right.keys())
      if (name.startsWith('tile/'))
        expect([name, right.get(name)]).toEqual([name, (await log.served.read('p0', name))?.toString('base64')]);
  });

  it('is gone on with after every interruption, without asking twice', async () => {
    const log = await made();
    await log.grow(2_000);
    const directory = folder();
    let left = 3;
    const options = log.options(directory);
    const breaking: MirrorOptions = {
      ...options,
      tile: (name) => (left-- > 0 ? options.tile(name) : Promise.reject(new Error('power cut'))),
    };
    let broken = 0;
    for (; broken < 50; broken++) {
      left = 3;
      try {
        await mirrorTiles(breaking);
        break;
      } catch (error) {
        expect(String(error)).toContain('power cut');
        expect(files(directory).has('checkpoint')).toBe(false);
      }
    }
    expect(broken).toBe(7);
    const whole = folder();
    await mirrorTiles(options);
    await mirrorTiles(log.options(whole));
    expect(files(directory)).toEqual(files(whole));
  });

  it('takes nothing that contradicts the signed tree, and never goes back or over to another history', async () => {
    const log = await made();
    await log.grow(600);
    const directory = folder();
    await mirrorTiles(log.options(directory));
    const before = files(directory);
    await log.grow(1_000);
    const flipped = (wanted: string): MirrorOptions => {
      const options = log.options(directory);
      return {
        ...options,
        tile: async (name) => {
          const bytes = Buffer.from((await options.tile(name)) ?? []);
          if (name === wanted) bytes[5]! ^= 1;
          return bytes;
        },
      };
    };
    await expect(mirrorTiles(flipped('tile/entries/002'))).rejects.toThrow(/entry 512 has another hash/);
    await expect(mirrorTiles(flipped('tile/0/002'))).rejects.toThrow(/entry 512 has another hash/);
    await expect(mirrorTiles({ ...log.options(directory), tile: () => Promise.resolve(undefined) })).rejects.toThrow(/does not have tile/);

    const fork = await made('forked');
    await fork.grow(1_000);
    await expect(mirrorTiles(fork.options(directory))).rejects.toThrow(/another history.*signed at size 600/);
    const old = await made();
    await old.grow(500);
    await expect(mirrorTiles(old.options(directory))).rejects.toThrow(/set back/);
    await expect(mirrorTiles({ ...log.options(directory), origin: 'fabula.test/audit/log-1/p1' })).rejects.toThrow(MirrorRefused);
    await expect(
      mirrorTiles({ ...log.options(directory), keys: [{ verifier: generateSigner('fabula.test/audit').verifier }] }),
    ).rejects.toThrow(UnverifiedNote);
    expect(files(directory).get('checkpoint')).toBe(before.get('checkpoint'));

    writeFileSync(path.join(directory, 'tile/1/000.p/2'), Buffer.alloc(64));
    await expect(mirrorTiles(log.options(directory))).rejects.toThrow(MirrorRefused);
  });
});
