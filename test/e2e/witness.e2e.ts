import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import {
  checkConsistency,
  EXIT_CODES,
  formatAddCheckpoint,
  Frontier,
  generateCosigner,
  generateSigner,
  leafHash,
  openCheckpointNote,
  openNote,
  openWitnessKey,
  originHash,
  parseCosignerKey,
  parseVerifierKey,
  signCheckpointNote,
  treeSize,
  type BundleReport,
} from '#lib/audit';
import { freePort } from '#lib/platform';
import { recorded, type Recorded } from '../../apps/cli/src/testing/recorded.js';
import { ApiClient } from '../support/api-client.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { ServerProcess, temporaryDataDir } from '../support/server-process.js';
import { eventually } from './expectations.js';
import { complaintsOf } from './server-log.js';

jest.setTimeout(240_000);

const ROOT = path.resolve(__dirname, '../..');
const FAST = { FABULA_CHECKPOINT_INTERVAL_MS: '200', FABULA_WITNESS_INTERVAL_MS: '200' };

/** `fabula audit witness`, as its owner runs it. */
class WitnessProcess {
  private constructor(private readonly child: ChildProcess) {}

  static async start(dir: string, port: number, name: string, logs: readonly string[]): Promise<WitnessProcess> {
    const given = ['--dir', dir, '--listen', `127.0.0.1:${port}`, '--name', name, ...logs.flatMap((log) => ['--log', log])];
    const child = spawn(process.execPath, ['dist/apps/cli/src/main.js', 'audit', 'witness', ...given], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data.toString('utf8')));
    await eventually(() => {
      if (child.exitCode !== null) throw new Error(`the witness ended with ${child.exitCode}: ${output}`);
      return Promise.resolve(output.includes('for the policy: witness') ? true : undefined);
    }, 'the witness listens');
    return new WitnessProcess(child);
  }
  async end(signal: 'SIGINT' | 'SIGKILL'): Promise<number | null> {
    this.child.kill(signal);
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, 'exit');
    return this.child.exitCode;
  }
}

interface Witnesses {
  readonly quorum: string;
  readonly witnesses: readonly { readonly name: string; readonly size: string | null; readonly problem: string | null }[];
  readonly copying: { readonly problem: string | null } | null;
}
interface Forks {
  readonly forks: readonly {
    readonly kind: string;
    readonly ours: string;
    readonly theirs: string;
    readonly oldSize: string;
    readonly proof: readonly string[];
  }[];
}

