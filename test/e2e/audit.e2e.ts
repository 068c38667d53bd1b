import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import {
  checkConsistency,
  checkInclusion,
  EXIT_CODES,
  generateSigner,
  leafHash,
  leafIndex,
  openCheckpointNote,
  parseVerifierKey,
  PostgresAuditStore,
  PostgresTimestamps,
  treeSize,
  verifyBundle,
  type BundleReport,
  type CheckpointNote,
  type Leaf,
} from '#lib/audit';
import { recorded, type Recorded } from '../../apps/cli/src/testing/recorded.js';
import { grouped } from '../../apps/cli/src/layout.js';
import { timestampOn } from '../../libs/audit/src/testing/timestamps.js';
import { ApiClient, type Payload } from '../support/api-client.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { ServerProcess } from '../support/server-process.js';
import { seeded, walk } from './auto-player.js';
import { eventually } from './expectations.js';
import { complaintsOf } from './server-log.js';

jest.setTimeout(60_000);

interface Logs {
  readonly logId: string;
  readonly verifierKey: string;
  readonly logs: readonly { readonly log: string; readonly origin: string; readonly size: string; readonly signedSize: string }[];
}
interface Hits {
  readonly hits: readonly { readonly log: string; readonly index: string; readonly leaf: Leaf }[];
  readonly next: string | null;
}

