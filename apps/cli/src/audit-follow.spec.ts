import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  generateSigner,
  openSigningKey,
  openTlogProof,
  originOf,
  parseTrust,
  Proofs,
  Tiles,
  type LogName,
  type MemoryAuditStore,
} from '#lib/audit';
import { audited, testSigner, type Audited } from '../../../libs/audit/src/testing/audited.js';
import { recorded } from './testing/recorded.js';

const { vkey } = testSigner.verifier;
const URL_AND_TOKEN = ['--url', 'http://fabula.test', '--token', 't'];

describe('following an audit by its tiles', () => {
  let folder: string;
  let history: Audited<MemoryAuditStore>;
  /** What the server would answer of that history; `spoil` changes bytes on the way. */
  const answering = (spoil?: (path: string, bytes: Buffer) => Buffer): typeof fetch => {
    const { store, logId } = history;
    const tiles = new Tiles(store, logId);
    return async (input) => {
      const { pathname, searchParams } = new URL(input instanceof Request ? input.url : input);
      if (pathname === '/audit/logs') {
        const heads = await store.heads();
        const logs = await Promise.all(
          heads.map(async ({ log, size }) => ({
            log,
            origin: originOf(testSigner.name, logId, log),
            size: String(size),
            signedSize: String((await store.latestNote(log, logId))?.size ?? 0n),
            signedAt: null,
          })),
        );
        return Response.json({ logId, verifierKey: vkey, logs });
      }
      const [, , , log, ...rest] = pathname.split('/') as [string, string, string, LogName, ...string[]];
      if (rest[0] === 'checkpoint') return new Response((await store.latestNote(log, logId))?.note);
      if (rest[0] === 'proof') {
        const proof = await new Proofs(store, logId).inclusion(
          log,
          BigInt(searchParams.get('index') ?? ''),
          BigInt(searchParams.get('size') ?? ''),
        );
        return Response.json({ leaf: proof.leaf.toString('utf8'), hashes: proof.hashes.map((hash) => hash.toString('base64')) });
      }
      const bytes = await tiles.read(log, rest.join('/'));
      if (bytes === undefined) return Response.json({ code: 'NOT_FOUND', status: 404 }, { status: 404 });
      return new Response(new Uint8Array(spoil?.(pathname, Buffer.from(bytes)) ?? bytes));
    };
  };

  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'fabula-follow-'));
    history = audited(12);
    await history.round(12);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('writes every signed tree as a static log, and goes on with it when it has grown', async () => {
    const out = path.join(folder, 'mirror');
    const first = await recorded(['audit', 'tiles', '--out', out, '--key', vkey, ...URL_AND_TOKEN], { fetch: answering() });
    expect(first).toMatchObject({ code: 0, out: expect.stringMatching(/✓ p0: [\d,]+ leaves in/) as string });
    expect(readdirSync(out).toSorted()).toEqual(['p0', 'p1', 'root']);
    expect(readFileSync(path.join(out, 'p0', 'checkpoint'), 'utf8')).toBe((await history.store.latestNote('p0', history.logId))?.note);
    await history.round(3);
    const again = await recorded(['audit', 'tiles', '--out', out, '--log', 'p0', '--json', ...URL_AND_TOKEN], { fetch: answering() });
    const size = String((await history.store.latestNote('p0', history.logId))?.size);
    expect(JSON.parse(again.out)).toEqual({ logs: [{ log: 'p0', size, directory: path.join(out, 'p0') }] });
  });

  test('takes nothing of a server that shows other entries, or signs with another key', async () => {
    const out = path.join(folder, 'spoilt');
    const spoil = (name: string, bytes: Buffer): Buffer => {
      if (name.includes('/entries/')) bytes[9]! ^= 1;
      return bytes;
    };
    const spoilt = await recorded(['audit', 'tiles', '--out', out, '--log', 'p0', ...URL_AND_TOKEN], { fetch: answering(spoil) });
    expect(spoilt).toMatchObject({ code: 1, err: expect.stringContaining('entry 0 has another hash') as string });
    const stranger = generateSigner(testSigner.name).verifier.vkey;
    const foreign = await recorded(['audit', 'tiles', '--out', out, '--key', stranger, ...URL_AND_TOKEN], { fetch: answering() });
    expect(foreign).toMatchObject({ code: 1, err: expect.stringContaining('no known key signed it') as string });
    expect(existsSync(path.join(out, 'p0', 'checkpoint'))).toBe(false);
  });

  test('keeps a proof as a tlog-proof file with its leaf, and overwrites none', async () => {
    const out = path.join(folder, 'leaf.tlog-proof');
    const prove = ['audit', 'prove', '--log', 'p0', '--index', '3', '--out', out, '--key', vkey, ...URL_AND_TOKEN];
    expect((await recorded(prove, { fetch: answering() })).code).toBe(0);
    const opened = openTlogProof(readFileSync(out, 'utf8'), readFileSync(`${out}.leaf`), parseTrust(vkey));
    expect(opened).toMatchObject({ index: 3n, note: { origin: originOf(testSigner.name, history.logId, 'p0') } });
    expect((await recorded(prove, { fetch: answering() })).code).toBe(2);
  });
});

