import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { EMPTY_ROOT, generateSigner, leafHash, openNote, signCheckpointNote, treeSize, type Cosigner } from '../tlog/index.js';
import { formatAddCheckpoint, MAX_ADD_CHECKPOINT_BYTES } from './add-checkpoint.js';
import { openWitnessKey, originHash, WitnessDirectory, WitnessKeyUnusable } from './witness-directory.js';
import { WitnessServer } from './witness-server.js';
import { Witness } from './witness.js';

const ORIGIN = 'fabula.test/log/root';
const signer = generateSigner('fabula.test');
const root = leafHash(Buffer.from('only'));
const note = (size: bigint, hash = root): string => signCheckpointNote({ origin: ORIGIN, size: treeSize(size), root: hash }, signer);

describe('a witness over HTTP', () => {
  let directory: string;
  let cosigner: Cosigner;
  let server: WitnessServer;
  let now = 1_800_000_000_000;
  const problems: string[] = [];

  beforeAll(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'fabula-witness-'));
    cosigner = await openWitnessKey(path.join(directory, 'witness.key'), 'witness.test');
  });
  beforeEach(async () => {
    const state = await WitnessDirectory.open(path.join(directory, 'cosigned'), [ORIGIN]);
    const clock = { now: () => now };
    const witness = new Witness({ cosigner, logs: [{ origin: ORIGIN, verifiers: [signer.verifier] }], state, clock });
    server = await WitnessServer.listen({
      witness,
      vkey: cosigner.verifier.vkey,
      host: '127.0.0.1',
      port: 0,
      clock,
      onProblem: (problem) => problems.push(problem),
    });
  });
  afterEach(() => server.close());
  afterAll(async () => {
    await rm(directory, { recursive: true, force: true });
    expect(problems).toEqual([]);
  });
  const add = (body: string | Uint8Array<ArrayBuffer>): Promise<Response> =>
    fetch(`${server.url}/add-checkpoint`, { method: 'POST', body });
  const of = (old: bigint, text: string): string => formatAddCheckpoint({ old: treeSize(old), proof: [], note: text });

  it('cosigns, shows what it cosigned, and still knows it after a restart', async () => {
    expect((await fetch(`${server.url}/${originHash(ORIGIN)}/checkpoint`)).status).toBe(404);
    const answer = await add(of(0n, note(1n)));
    expect(answer.status).toBe(200);
    const shown = await (await fetch(`${server.url}/${originHash(ORIGIN)}/checkpoint`)).text();
    expect(shown).toBe(note(1n) + (await answer.text()));
    expect(openNote(shown, [signer.verifier, cosigner.verifier]).verified).toHaveLength(2);
    expect(await readFile(path.join(directory, 'cosigned', `${originHash(ORIGIN)}.note`), 'utf8')).toBe(shown);
    expect(await (await fetch(`${server.url}/`)).text()).toBe(`${cosigner.verifier.vkey}\n`);
  });

  it('says in a 409 the size that it cosigned last, as `text/x.tlog.size`', async () => {
    const answer = await add(of(0n, note(1n)));
    expect([answer.status, answer.headers.get('content-type'), await answer.text()]).toEqual([409, 'text/x.tlog.size', '1\n']);
    const other = await add(of(1n, note(1n, EMPTY_ROOT)));
    expect([other.status, other.headers.get('content-type'), await other.text()]).toEqual([409, 'text/x.tlog.size', '1\n']);
  });

  it('answers the other mistakes with their status', async () => {
    const foreign = signCheckpointNote({ origin: 'x.test', size: treeSize(1n), root }, signer);
    const unsigned = signCheckpointNote({ origin: ORIGIN, size: treeSize(2n), root }, generateSigner('fabula.test'));
    for (const [body, status] of [
      ['', 400],
      [new Uint8Array([0xff, 0x0a, 0x0a]), 400],
      [of(5n, note(1n)), 400],
      [of(0n, foreign), 404],
      [of(1n, unsigned), 403],
      [of(1n, note(2n)), 422],
      ['x'.repeat(MAX_ADD_CHECKPOINT_BYTES + 1), 413],
    ] as const)
      expect([status, (await add(body)).status]).toEqual([status, status]);
    expect((await fetch(`${server.url}/add-checkpoint`)).status).toBe(405);
    expect((await fetch(`${server.url}/../witness.key`)).status).toBe(404);
    expect((await fetch(`${server.url}/${originHash(ORIGIN)}/checkpoint`, { method: 'DELETE' })).status).toBe(405);
  });

  it('stops reading an endless body', async () => {
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const sent = request(`${server.url}/add-checkpoint`, { method: 'POST' }, (response) => {
        resolve(response.statusCode);
        response.resume();
        sent.destroy();
      });
      sent.on('error', reject);
      const more = (): void => void (sent.destroyed || sent.write('x'.repeat(65_536), () => more()));
      more();
    });
    expect(status).toBe(413);
  });

  it('turns an address away that asks too often, until some time has gone', async () => {
    now += 1_000_000;
    const statuses: number[] = [];
    for (let i = 0; i < 105; i++) statuses.push((await fetch(`${server.url}/`)).status);
    expect([statuses.filter((status) => status === 200).length, statuses.at(-1)]).toEqual([100, 429]);
    now += 1_000;
    expect((await fetch(`${server.url}/`)).status).toBe(200);
  });

  it('keeps its key from others, and takes none that others can read or that is broken', async () => {
    const file = path.join(directory, 'witness.key');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await openWitnessKey(file, 'witness.test')).skey).toBe(cosigner.skey);
    await expect(openWitnessKey(file, 'another.test')).rejects.toThrow(WitnessKeyUnusable);
    await chmod(file, 0o640);
    await expect(openWitnessKey(file, 'witness.test')).rejects.toThrow('read by others');
    await chmod(file, 0o600);
    const broken = path.join(directory, 'broken.key');
    await writeFile(broken, 'PRIVATE+KEY+nonsense\n', { mode: 0o600 });
    await expect(openWitnessKey(broken, 'witness.test')).rejects.toThrow(WitnessKeyUnusable);
    // Two that start at once end with one key, and leave nothing else.
    const both = await Promise.all([1, 2].map(() => openWitnessKey(path.join(directory, 'both', 'witness.key'), 'witness.test')));
    expect(both[0]?.skey).toBe(both[1]?.skey);
    expect(await readdir(path.join(directory, 'both'))).toEqual(['witness.key']);
  });
});
