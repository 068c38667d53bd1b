import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import {
  leafHash,
  makeNextKey,
  mirrorTiles,
  openNote,
  openTrustedNote,
  parseEntries,
  parseTrust,
  parseVerifierKey,
  verifyBundle,
} from '#lib/audit';
import { ApiClient } from '../support/api-client.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { ServerProcess, temporaryDataDir } from '../support/server-process.js';
import { eventually } from './expectations.js';
import { complaintsOf } from './server-log.js';

jest.setTimeout(120_000);

interface Logs {
  readonly verifierKey: string;
  readonly trust: string;
  readonly logs: readonly { readonly log: string; readonly origin: string; readonly size: string; readonly signedSize: string }[];
}
interface Action {
  readonly stage: string;
  readonly blocked: string | null;
  readonly result: { readonly newVkey: string; readonly oldKeyValidUpTo: Readonly<Record<string, string>> };
}

describe('replacing the signing key of a running server', () => {
  let database: TestDatabase;
  let server: ServerProcess;
  let dataDir: string;
  let folder: string;
  const env = { FABULA_CHECKPOINT_INTERVAL_MS: '100' };
  const as = async (sub: string, role: 'admin' | 'dpo' | 'compliance' | 'reader'): Promise<ApiClient> =>
    new ApiClient(server.url, await server.token([role], sub));

  beforeAll(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'fabula-keys-'));
    dataDir = await temporaryDataDir();
    database = await createTestDatabase();
    server = await ServerProcess.start({ databaseUrl: database.url, dataDir, env });
  }, 120_000);
  afterAll(async () => {
    await server?.stop();
    await database?.drop();
    for (const one of [folder, dataDir]) await rm(one, { recursive: true, force: true });
  });

  const get = async <T>(where: string): Promise<T> => {
    const answer = await (await as('auditor', 'compliance')).rest('GET', where);
    if (answer.status !== 200) throw new Error(`${where}: ${answer.status} ${answer.text.slice(0, 300)}`);
    return answer.body as T;
  };
  const text = async (where: string): Promise<string> => (await (await as('auditor', 'compliance')).rest('GET', where)).text;
  /** The tree has grown since, and what has grown is signed. */
  const grown = async (since: bigint): Promise<string> => {
    const reader = await as('reader-1', 'reader');
    return eventually(async () => {
      await reader.start('the-cloakroom');
      const note = await text('/audit/logs/root/checkpoint');
      return BigInt(note.split('\n')[1] ?? '0') > since ? note : undefined;
    }, `the root tree is signed beyond ${since}`);
  };
  const sizeOf = (note: string): bigint => BigInt(note.split('\n')[1] as string);
  const signedBy = (note: string, vkey: string): boolean => {
    try {
      return openNote(note, [parseVerifierKey(vkey)]).verified.length === 1;
    } catch {
      // Not signed by it.
      return false;
    }
  };
  const bytesOf = async (where: string): Promise<Response> => {
    const { token } = await as('auditor', 'compliance');
    return fetch(`${server.url}${where}`, { headers: { authorization: `Bearer ${token}` } });
  };

  test('serves its trees as tiles that a mirror can follow, with nothing beyond what is signed', async () => {
    const note = await grown(0n);
    const { trust, logs } = await get<Logs>('/audit/logs');
    const { log, origin } = logs.find((one) => one.log !== 'root' && one.log !== 'access' && one.signedSize !== '0') ?? {
      log: '',
      origin: '',
    };
    const tile = async (name: string): Promise<Uint8Array | undefined> => {
      const answer = await bytesOf(`/audit/logs/${log}/${name}`);
      return answer.status === 404 ? undefined : new Uint8Array(await answer.arrayBuffer());
    };
    const { size } = await mirrorTiles({
      directory: path.join(folder, log),
      keys: parseTrust(trust),
      origin,
      checkpoint: () => text(`/audit/logs/${log}/checkpoint`),
      tile,
    });
    expect(size).toBeGreaterThan(0n);
    const answer = await bytesOf(`/audit/logs/${log}/tile/entries/000.p/1`);
    expect([answer.headers.get('content-type'), answer.headers.get('cache-control')]).toEqual([
      'application/octet-stream',
      'private, max-age=31536000, immutable',
    ]);
    const [entry] = parseEntries(new Uint8Array(await answer.arrayBuffer()), 1) ?? [];
    expect(Buffer.from((await tile('tile/0/000.p/1')) ?? [])).toEqual(leafHash(entry as Buffer));
    for (const name of ['tile/0/000', 'tile/0/x001/000', 'tile/9/000.p/1', 'tile/entries/../0/000', 'tile/0/000.p/255'])
      expect([name, await tile(name)]).toEqual([name, undefined]);
    expect((await (await as('someone', 'reader')).rest('GET', `/audit/logs/${log}/tile/0/000.p/1`)).status).toBe(403);
    expect(sizeOf(note)).toBeGreaterThan(0n);
  });

  test('two people have another key sign: both sign for a while, old notes verify on, and the old key has no say any more', async () => {
    const before = await grown(0n);
    const old = (await get<Logs>('/audit/logs')).verifierKey;
    const admin = await as('ada', 'admin');
    const officer = await as('dora', 'dpo');
    const proposal = (newVkey: string) =>
      admin.rest('POST', '/admin/compliance/actions', { action: { kind: 'rotate-signing-key', newVkey }, reason: 'the yearly change' });

    const next = await makeNextKey(path.join(dataDir, 'audit-signing.key'));
    const proposed = await proposal(next.verifier.vkey);
    expect([proposed.status, proposed.text]).toEqual([201, expect.any(String)]);
    const { id } = proposed.body as { id: string };
    expect((await admin.rest('POST', `/admin/compliance/actions/${id}/approve`, {})).status).not.toBe(200);
    expect((await officer.rest('POST', `/admin/compliance/actions/${id}/approve`, {})).status).toBe(200);
    const done = await eventually(async () => {
      const action = (await admin.rest('GET', `/admin/compliance/actions/${id}`)).body as Action;
      return action.stage === 'carried-out' ? action : undefined;
    }, 'the new key signs');
    expect(done.result.newVkey).toBe(next.verifier.vkey);
    const limit = BigInt(done.result.oldKeyValidUpTo['root'] as string);
    expect(limit).toBeGreaterThanOrEqual(sizeOf(before));

    const after = await grown(limit);
    expect([signedBy(after, old), signedBy(after, next.verifier.vkey)]).toEqual([true, true]);
    const { verifierKey, trust } = await get<Logs>('/audit/logs');
    expect(verifierKey).toBe(next.verifier.vkey);
    const keys = parseTrust(trust);
    expect(keys.map(({ verifier, until }) => [verifier.vkey, until?.get('root')])).toEqual([
      [next.verifier.vkey, undefined],
      [old, limit],
    ]);
    for (const note of [before, after]) expect(openTrustedNote(note, keys).size).toBe(sizeOf(note));
    const onlyOld = `${after.slice(0, after.indexOf('\n\n') + 2)}${after.split('\n').at(-2) as string}\n`;
    expect(signedBy(onlyOld, old)).toBe(true);
    expect(() => openTrustedNote(onlyOld, keys)).toThrow(/replaced/);
    expect((await readFile(path.join(dataDir, 'audit-signing.key'), 'utf8')).split('\n').map((line) => line.slice(0, 11))).toEqual([
      'PRIVATE+KEY',
      'PRIVATE+KEY',
      '',
    ]);
  });

  test('an export then verifies with the policy, with the new key, and while both sign with the old key alone; so does the store', async () => {
    const { trust, verifierKey } = await get<Logs>('/audit/logs');
    const auditor = await as('auditor', 'compliance');
    // Refused as busy by a server that has not answered in time: asked again, as its answer says.
    const id = await eventually(
      async () => ((await auditor.rest('POST', '/audit/exports', {})).body as { id?: string }).id,
      'an export to be taken',
    );
    await eventually(
      async () => ((await get<{ state: string }>(`/audit/exports/${id}`)).state === 'done' ? true : undefined),
      'the export',
    );
    const file = path.join(folder, 'export.tar');
    await writeFile(file, Buffer.from(await (await bytesOf(`/audit/exports/${id}/download`)).arrayBuffer()));
    const old = parseTrust(trust)[1]?.verifier.vkey as string;
    expect((await verifyBundle(file, { vkey: trust })).findings).toEqual([]);
    expect((await verifyBundle(file)).findings).toEqual([]);
    // What has not grown since is signed by the old key alone.
    const unchanged = (await verifyBundle(file, { vkey: verifierKey })).findings;
    expect(unchanged.filter(({ kind }) => kind !== 'SIGNATURE' && kind !== 'ROOT')).toEqual([]);
    expect((await verifyBundle(file, { vkey: old })).findings).toEqual([]);

    await auditor.rest('POST', '/audit/store/verification', {});
    const verified = await eventually(async () => {
      const work = await get<{ state: string; report: { findings: readonly unknown[] } }>('/audit/store/verification');
      return work.state === 'running' ? undefined : work;
    }, 'the store is verified');
    expect(verified).toMatchObject({ state: 'done', report: { findings: [] } });
  });

  test('a restarted server goes on with the new key, and nothing was complained about', async () => {
    const complaints = complaintsOf(server);
    await server.stop();
    server = await ServerProcess.start({ databaseUrl: database.url, dataDir, env });
    const { verifierKey } = await get<Logs>('/audit/logs');
    const note = await grown(sizeOf(await text('/audit/logs/root/checkpoint')));
    expect(signedBy(note, verifierKey)).toBe(true);
    expect([...complaints, ...complaintsOf(server)]).toEqual([]);
  });
});