describe('fabula keys signing', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'fabula-signing-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('make lays the next key beside the current one, once', async () => {
    expect(await recorded(['keys', 'signing', 'make', '--dir', folder])).toMatchObject({ code: 1 });
    const current = await openSigningKey(path.join(folder, 'audit-signing.key'), 'fabula.test');
    const { code, out } = await recorded(['keys', 'signing', 'make', '--dir', folder]);
    expect([code, parseTrust(out.trim())[0]?.verifier.name]).toEqual([0, 'fabula.test']);
    expect(out.trim()).not.toBe(current.verifier.vkey);
    expect(await recorded(['keys', 'signing', 'make', '--dir', folder])).toMatchObject({
      code: 1,
      err: expect.stringContaining('already') as string,
    });
  });

  test('rotate proposes the action, and refuses what is no key', async () => {
    const asked: unknown[] = [];
    const fetching: typeof fetch = (_input, init) => {
      asked.push(JSON.parse(init?.body as string));
      return Promise.resolve(Response.json({ id: 'a-0123456789abcdef' }, { status: 201 }));
    };
    const rotate = (to: string) =>
      recorded(['keys', 'signing', 'rotate', '--to', to, '--reason', 'yearly', ...URL_AND_TOKEN], { fetch: fetching });
    expect(await rotate(vkey)).toMatchObject({ code: 0, out: expect.stringContaining('a-0123456789abcdef') as string });
    expect(asked).toEqual([{ action: { kind: 'rotate-signing-key', newVkey: vkey }, reason: 'yearly' }]);
    expect((await rotate('no+key')).code).toBe(2);
  });

  test('show prints the policy alone on its output, with the limits of replaced keys beside it', async () => {
    const older = generateSigner('fabula.test/audit').verifier.vkey;
    const trust = `log ${vkey}\nlog-until ${older} p0=12 root=4\n`;
    const fetching: typeof fetch = () => Promise.resolve(Response.json({ logId: 'l', verifierKey: vkey, trust, logs: [] }));
    const shown = await recorded(['keys', 'signing', 'show', ...URL_AND_TOKEN], { fetch: fetching });
    expect(shown).toMatchObject({ code: 0, out: trust, err: expect.stringContaining('p0 12, root 4') as string });
    writeFileSync(path.join(folder, 'trust'), shown.out);
    expect(parseTrust(readFileSync(path.join(folder, 'trust'), 'utf8'))).toHaveLength(2);
    const asJson = JSON.parse((await recorded(['keys', 'signing', 'show', '--json', ...URL_AND_TOKEN], { fetch: fetching })).out) as {
      keys: unknown;
    };
    expect(asJson.keys).toEqual([
      { vkey, until: null },
      { vkey: older, until: { p0: '12', root: '4' } },
    ]);
  });
});
