import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { ApiClient } from '../support/api-client.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { ServerProcess } from '../support/server-process.js';
import { generateSigner, leafHash, parseSignerKey, signCheckpointNote, treeSize, parseNote } from '../../libs/audit/src/tlog/index.js';
import { walk } from './auto-player.js';
import { eventually } from './expectations.js';
import { publishStory } from './publish-story.js';
import { threeDoors } from './small-stories.js';

jest.setTimeout(120_000);
const ROOT = path.resolve(__dirname, '../..');

interface Seen {
  readonly ok: boolean;
  readonly trees: Readonly<Record<string, string>>;
  readonly alarms: readonly {
    readonly name: string;
    readonly tree?: string;
    readonly message: string;
    readonly notes?: readonly string[];
  }[];
}
type Tamper = (path: string, body: Buffer) => Buffer | undefined;

/** Between the monitor and the server: passes everything on, and puts other answers in the place of some. */
async function liar(target: string): Promise<{ readonly url: string; tamper: Tamper | undefined; close(): Promise<void> }> {
  const self: { url: string; tamper: Tamper | undefined; close(): Promise<void> } = {
    url: '',
    tamper: undefined,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
  const server = http.createServer((request, response) => {
    void (async () => {
      const answer = await fetch(target + (request.url ?? ''), { headers: { authorization: request.headers.authorization ?? '' } });
      const honest = Buffer.from(await answer.arrayBuffer());
      const body = self.tamper?.(request.url ?? '', honest) ?? honest;
      response
        .writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/plain', connection: 'close' })
        .end(body);
    })().catch(() => response.writeHead(502).end());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  self.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return self;
}

describe('the monitor, beside a real server', () => {
  let database: TestDatabase;
  let server: ServerProcess;
  let proxy: Awaited<ReturnType<typeof liar>>;
  let dir: string;
  let token: string;
  let reader: ApiClient;
  beforeAll(async () => {
    database = await createTestDatabase();
    server = await ServerProcess.start({
      databaseUrl: database.url,
      env: { FABULA_SAMPLE_STORIES: 'off', FABULA_PARTITIONS: '1', FABULA_CHECKPOINT_INTERVAL_MS: '100' },
    });
    await publishStory(new ApiClient(server.url, await server.token(['author'])), threeDoors('three-doors'));
    reader = new ApiClient(server.url, await server.token(['reader']));
    token = await server.token(['compliance']);
    proxy = await liar(server.url);
    dir = await mkdtemp(path.join(os.tmpdir(), 'fabula-monitor-'));
    const { verifierKey } = (await new ApiClient(server.url, token).rest('GET', '/audit/logs')).body as { readonly verifierKey: string };
    await writeFile(path.join(dir, 'audit.vkey'), `${verifierKey}\n`);
    await play();
  });
  afterAll(async () => {
    await proxy.close();
    await server.stop();
    await database.drop();
    await rm(dir, { recursive: true, force: true });
  });

  const compliance = (): ApiClient => new ApiClient(server.url, token);
  const sizeOf = async (log: string): Promise<number> =>
    Number(
      ((await compliance().rest('GET', '/audit/logs')).body as { logs: readonly { log: string; signedSize: string }[] }).logs.find(
        (one) => one.log === log,
      )?.signedSize,
    );
  /** Plays, and waits until what was played is signed. */
  async function play(): Promise<void> {
    await walk(reader, 'three-doors', 3, 6);
    const { rows } = await database.pool.query<{ n: string }>('select count(*) as n from fabula.log_records');
    await eventually(async () => ((await sizeOf('p0')) >= Number(rows[0]?.n) ? true : undefined), 'all is signed');
  }
  async function look(
    state: string,
    ...more: string[]
  ): Promise<{ readonly code: number | null; readonly seen: Seen; readonly errors: string }> {
    const args = [
      'audit',
      'monitor',
      '--url',
      proxy.url,
      '--vkey',
      path.join(dir, 'audit.vkey'),
      '--state',
      path.join(dir, state),
      '--once',
      '--json',
    ];
    const child = spawn(process.execPath, ['dist/apps/cli/src/main.js', ...args, ...more], {
      cwd: ROOT,
      env: { PATH: process.env['PATH'], FABULA_TOKEN: token },
    });
    let [text, errors] = ['', ''];
    child.stdout.on('data', (data: Buffer) => (text += data.toString()));
    child.stderr.on('data', (data: Buffer) => (errors += data.toString()));
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    if (text === '') throw new Error(`the monitor ended with ${code}: ${errors}`);
    return { code, seen: JSON.parse(text) as Seen, errors };
  }

  test('raises nothing while the server is honest, and remembers what it saw', async () => {
    const first = await look('honest', '--from-start', '--metrics-file', path.join(dir, 'fabula.prom'));
    expect(first).toMatchObject({ code: 0, seen: { ok: true, alarms: [] } });
    await play();
    const second = await look('honest');
    expect(second).toMatchObject({ code: 0, seen: { ok: true, alarms: [] } });
    expect(Number(second.seen.trees['p0'])).toBeGreaterThan(Number(first.seen.trees['p0']));
    expect(await readFile(path.join(dir, 'fabula.prom'), 'utf8')).toContain('fabula_monitor_alarm{name="FORK"} 0\n');
  });

  test('names a server that was set back to an earlier, genuine state', async () => {
    const old = new Map<string, Buffer>();
    for (const log of ['p0', 'root']) old.set(log, Buffer.from((await compliance().rest('GET', `/audit/logs/${log}/checkpoint`)).text));
    await play();
    expect((await look('back')).code).toBe(0);
    proxy.tamper = (asked) => old.get(/^\/audit\/logs\/(\w+)\/checkpoint$/.exec(asked)?.[1] ?? '');
    const { code, seen } = await look('back');
    proxy.tamper = undefined;
    expect(code).toBe(14);
    expect(seen.alarms.map(({ name, tree }) => [name, tree])).toEqual(
      expect.arrayContaining([
        ['ROLLED_BACK', 'p0'],
        ['ROLLED_BACK', 'root'],
      ]),
    );
    expect((await look('back')).code).toBe(0);
  });

  test('names a fork by the very key of the server, with both notes; and a note of another key', async () => {
    expect((await look('fork')).code).toBe(0);
    const own = parseSignerKey((await readFile(path.join(server.dataDir, 'audit-signing.key'), 'utf8')).trim());
    const forged =
      (signer: typeof own): Tamper =>
      (asked, body) => {
        if (asked !== '/audit/logs/p0/checkpoint') return undefined;
        const [origin = '', size = '0'] = parseNote(body).text.split('\n');
        return Buffer.from(
          signCheckpointNote({ origin, size: treeSize(BigInt(size)), root: leafHash(Buffer.from('another history')) }, signer),
        );
      };
    proxy.tamper = forged(own);
    const fork = await look('fork');
    proxy.tamper = forged(generateSigner(own.name));
    const stranger = await look('fork');
    proxy.tamper = undefined;
    expect(fork).toMatchObject({ code: 15, seen: { alarms: [{ name: 'FORK', tree: 'p0' }] } });
    expect(fork.seen.alarms[0]?.notes).toHaveLength(2);
    expect(stranger).toMatchObject({ code: 10, seen: { alarms: [{ name: 'BAD_SIGNATURE', tree: 'p0' }] } });
  });

  test('names changed entries, counts that differ and a server that is not there', async () => {
    expect((await look('entries', '--from-start')).code).toBe(0);
    await play();
    proxy.tamper = (asked, body) =>
      asked.startsWith('/audit/logs/p0/entries') ? Buffer.from(body.toString().replaceAll('"accepted"', '"conflict"')) : undefined;
    const entries = await look('entries');
    expect(entries).toMatchObject({ code: 11, seen: { alarms: [{ name: 'ENTRIES_DIFFER', tree: 'p0' }] } });
    proxy.tamper = (asked, body) =>
      asked === '/audit/reconciliation' ? Buffer.from(body.toString().replace(/"logEnd":\d+/, '"logEnd":1')) : undefined;
    expect(await look('entries')).toMatchObject({
      code: expect.any(Number) as number,
      seen: { alarms: expect.arrayContaining([expect.objectContaining({ name: 'LOG_SHRANK' })]) as unknown[] },
    });
    proxy.tamper = (asked) => (asked === '/audit/logs' ? Buffer.from('{}') : undefined);
    expect(await look('entries')).toMatchObject({ code: 31, seen: { alarms: [{ name: 'OTHER_LOG' }] } });
    proxy.tamper = () => Buffer.from('<html>');
    expect(await look('entries')).toMatchObject({ code: 17, seen: { alarms: [{ name: 'MALFORMED' }] } });
    proxy.tamper = undefined;
    const url = proxy.url;
    (proxy as { url: string }).url = 'http://127.0.0.1:9';
    expect(await look('entries')).toMatchObject({ code: 30, seen: { alarms: [{ name: 'UNREACHABLE' }] } });
    (proxy as { url: string }).url = url;
    expect((await look('entries')).code).toBe(0);
  });
});