describe('a server, two witnesses, and a store that was forged', () => {
  let base: string;
  let database: TestDatabase;
  let ports: readonly number[];
  let env: Readonly<Record<string, string>>;
  const names = ['one', 'two'];
  const witnesses: WitnessProcess[] = [];
  const running: ServerProcess[] = [];

  beforeAll(async () => {
    base = await mkdtemp(path.join(os.tmpdir(), 'fabula-witnesses-'));
    database = await createTestDatabase();
    ports = [await freePort(), await freePort()];
    const keys = await Promise.all(names.map((name) => openWitnessKey(path.join(base, name, 'witness.key'), `${name}.test/w`)));
    const lines = keys.map(({ verifier }, n) => `witness ${names[n] ?? ''} ${verifier.vkey} http://127.0.0.1:${ports[n] ?? 0}\n`);
    await writeFile(path.join(base, 'policy'), `${lines.join('')}group both all one two\nquorum both\n`);
    await mkdir(path.join(base, 'outside'));
    env = { ...FAST, FABULA_AUDIT_POLICY: path.join(base, 'policy') };
  });
  afterAll(async () => {
    await Promise.all(witnesses.map((witness) => witness.end('SIGINT')));
    await Promise.all(running.map((server) => server.stop()));
    await database.drop();
    await rm(base, { recursive: true, force: true });
  });
  const serve = async (dataDir: string, more: Readonly<Record<string, string>> = {}): Promise<ServerProcess> => {
    const server = await ServerProcess.start({ databaseUrl: database.url, dataDir, env: { ...env, ...more } });
    running.push(server);
    return server;
  };
  const play = async (server: ServerProcess): Promise<void> =>
    void (await new ApiClient(server.url, await server.token(['reader'])).start('the-cloakroom', randomUUID()));
  const complianceOf = async (server: ServerProcess): Promise<ApiClient> => new ApiClient(server.url, await server.token(['compliance']));

  test('honest notes are cosigned by the quorum and copied outside; a forged history is not, and both notes are shown', async () => {
    const dataDir = path.join(base, 'data');
    const honest = await serve(dataDir, { FABULA_AUDIT_NOTES_DIR: path.join(base, 'outside') });
    const compliance = await complianceOf(honest);
    const { verifierKey, logs, logId } = (await compliance.rest('GET', '/audit/logs')).body as {
      readonly verifierKey: string;
      readonly logId: string;
      readonly logs: readonly { readonly log: string; readonly origin: string }[];
    };
    // Witnesses that come late are asked again.
    const origin = logs.find(({ log }) => log === 'root')?.origin ?? '';
    for (const [n, name] of names.entries())
      witnesses.push(await WitnessProcess.start(path.join(base, name), ports[n] ?? 0, `${name}.test/w`, [`${verifierKey} ${origin}`]));
    for (let i = 0; i < 3; i++) await play(honest);
    const told = await eventually(async () => {
      const found = (await compliance.rest('GET', '/audit/witnesses')).body as Witnesses;
      return found.quorum === 'reached' && found.copying?.problem === null ? found : undefined;
    }, 'the quorum is reached');
    expect(told.witnesses.map(({ name, problem }) => [name, problem])).toEqual([
      ['one', null],
      ['two', null],
    ]);
    const policy = await readFile(path.join(base, 'policy'), 'utf8');
    const cosigners = [...policy.matchAll(/^witness \S+ (\S+)/gm)].map(([, vkey]) => parseCosignerKey(vkey ?? ''));
    const signedBy = [parseVerifierKey(verifierKey), ...cosigners];
    const served = await eventually(async () => {
      const { text } = await compliance.rest('GET', '/audit/logs/root/checkpoint');
      return openNote(text, signedBy).verified.length === 3 ? text : undefined;
    }, 'the note that is served bears both cosignatures');
    const copied = await eventually(async () => {
      const files = await readdir(path.join(base, 'outside', logId, 'root')).catch(() => []);
      return files.some((file) => file.endsWith('.cosigned.note')) ? files : undefined;
    }, 'a cosigned note is copied outside');
    expect(copied.some((file) => /^\d+\.note$/.test(file))).toBe(true);
    expect((await compliance.rest('GET', '/audit/forks')).body).toEqual({ forks: [] });
    // An export is held to the auditor's own policy, whether its newest note has its cosignatures already or carries an earlier one that has.
    const file = path.join(base, 'export.tar');
    const cli = (...argv: readonly string[]): Promise<Recorded> => recorded(['audit', ...argv], { live: true });
    expect((await cli('export', '--out', file, '--url', honest.url, '--token', compliance.token)).code).toBe(0);
    const verify = async (text: string): Promise<{ readonly code: number; readonly report: BundleReport }> => {
      await writeFile(path.join(base, 'own.policy'), text);
      const { code, out } = await cli('verify', file, '--key', verifierKey, '--policy', path.join(base, 'own.policy'), '--json');
      return { code, report: JSON.parse(out) as BundleReport };
    };
    const seen = await verify(policy);
    expect([seen.code, seen.report.findings, seen.report.witnesses.quorum]).toEqual([0, [], 'reached']);
    const stranger = await verify(policy.replace(/^(witness one) \S+ .*$/m, `$1 ${generateCosigner('one.test/w').verifier.vkey}`));
    expect([stranger.code, stranger.report.witnesses.quorum]).toEqual([EXIT_CODES.WITNESS, 'missing']);
    expect(complaintsOf(honest)).toEqual([]);
    await honest.stop();

    // The key is stolen, the store emptied and told anew: nothing inside can say that it was otherwise.
    const stolen = await temporaryDataDir();
    await copyFile(path.join(dataDir, 'audit-signing.key'), path.join(stolen, 'audit-signing.key'));
    const client = await database.pool.connect();
    try {
      await client.query("set session_replication_role = 'replica'");
      await client.query('delete from fabula.audit_notes');
      // All but the access log's tree, which nobody tells anew.
      for (const table of ['tiles', 'leaves', 'heads', 'term_blocks', 'cosignatures'])
        await client.query(`delete from fabula.audit_${table} where log <> -2`);
      await client.query('reset session_replication_role');
    } finally {
      client.release();
    }
    const forger = await serve(stolen);
    const asked = await complianceOf(forger);
    const fork = await eventually(async () => {
      await play(forger);
      const { forks } = (await asked.rest('GET', '/audit/forks')).body as Forks;
      return forks.find(({ kind }) => kind === 'FORK');
    }, 'the fork is reported');
    const key = [parseVerifierKey(verifierKey)];
    const [ours, theirs] = [openCheckpointNote(fork.ours, key), openCheckpointNote(fork.theirs, key)];
    expect([ours.origin, theirs.origin]).toEqual([origin, origin]);
    const proof = fork.proof.map((hash) => Buffer.from(hash, 'base64'));
    expect(
      ours.size === theirs.size ? ours.root.equals(theirs.root) : checkConsistency(proof, ours.size, ours.root, theirs.size, theirs.root),
    ).toBe(false);
    // The witnesses stand by what they cosigned: it continues what the honest server served.
    const shown = await (await fetch(`http://127.0.0.1:${ports[0] ?? 0}/${originHash(origin)}/checkpoint`)).text();
    expect(openCheckpointNote(shown, key).size).toBeGreaterThanOrEqual(openCheckpointNote(served, key).size);
    expect(forger.output()).toContain('two histories of the audit are signed');
    const metrics = await (
      await fetch(`${forger.url}/metrics`, { headers: { authorization: `Bearer ${await forger.token(['operator'])}` } })
    ).text();
    expect(Number(/^fabula_audit_forks (\d+)/m.exec(metrics)?.[1])).toBeGreaterThan(0);
    const ready = (await (await fetch(`${forger.url}/health/ready`)).json()) as { status: string; notes: Record<string, string> };
    expect(ready).toMatchObject({ status: 'ready', notes: { 'audit forks': expect.stringContaining('GET /audit/forks') as string } });
    const operations = (await new ApiClient(forger.url, await forger.token(['operator'])).rest('GET', '/admin/operations')).text;
    expect(operations).toContain('alerts.md#fabulaauditforked');
    // Which of them was asked first is nobody's choice.
    await eventually(async () => {
      const kept = await Promise.all(['one', 'two'].map((name) => readdir(path.join(base, name, 'contradictions')).catch(() => [])));
      return kept.flat()[0];
    }, 'a witness keeps the evidence');
    await forger.stop();
    await rm(stolen, { recursive: true, force: true });
  });

  test('a witness that is killed while it answers has kept what it answered', async () => {
    const dir = path.join(base, 'killed');
    const port = await freePort();
    const signer = generateSigner('killed.test');
    const kept = path.join(dir, 'cosigned', `${originHash(signer.name)}.note`);
    const url = `http://127.0.0.1:${port}/add-checkpoint`;
    let old = 0n;
    const frontier = new Frontier();
    const kills = process.env['FABULA_TEST_LONG'] === undefined ? 4 : 40;
    const outcomes: string[] = [];
    for (let n = 0; n < kills; n++) {
      const witness = await WitnessProcess.start(dir, port, 'killed.test/w', [signer.verifier.vkey]);
      const learnt = await fetch(url, {
        method: 'POST',
        body: formatAddCheckpoint({ old: treeSize(99n), proof: [], note: noteOf(signer, 99n, frontier.root()) }),
      });
      // What it kept before it was killed is what it knows, answered or not.
      const size = BigInt((await learnt.text()).trim());
      expect([learnt.status, size >= old]).toEqual([409, true]);
      // From 2^n leaves to twice as many: the proof is the hash of the second half.
      const from = frontier.copy();
      const half = leafHash(Buffer.from(`half ${n}`));
      if (n === 0) frontier.append(half);
      else frontier.appendSubtree(n - 1, half);
      expect(size === 0n || size === from.size).toBe(true);
      const proof = n === 0 || size === 0n ? [] : [half];
      const body = formatAddCheckpoint({ old: treeSize(size), proof, note: noteOf(signer, frontier.size, frontier.root()) });
      const before = await mtime(kept);
      const answer: { status?: number } = {};
      const asked = fetch(url, { method: 'POST', body }).then(
        (response) => void (answer.status = response.status),
        () => undefined,
      );
      while ((await mtime(kept)) === before && answer.status === undefined);
      await witness.end('SIGKILL');
      await asked;
      if (answer.status === 200) old = frontier.size;
      outcomes.push(String(answer.status ?? 'unanswered'));
    }
    expect(outcomes.filter((outcome) => outcome !== 'unanswered' && outcome !== '200')).toEqual([]);
    expect(openCheckpointNote(await readFile(kept, 'utf8'), [signer.verifier]).size).toBe(frontier.size);
  });
});

const noteOf = (signer: ReturnType<typeof generateSigner>, size: bigint, root: Buffer): string =>
  signCheckpointNote({ origin: signer.name, size: treeSize(size), root }, signer);
const mtime = async (file: string): Promise<number> => (await stat(file).catch(() => undefined))?.mtimeMs ?? 0;
