import { randomUUID } from 'node:crypto';
import { copyFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { EXIT_CODES, type StoreReport } from '#lib/audit';
import { recorded } from '../../apps/cli/src/testing/recorded.js';
import { ApiClient } from '../support/api-client.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { ServerProcess, temporaryDataDir } from '../support/server-process.js';
import { eventually } from './expectations.js';
import { complaintsOf } from './server-log.js';

jest.setTimeout(60_000);

interface Work<Report> {
  readonly state: string;
  readonly progress: readonly { readonly log: string; readonly done: number; readonly total: number }[];
  readonly report: Report | null;
  readonly error: string | null;
}

describe('the audit store of two running servers', () => {
  let database: TestDatabase;
  let otherDir: string;
  let servers: readonly ServerProcess[];
  let readers: readonly ApiClient[];
  let compliance: ApiClient;
  let operator: ApiClient;
  /** The partitions are shared: what one server rebuilds, the other follows. */
  const one = (): ServerProcess => servers[0] as ServerProcess;
  const other = (): ServerProcess => servers[1] as ServerProcess;

  beforeAll(async () => {
    database = await createTestDatabase();
    const env = { FABULA_CHECKPOINT_INTERVAL_MS: '200' };
    const first = await ServerProcess.start({ databaseUrl: database.url, env });
    // One audit, one key: processes on one database share it.
    otherDir = await temporaryDataDir();
    await copyFile(path.join(first.dataDir, 'audit-signing.key'), path.join(otherDir, 'audit-signing.key'));
    servers = [first, await ServerProcess.start({ databaseUrl: database.url, dataDir: otherDir, env })];
    // Each has its own issuer: a pseudonym belongs to an issuer and a subject, so these are two readers.
    readers = await Promise.all(servers.map(async (server) => new ApiClient(server.url, await server.token(['reader'], 'reader'))));
    compliance = new ApiClient(one().url, await one().token(['compliance']));
    operator = new ApiClient(one().url, await one().token(['operator']));
    await play(12);
    await settled();
  });
  afterAll(async () => {
    const complaints = servers.map(complaintsOf);
    await Promise.all(servers.map((server) => server.stop()));
    await rm(otherDir, { recursive: true, force: true });
    await database.drop();
    expect(complaints).toEqual([[], []]);
  });

  /** Starts playthroughs at both servers, and takes a turn in each; answers the positions that readers were told. */
  async function play(count: number): Promise<string[]> {
    const positions: string[] = [];
    for (let n = 0; n < count; n++) {
      const reader = readers[n % 2] as ApiClient;
      const { playthrough, position } = await reader.start('the-cloakroom', randomUUID());
      const choice = playthrough.moment.choices.find(({ enabled }) => enabled);
      positions.push(position, (await reader.choose(playthrough.id, choice?.id ?? '', 0)).position);
    }
    return positions;
  }
  const rows = async (text: string): Promise<readonly string[]> => (await database.pool.query(text)).rows.map((row) => JSON.stringify(row));
  const trees = (): Promise<readonly string[]> =>
    rows(
      `select log, leaf_index::text as index, encode(sha256(leaf), 'hex') as leaf from fabula.audit_leaves where log >= 0 order by 1, leaf_index`,
    );
  const notes = (): Promise<readonly string[]> =>
    rows(`select log, size::text as size, encode(root, 'hex') as root from fabula.audit_notes order by 1, 2`);
  /** Every record has its leaf, and every leaf is signed. */
  const settled = (): Promise<true> =>
    eventually(async () => {
      const { rows: open } = await database.pool.query(
        `select p.partition from fabula.log_partitions p left join fabula.audit_heads h on h.log = p.partition
         where coalesce(h.next_offset, 0) < p.next_offset
            or coalesce((select max(size) from fabula.audit_notes n where n.log = p.partition), 0) < coalesce(h.size, 0)`,
      );
      return open.length === 0 ? true : undefined;
    }, 'all records are in signed trees');
  const ended = <Report>(client: ApiClient, what: string): Promise<Work<Report>> =>
    eventually(async () => {
      const work = (await client.rest('GET', `/audit/store/${what}`)).body as Work<Report>;
      return work.state === 'running' ? undefined : work;
    }, `the ${what} ends`);
  const command = async (...argv: readonly string[]) =>
    recorded([...argv, '--url', one().url, '--token', await one().token(['compliance', 'operator'])], { live: true });

  test('only compliance verifies, only operators rebuild', async () => {
    const who = { reader: readers[0] as ApiClient, compliance, operator };
    for (const [what, allowed] of [
      ['verification', 'compliance'],
      ['rebuild', 'operator'],
    ] as const)
      for (const [role, client] of Object.entries(who)) {
        const { status, body } = await client.rest('GET', `/audit/store/${what}`);
        expect([role, what, status]).toEqual([role, what, role === allowed ? 200 : 403]);
        if (role === allowed)
          expect(body).toEqual({ state: 'none', startedAt: null, finishedAt: null, progress: [], report: null, error: null });
        else expect((await client.rest('POST', `/audit/store/${what}`)).status).toBe(403);
      }
  });

  test('a verification runs in the background and finds nothing in an honest store', async () => {
    const ordered = await compliance.rest('POST', '/audit/store/verification');
    expect([ordered.status, (ordered.body as Work<StoreReport>).state]).toEqual([202, 'running']);
    const { state, report, progress, error } = await ended<StoreReport>(compliance, 'verification');
    expect([state, error]).toEqual(['done', null]);
    expect(report).toMatchObject({ ok: true, exitCode: 0, findings: [], notShown: [] });
    // Four partitions, the root tree, and the access log's, since the verification was asked for.
    expect(progress.length).toBe(6);
    expect(progress.filter(({ done, total }) => done !== total)).toEqual([]);
  });

  test('a rebuild while readers play at both servers ends in the same trees, and signed notes still bind', async () => {
    const before = await trees();
    const signed = await notes();
    const ordered = await operator.rest('POST', '/audit/store/rebuild');
    expect(ordered.status).toBe(202);
    const positions = await play(10);
    const work = await ended<{ trees: readonly { log: string; size: string }[] }>(operator, 'rebuild');
    expect([work.state, work.error]).toEqual(['done', null]);
    expect(work.report?.trees.map(({ log }) => log)).toEqual(['p0', 'p1', 'p2', 'p3']);
    await settled();
    const after = await trees();
    expect(after).toEqual(expect.arrayContaining([...before]));
    expect(after.length).toBe(before.length + positions.length);
    expect((await notes()).filter((note) => signed.includes(note))).toEqual(signed);
    const { code, out } = await command('audit', 'verify', '--store');
    expect(out).toContain('Nothing was tampered with');
    expect(code).toBe(0);
  });

  test('work on the whole store goes on once at a time, whichever process was asked', async () => {
    const blocker = await database.pool.connect();
    try {
      // As a rebuild in another process holds it.
      await blocker.query(`select pg_advisory_lock(${0x0fab03}, 0)`);
      for (const [client, what] of [
        [compliance, 'verification'],
        [operator, 'rebuild'],
      ] as const) {
        const { status, body } = await client.rest('POST', `/audit/store/${what}`);
        expect([status, (body as { code: string }).code]).toEqual([409, 'CONFLICT']);
      }
    } finally {
      blocker.release(true);
    }
    const all = await Promise.all([1, 2, 3].map(() => operator.rest('POST', '/audit/store/rebuild')));
    expect(all.map(({ status }) => status).toSorted()).toEqual([202, 409, 409]);
    expect((await ended(operator, 'rebuild')).state).toBe('done');
    await settled();
  });

  test('a changed leaf is named and placed with the exit code of its kind, and a rebuild mends it', async () => {
    const { rows: found } = await database.pool.query<{ log: number; index: string }>(
      `select log, leaf_index as index from fabula.audit_leaves where log >= 0 and leaf_index = 2 order by log limit 1`,
    );
    const { log, index } = found[0] as { log: number; index: string };
    await database.pool.query(
      `update fabula.audit_leaves set leaf = convert_to(replace(convert_from(leaf, 'UTF8'), '"verdict":"accepted"', '"verdict":"conflict"'), 'UTF8')
       where log = $1 and leaf_index = $2`,
      [log, index],
    );
    const { code, out, err } = await command('audit', 'verify', '--store');
    expect(err).toContain('verifying: ');
    expect(out).toContain(`LEAF  leaf ${index} of p${log} is not what the log's record gives`);
    expect(out).toContain(`tree p${log}, leaf ${index}`);
    expect(code).toBe(EXIT_CODES.LEAF);
    const mended = await command('audit', 'rebuild');
    expect([mended.code, mended.out]).toEqual([0, expect.stringMatching(/✓ 4 trees built anew from the log: \d+ leaves/)]);
    expect((await command('audit', 'verify', '--store', '--json')).code).toBe(0);
    // The other server's auditors and notary went on.
    const health = await Promise.all(
      [one(), other()].map(async ({ url }) => (await fetch(`${url}/health/ready`)).json() as Promise<{ notes: object }>),
    );
    expect(health.map((answer) => answer.notes)).toEqual([{}, {}]);
    await play(4);
    await settled();
  });
});