describe('compliance', () => {
  let database: TestDatabase;
  let server: ServerProcess;
  let compliance: ApiClient;
  let folder: string;
  /** Every turn that the API acknowledged, and who asked. */
  const acknowledged: Payload[] = [];
  let playthroughId: string;
  /** The correlation id that a front end made and sent. */
  const ours = randomUUID();

  beforeAll(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'fabula-audit-'));
    database = await createTestDatabase();
    server = await ServerProcess.start({ databaseUrl: database.url, env: { FABULA_CHECKPOINT_INTERVAL_MS: '100' } });
    compliance = new ApiClient(server.url, await server.token(['compliance']));
    for (let n = 0; n < 4; n++) {
      const reader = new ApiClient(server.url, await server.token(['reader'], `reader-${n}`));
      const { start, steps, last } = await walk(reader, n % 2 === 0 ? 'the-cloakroom' : 'the-inspector-of-bells', n, 20);
      acknowledged.push(start, ...steps.map(({ answer }) => answer));
      playthroughId = last.id;
    }
    const reader = new ApiClient(server.url, await server.token(['reader'], 'reader-correlated'));
    const { playthrough } = await reader.start('the-cloakroom');
    const choiceId = playthrough.moment.choices.find(({ enabled }) => enabled)?.id;
    const query = `mutation ($input: ChooseInput!) { choose(input: $input) { correlationId turn position } }`;
    const input = { playthroughId: playthrough.id, choiceId, turn: 0, commandId: randomUUID() };
    const { data } = await reader.graphql<{ choose: Payload }>(query, { input }, { 'x-correlation-id': ours });
    expect(data?.choose.correlationId).toBe(ours);
    await eventually(async () => {
      const { logs } = await trees();
      const all = logs.filter(({ log }) => log !== 'root').reduce((sum, { signedSize }) => sum + Number(signedSize), 0);
      return all > acknowledged.length && (await search(`correlationId=${ours}`)).hits.length > 0 ? true : undefined;
    }, 'all that was played is in signed trees');
  });
  afterAll(async () => {
    expect(complaintsOf(server)).toEqual([]);
    await server.stop();
    await database.drop();
    await rm(folder, { recursive: true, force: true });
  });

  const get = async <T>(where: string): Promise<T> => {
    const { status, body, text } = await compliance.rest('GET', where);
    if (status !== 200) throw new Error(`${where} answered ${status}: ${text}`);
    return body as T;
  };
  const trees = (): Promise<Logs> => get<Logs>('/audit/logs');
  const search = (query: string): Promise<Hits> => get<Hits>(`/audit/search?${query}`);
  const noteOf = async (log: string): Promise<CheckpointNote> => {
    const { verifierKey, logs } = await trees();
    const { text } = await compliance.rest('GET', `/audit/logs/${log}/checkpoint`);
    const note = openCheckpointNote(text, [parseVerifierKey(verifierKey)]);
    expect(note.origin).toBe(logs.find((one) => one.log === log)?.origin);
    return note;
  };
  /** Leaves as the exact bytes they were hashed as. */
  const leavesOf = async (log: string): Promise<Buffer[]> => {
    const { text, headers } = await compliance.rest('GET', `/audit/logs/${log}/entries`);
    expect(headers.get('content-type')).toContain('ndjson');
    const lines = text.split('\n');
    expect(lines.pop()).toBe('');
    return lines.map((line) => Buffer.from(line, 'utf8'));
  };
  const hashes = (list: readonly string[]): Buffer[] => list.map((text) => Buffer.from(text, 'base64'));

  test('every log has a signed note under one key, its size covering what was played', async () => {
    const { logs, verifierKey, logId } = await trees();
    expect(logs.map(({ log }) => log)).toEqual(expect.arrayContaining(['p0', 'p1', 'p2', 'p3', 'root']));
    // A partition that nobody's playthrough fell into has nothing to sign.
    for (const { log, origin } of logs.filter(({ size }) => size !== '0')) {
      const note = await noteOf(log);
      expect(origin).toContain(logId);
      expect(note.size > 0n).toBe(true);
    }
    const { text } = await compliance.rest('GET', '/audit/logs/root/checkpoint');
    const stranger = parseVerifierKey(generateSigner(verifierKey.split('+')[0] as string).verifier.vkey);
    expect(() => openCheckpointNote(text, [stranger])).toThrow();
  });

  test('every turn that a reader was told of has its leaf, once, accepted', async () => {
    const leaves = (await Promise.all(['p0', 'p1', 'p2', 'p3'].map(leavesOf)))
      .flat()
      .map((bytes) => JSON.parse(bytes.toString('utf8')) as Leaf);
    for (const { position, correlationId, playthrough, turn } of acknowledged) {
      const { o, p } = JSON.parse(Buffer.from(position, 'base64url').toString('utf8')) as { o: number; p: number };
      const at = leaves.filter((leaf) => leaf.partition === p && leaf.offset === String(o));
      expect(at).toHaveLength(1);
      expect(at[0]).toMatchObject({ verdict: 'accepted', correlationId, envelope: { stream: `playthrough/${playthrough.id}` } });
      const turns = at[0]?.events?.flatMap((event) => (event.turn === undefined ? [] : [event.turn])) ?? [];
      if (turn > 0) expect(turns).toContain(turn);
      expect(at[0]?.events?.at(-1)?.stateHash).toBe(playthrough.stateHash);
    }
  });

  test('each leaf names the hash of the leaf before it', async () => {
    for (const log of ['p0', 'p1', 'p2', 'p3']) {
      let previous: string | null = null;
      for (const bytes of await leavesOf(log)) {
        const leaf = JSON.parse(bytes.toString('utf8')) as Leaf;
        expect(leaf.previousLeaf).toBe(previous);
        previous = leafHash(bytes).toString('hex');
      }
    }
  });

  test('inclusion of every leaf of a log is proved against its note, and no other leaf is', async () => {
    const { log } = (await search(`correlationId=${ours}`)).hits[0] as Hits['hits'][number];
    const note = await noteOf(log);
    const leaves = (await leavesOf(log)).slice(0, Number(note.size));
    for (const [index, bytes] of leaves.entries()) {
      const proof = await get<{ size: string; leaf: string; hashes: string[] }>(
        `/audit/logs/${log}/proof/inclusion?index=${index}&size=${note.size}`,
      );
      expect(proof.leaf).toBe(bytes.toString('utf8'));
      const holds = (leaf: Buffer): boolean =>
        checkInclusion(hashes(proof.hashes), treeSize(note.size), note.root, leafIndex(index), leafHash(leaf));
      expect(holds(bytes)).toBe(true);
      expect(holds(Buffer.from(bytes.toString('utf8').replace('"accepted"', '"conflict"')))).toBe(false);
    }
    expect((await compliance.rest('GET', `/audit/logs/${log}/proof/inclusion?index=${note.size}&size=${note.size}`)).status).toBe(400);
  });

  test('a later note is proved to continue an earlier one', async () => {
    const log = (await trees()).logs.find((one) => one.log !== 'root' && one.signedSize !== '0')?.log as string;
    const earlier = await noteOf(log);
    const reader = new ApiClient(server.url, await server.token(['reader'], 'reader-late'));
    const later = await eventually(async () => {
      await reader.start('the-cloakroom');
      const note = await noteOf(log);
      return note.size > earlier.size ? note : undefined;
    }, `${log} has grown and is signed again`);
    const proof = await get<{ hashes: string[] }>(`/audit/logs/${log}/proof/consistency?from=${earlier.size}&to=${later.size}`);
    const holds = (root: Buffer): boolean => checkConsistency(hashes(proof.hashes), later.size, later.root, earlier.size, root);
    expect(holds(earlier.root)).toBe(true);
    expect(holds(later.root)).toBe(false);
  });

  test('a decision is found by the correlation id that a front end sent, by playthrough and by actor', async () => {
    const { hits } = await search(`correlationId=${ours}`);
    expect(hits).toHaveLength(1);
    expect(hits[0]?.leaf).toMatchObject({ verdict: 'accepted', correlationId: ours, events: [{ type: 'ChoiceMade', turn: 1 }] });
    const actor = hits[0]?.leaf.actor?.id as string;
    const byActor = await search(`actor=${encodeURIComponent(actor)}`);
    expect(byActor.hits.map(({ leaf }) => leaf.events?.[0]?.type)).toEqual(['PlaythroughStarted', 'ChoiceMade']);
    // A pseudonym, not the token's subject.
    expect(actor).not.toContain('reader-correlated');

    const all: string[] = [];
    let after: string | null = '';
    while (after !== null) {
      const page: Hits = await search(`playthroughId=${playthroughId}&first=7${after === '' ? '' : `&after=${encodeURIComponent(after)}`}`);
      all.push(...page.hits.map(({ leaf }) => String(leaf.correlationId)));
      after = page.next;
    }
    const wanted = acknowledged.filter(({ playthrough }) => playthrough.id === playthroughId).map(({ correlationId }) => correlationId);
    expect(all).toEqual(wanted);
    expect((await search(`correlationId=${randomUUID()}`)).hits).toEqual([]);
    expect((await compliance.rest('GET', '/audit/search')).status).toBe(400);
    expect((await compliance.rest('GET', `/audit/search?actor=x&after=nonsense`)).status).toBe(400);
  });

  test('an export is ordered, followed, downloaded and verified offline; any byte of it that is flipped is found', async () => {
    const ordered = await compliance.rest('POST', '/audit/exports', {});
    expect(ordered.status).toBe(202);
    const { id } = ordered.body as { id: string };
    const job = await eventually(async () => {
      const now = await get<{ state: string; leavesWritten: number; leavesTotal: number; error: string | null }>(`/audit/exports/${id}`);
      if (now.state === 'failed') throw new Error(String(now.error));
      return now.state === 'done' ? now : undefined;
    }, 'the export is done');
    expect(job.leavesWritten).toBe(job.leavesTotal);
    expect(job.leavesTotal).toBeGreaterThan(acknowledged.length);
    const answer = await fetch(`${server.url}/audit/exports/${id}/download`, { headers: { authorization: `Bearer ${compliance.token}` } });
    expect(answer.status).toBe(200);
    const bundle = Buffer.from(await answer.arrayBuffer());
    const file = path.join(folder, 'proof.tar');
    await writeFile(file, bundle);
    const { verifierKey } = await trees();
    const report = await verifyBundle(file, { vkey: verifierKey });
    expect(report).toMatchObject({ ok: true, exitCode: 0, findings: [], keyTrusted: 'given' });
    expect(report.trees.map(({ tree }) => tree)).toContain('access');
    // The verifier that goes along verifies it with nothing but Node, and the download can be resumed.
    const members = (await promisify(execFile)('tar', ['xOf', file, 'verify.mjs'], { maxBuffer: 1 << 24 })).stdout;
    await writeFile(path.join(folder, 'verify.mjs'), members);
    const alone = await promisify(execFile)(process.execPath, ['verify.mjs', 'proof.tar', '--key', verifierKey], { cwd: folder, env: {} });
    expect(alone.stdout).toContain('Verified');
    const rest = await fetch(`${server.url}/audit/exports/${id}/download`, {
      headers: { authorization: `Bearer ${compliance.token}`, range: 'bytes=1000-', 'if-range': answer.headers.get('etag') ?? '' },
    });
    expect([rest.status, rest.headers.get('content-range')]).toEqual([206, `bytes 1000-${bundle.length - 1}/${bundle.length}`]);
    expect(Buffer.from(await rest.arrayBuffer()).equals(bundle.subarray(1000))).toBe(true);
    expect(report.trees.reduce((sum, { leaves }) => sum + leaves, 0)).toBe(job.leavesTotal);

    const random = seeded(7);
    const text = bundle.toString('latin1');
    // The places that matter most by name, and some anywhere.
    const places = [text.indexOf('"verdict":"accepted"') + 12, text.indexOf('"choice":"') + 10, text.indexOf('\u2014') + 10];
    while (places.length < 40) places.push(random(bundle.length));
    for (const place of places.filter((at) => at >= 12)) {
      const changed = Buffer.from(bundle);
      changed[place] = (changed[place] as number) ^ 1;
      const tampered = path.join(folder, 'tampered.tar');
      await writeFile(tampered, changed);
      const found = await verifyBundle(tampered, { vkey: verifierKey });
      expect([place, found.ok, found.exitCode >= 10 && found.exitCode <= 19]).toEqual([place, false, true]);
      expect(found.findings[0]?.message).not.toBe('');
    }
    const leaf = Buffer.from(bundle);
    leaf[places[0] as number] = 'A'.charCodeAt(0);
    await writeFile(file, leaf);
    const found = await verifyBundle(file, { vkey: verifierKey });
    expect([found.ok, found.exitCode, found.findings[0]?.kind]).toEqual([false, EXIT_CODES.LEAF, 'LEAF']);
    expect((await readFile(file)).equals(bundle)).toBe(false);
  });

  test('an export of one playthrough, actor, story, correlation or time shows all of it, continues an earlier one, and a leaf held back is named', async () => {
    const { hits } = await search(`correlationId=${ours}`);
    const actor = hits[0]?.leaf.actor?.id as string;
    const { verifierKey } = await trees();
    const exported = async (wish: object): Promise<{ id: string; file: string }> => {
      const { status, body } = await compliance.rest('POST', '/audit/exports', wish);
      expect(status).toBe(202);
      const { id } = body as { id: string };
      await eventually(async () => {
        const now = await get<{ state: string; error: string | null }>(`/audit/exports/${id}`);
        if (now.state === 'failed') throw new Error(String(now.error));
        return now.state === 'done' ? now : undefined;
      }, 'the filtered export is done');
      const answer = await fetch(`${server.url}/audit/exports/${id}/download`, {
        headers: { authorization: `Bearer ${compliance.token}` },
      });
      const file = path.join(folder, `${id}.tar`);
      await writeFile(file, Buffer.from(await answer.arrayBuffer()));
      return { id, file };
    };
    const played = acknowledged.filter(({ playthrough }) => playthrough.id === playthroughId).length;
    const start = new Date(0).toISOString();
    for (const [filter, least] of [
      [{ playthroughId }, played],
      [{ actor }, 2],
      [{ correlationId: ours }, 1],
      [{ storyId: 'the-cloakroom' }, 2],
      [{ from: start }, acknowledged.length],
    ] as const) {
      const { id, file } = await exported({ filter });
      const report = await verifyBundle(file, { vkey: verifierKey });
      expect([filter, report.findings]).toEqual([filter, []]);
      expect(report.trees.reduce((sum, { shown }) => sum + shown, 0)).toBeGreaterThanOrEqual(least);
      if (!('actor' in filter)) continue;
      const tampered = Buffer.from(String((await readFile(file)).toString('latin1')).replace('"actor":{"id"', '"actor":{"iD"'), 'latin1');
      await writeFile(file, tampered);
      expect((await verifyBundle(file, { vkey: verifierKey })).findings[0]).toMatchObject({ kind: 'LEAF' });
      const continued = await exported({ filter, since: id });
      expect((await verifyBundle(continued.file, { vkey: verifierKey })).findings).toEqual([]);
    }
    for (const body of [{ filter: {} }, { filter: { actor, storyId: 'x' } }, { filter: { actor }, since: randomUUID() }])
      expect((await compliance.rest('POST', '/audit/exports', body)).status).toBe(400);
  });

  test('an export with records, ordered on the command line, carries the newest timestamp, verifies, gives the same views twice, and is known to the access log', async () => {
    const { logId, verifierKey } = await trees();
    const store = new PostgresAuditStore(database.pool);
    const stamped = await store.latestNote('root', logId);
    const stampedAt = Date.now() - (Date.now() % 1_000);
    await new PostgresTimestamps(database.pool).keepTimestamp({
      logId,
      log: 'root',
      size: stamped?.size ?? 0n,
      note: stamped?.note ?? '',
      authority: 'https://tsa.test',
      stampedAt,
      response: timestampOn(stamped?.note ?? '', stampedAt),
    });
    const file = path.join(folder, 'bodies.tar');
    const address = ['--url', server.url, '--token', compliance.token];
    const cli = (...argv: readonly string[]): Promise<Recorded> => recorded(['audit', ...argv], { live: true, columns: 300 });
    const exported = await cli('export', '--bodies', '--playthrough', playthroughId, '--out', file, '--json', ...address);
    expect([exported.code, exported.err]).toEqual([0, expect.stringContaining('downloading')]);
    // What a broken download left is taken up by the next run.
    const bytes = await readFile(file);
    const { id } = JSON.parse(exported.out) as { id: string };
    const again = path.join(folder, 'resumed.tar');
    await writeFile(`${again}.part`, bytes.subarray(0, bytes.length >> 1));
    const resumed = await cli('export', '--resume', id, '--out', again, ...address);
    expect([resumed.code, (await readFile(again)).equals(bytes)]).toEqual([0, true]);
    const verified = await cli('verify', file, '--key', verifierKey);
    expect([verified.code, verified.out]).toEqual([0, expect.stringContaining('✓ Verified')]);
    expect(verified.out).toMatch(new RegExp(`stamped .*root tree of ${grouped(stamped?.size ?? 0n)}; its signature was not checked`));
    const report = JSON.parse((await cli('verify', file, '--key', verifierKey, '--json')).out) as BundleReport;
    const played = acknowledged.filter(({ playthrough }) => playthrough.id === playthroughId).length;
    expect(report.timestamp).toMatchObject({ stampedAt, authority: 'https://tsa.test' });
    expect(report.trees.reduce((sum, { bodies }) => sum + (bodies?.shown ?? 0), 0)).toBe(played);
    expect(report.trees.every(({ bodies, tree }) => tree === 'root' || bodies?.missing === 0)).toBe(true);

    const views: Record<string, string>[] = [];
    for (const out of ['views', 'again']) {
      const { code } = await cli('views', file, '--out', path.join(folder, out), '--key', verifierKey);
      expect(code).toBe(0);
      const names = await readdir(path.join(folder, out));
      views.push(
        Object.fromEntries(await Promise.all(names.map(async (name) => [name, await readFile(path.join(folder, out, name), 'utf8')]))),
      );
    }
    const [first = {}, second] = views;
    expect(first).toEqual(second);
    const rows = Object.entries(first).flatMap(([name, text]) => (name.endsWith('.csv') ? text.trimEnd().split(/\r?\n/).slice(1) : []));
    const events = Object.entries(first).flatMap(([name, text]) =>
      name.endsWith('.ocsf.ndjson')
        ? text
            .trimEnd()
            .split('\n')
            .map((line) => JSON.parse(line) as { class_uid: number; metadata: { correlation_uid: string } })
        : [],
    );
    expect([rows.length, events.length]).toEqual([played, played]);
    expect(events.every(({ class_uid }) => class_uid === 6003)).toBe(true);
    const told = events.map(({ metadata }) => metadata.correlation_uid);
    const asked = acknowledged.filter(({ playthrough }) => playthrough.id === playthroughId).map(({ correlationId }) => correlationId);
    expect(told.toSorted()).toEqual(asked.toSorted());

    const known = await cli('access', '--export', file, ...address);
    expect([known.code, known.out]).toEqual([0, expect.stringContaining('✓ The access log names this export')]);
    expect(known.out).toContain('bodies=shown');
    // The verifier in it says the same, alone.
    const members = (await promisify(execFile)('tar', ['xOf', file, 'verify.mjs'], { maxBuffer: 1 << 24 })).stdout;
    await writeFile(path.join(folder, 'verify.mjs'), members);
    const alone = await promisify(execFile)(process.execPath, ['verify.mjs', file, '--key', verifierKey, '--json'], {
      cwd: folder,
      env: {},
    });
    expect((JSON.parse(alone.stdout) as BundleReport).timestamp).toEqual(report.timestamp);
  });

  test('an export of a range holds that range; one that is not there, or not one’s own to name, is refused', async () => {
    const wrong: readonly object[] = [
      { ranges: [] },
      { ranges: [{ log: 'p99' }] },
      { ranges: [{ log: '../p0' }] },
      { ranges: [{ log: 'p0', from: '-1' }] },
      { ranges: [{ log: 'p0', to: '99999999' }] },
      { range: [] },
    ];
    for (const body of wrong) {
      const { status, body: problem } = await compliance.rest('POST', '/audit/exports', body);
      expect([JSON.stringify(body), status >= 400 && status < 500, typeof (problem as { code?: string }).code]).toEqual([
        JSON.stringify(body),
        true,
        'string',
      ]);
    }
    for (const id of [randomUUID(), 'x', '..%2f..%2fetc%2fpasswd']) {
      const { status, body } = await compliance.rest('GET', `/audit/exports/${id}`);
      expect([status, (body as { code: string }).code]).toEqual([404, 'EXPORT_NOT_FOUND']);
    }
  });
});
