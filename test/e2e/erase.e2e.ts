import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Client } from 'pg';
import { verifyBundle, type BundleReport } from '#lib/audit';
import type { UserRole } from '#lib/platform';
import { ApiClient } from '../support/api-client.js';
import { CanaryHunt } from '../support/canaries.js';
import { isLong } from '../support/requirement.js';
import { ServerProcess, temporaryDataDir } from '../support/server-process.js';
import { verified } from '../support/verification.js';
import { walk } from './auto-player.js';
import { connectToEmbedded } from './embedded-database.js';
import { eventually, refused } from './expectations.js';
import { complaintsOf } from './server-log.js';

const OTHERS = isLong ? 40 : 3;
const VICTIM_PLAYTHROUGHS = isLong ? 20 : 2;
const TURNS = isLong ? 60 : 8;
const ROW = 'erase under load with canaries';

interface Reader {
  readonly sub: string;
  readonly client: ApiClient;
  readonly names: string[];
  readonly playthroughs: string[];
}
interface ActionView {
  readonly id: string;
  readonly stage: string;
  readonly blocked: string | null;
  readonly failed: unknown;
  readonly result: { readonly keysDestroyed: readonly string[]; readonly linksCut: number };
}
interface Package {
  readonly pseudonym: string;
  readonly playthroughs: readonly {
    readonly id: string;
    readonly checkpoints?: readonly { readonly name: string | null }[];
    readonly turns: readonly object[];
  }[];
}
interface Hits {
  readonly hits: readonly { readonly log: string; readonly index: string }[];
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

jest.setTimeout(isLong ? 900_000 : 300_000);

describe('a reader who asks to be forgotten, while others play', () => {
  let dataDir: string;
  let server: ServerProcess;
  let database: Client;
  const secret = randomBytes(6).toString('hex');
  const everything: string[] = [];
  const canary = (what: string): string => {
    const text = `canary-${what}-${secret}-${everything.length}`;
    everything.push(text);
    return text;
  };
  const as = async (sub: string, ...roles: readonly UserRole[]): Promise<ApiClient> =>
    new ApiClient(server.url, await server.token(roles, sub));

  beforeAll(async () => {
    dataDir = await temporaryDataDir();
    const temporary = path.join(dataDir, 'tmp');
    await mkdir(temporary, { mode: 0o777 });
    server = await ServerProcess.start({
      dataDir,
      env: { LOG_LEVEL: 'debug', TMPDIR: temporary, FABULA_CHECKPOINT_INTERVAL_MS: '200' },
    });
    database = await connectToEmbedded(dataDir);
  }, 120_000);
  afterAll(async () => {
    await database?.end().catch(() => undefined /* the server took the database with it */);
    await server?.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  async function reader(n: number): Promise<Reader> {
    const sub = canary(`sub${n}@example.org`);
    return { sub, client: await as(sub, 'reader'), names: [], playthroughs: [] };
  }
  async function plays(who: Reader, seed: number): Promise<void> {
    const { last } = await walk(who.client, 'the-inspector-of-bells', seed, TURNS);
    const name = canary('name');
    await who.client.setCheckpoint(last.id, name, last.turn);
    who.names.push(name);
    who.playthroughs.push(last.id);
  }
  const names = async (client: ApiClient, id: string): Promise<readonly (string | null)[]> => {
    const query = 'query ($id: ID!) { playthrough(id: $id) { checkpoints { name } } }';
    const { playthrough } = await client.data<{ playthrough: { checkpoints: { name: string | null }[] } }>(query, { id });
    return playthrough.checkpoints.map(({ name }) => name);
  };
  const get = async <T>(client: ApiClient, where: string): Promise<T> => {
    const answer = await client.rest('GET', where);
    if (answer.status !== 200) throw new Error(`${where}: ${answer.status} ${answer.text.slice(0, 300)}`);
    return answer.body as T;
  };
  /** Two people have it done. */
  async function carryOut(action: object, [proposer, approver]: readonly [ApiClient, ApiClient]): Promise<ActionView> {
    const proposed = await proposer.rest('POST', '/admin/compliance/actions', { action, reason: 'asked for in writing' });
    if (proposed.status !== 201) throw new Error(`not proposed: ${proposed.text}`);
    const { id } = proposed.body as { id: string };
    const approved = await approver.rest('POST', `/admin/compliance/actions/${id}/approve`, {});
    if (approved.status !== 200) throw new Error(`not approved: ${approved.text}`);
    let last: ActionView | undefined;
    return eventually(async () => {
      last = await get<ActionView>(proposer, `/admin/compliance/actions/${id}`);
      if (last.failed !== null) throw new Error(JSON.stringify(last));
      return last.stage === 'carried-out' ? last : undefined;
    }, 'the action is carried out');
  }
  async function everyTurn(author: ApiClient, ids: readonly string[]): Promise<readonly string[]> {
    const turns: string[] = [];
    for (const id of ids) turns.push(sha256((await author.rest('GET', `/admin/playthroughs/${id}/turns?first=100&checkpoints=true`)).text));
    return turns;
  }
  async function bundle(compliance: ApiClient, file: string): Promise<BundleReport> {
    const ordered = await compliance.rest('POST', '/audit/exports', { bodies: true });
    const { id } = ordered.body as { id: string };
    await eventually(
      async () => ((await get<{ state: string }>(compliance, `/audit/exports/${id}`)).state === 'done' ? true : undefined),
      'the export',
    );
    const answer = await fetch(`${server.url}/audit/exports/${id}/download`, { headers: { authorization: `Bearer ${compliance.token}` } });
    await writeFile(file, Buffer.from(await answer.arrayBuffer()));
    const { verifierKey } = await get<{ verifierKey: string }>(compliance, '/audit/logs');
    return verifyBundle(file, { vkey: verifierKey });
  }
  /** All that is on disk, with what Postgres still held in memory written out. */
  async function hunted(): Promise<{ readonly found: readonly object[]; readonly bytes: number; readonly files: number }> {
    await database.query('checkpoint');
    return new CanaryHunt(everything).below(dataDir);
  }

  it('leaves nothing of its words or its name anywhere, changes no proof and no state, and takes nobody else along', async () => {
    const figures = await verified(ROW, async () => {
      const [compliance, author, operator] = [await as('c', 'compliance'), await as('a', 'author'), await as('o', 'operator')];
      const officers = [await as('dpo', 'dpo'), await as('admin', 'admin')] as const;
      const [dpo, admin] = officers;
      const victim = await reader(0);
      const others: Reader[] = [];
      for (let n = 1; n <= OTHERS; n++) others.push(await reader(n));
      for (let n = 0; n < VICTIM_PLAYTHROUGHS; n++) await plays(victim, n);
      for (const [n, other] of others.entries()) await plays(other, n);

      const [mine, words] = [[...victim.playthroughs], [...victim.names]];

      // The hunt finds what is there: in a row of Postgres, in a file, and spelt otherwise.
      const control = `canary-control-${secret}`;
      await database.query(`create table fabula.control as select $1::text as text`, [control]);
      await writeFile(path.join(dataDir, 'control'), Buffer.from(`--${control}`).toString('base64'));
      await database.query('checkpoint');
      const { found: planted } = await new CanaryHunt([control]).below(dataDir);
      expect(planted.some(({ where, spelling }) => where.startsWith('postgres') && spelling === 'plain')).toBe(true);
      expect(planted.some(({ where }) => where === 'control')).toBe(true);

      // 1. Before. Names and words are nowhere in clear, although everybody can read their own.
      expect((await hunted()).found).toEqual([]);
      expect(await names(victim.client, mine[0] as string)).toEqual([words[0]]);
      const looked = await dpo.rest('POST', '/admin/compliance/subjects/lookup', { sub: victim.sub });
      const { pseudonym } = looked.body as { pseudonym: string };
      expect(pseudonym).toMatch(/^r-/);
      expect((await dpo.rest('POST', '/admin/compliance/subjects/lookup', { sub: 'nobody' })).body).toEqual({ pseudonym: null });
      const packageOf = (format = 'json'): Promise<{ status: number; text: string; body: unknown }> =>
        dpo.rest('GET', `/admin/compliance/subjects/${pseudonym}/package?format=${format}`);
      const before = (await packageOf()).body as Package;
      expect(before.playthroughs.map(({ id }) => id).sort()).toEqual([...mine].sort());
      expect(before.playthroughs.flatMap(({ checkpoints = [] }) => checkpoints.map(({ name }) => name)).sort()).toEqual([...words].sort());
      expect(before.playthroughs.every(({ turns }) => turns.length > 1)).toBe(true);
      const page = (await packageOf('html')).text;
      for (const name of words) expect(page).toContain(name);

      const { logs } = await get<{ logs: readonly { log: string; signedSize: string }[] }>(compliance, '/audit/logs');
      const sizes = new Map(logs.map(({ log, signedSize }) => [log, signedSize]));
      const { hits } = await get<Hits>(compliance, `/audit/search?actor=${pseudonym}&first=1000`);
      const signed = hits.filter(({ log, index }) => BigInt(index) < BigInt(sizes.get(log) ?? 0));
      expect(signed.length).toBeGreaterThan(0);
      const proofs = (): Promise<readonly string[]> =>
        Promise.all([
          ...signed.map(async ({ log, index }) => {
            const where = `/audit/logs/${log}/proof/inclusion?index=${index}&size=${sizes.get(log)}`;
            return (await compliance.rest('GET', where)).text;
          }),
          ...[...sizes]
            .filter(([log, size]) => log.startsWith('p') && BigInt(size) > 1n)
            .map(async ([log, size]) => (await compliance.rest('GET', `/audit/logs/${log}/proof/consistency?from=1&to=${size}`)).text),
        ]);
      const [proofsBefore, turnsBefore] = [await proofs(), await everyTurn(author, mine)];
      const exported = await bundle(compliance, path.join(dataDir, 'before.tar'));
      expect([exported.findings, exported.sealed]).toMatchObject([[], { erased: 0, erasures: 0 }]);
      expect(exported.sealed?.fields).toBeGreaterThanOrEqual(words.length);

      // 2. Two people have the reader forgotten, while the others go on, and the victim's own token too.
      const load = { over: false, turns: 0 };
      const playing = others.map(async (other, n) => {
        for (let seed = 100 * n; !load.over; seed++) {
          await plays(other, seed);
          load.turns += TURNS;
        }
      });
      const erased = await carryOut({ kind: 'erase', subject: pseudonym, legalBasis: 'GDPR 17(1)(b)' }, officers).finally(
        () => (load.over = true),
      );
      await Promise.all(playing);
      expect(erased.result).toMatchObject({ linksCut: 1, keysDestroyed: [expect.stringMatching(/^[\w-]{16}$/)] });

      // 3. The same token is somebody new, who owns nothing; the old pseudonym's words are gone.
      const gone = await refused(victim.client.setCheckpoint(mine[0] as string, canary('late'), 1));
      expect(gone.code).toBe('PLAYTHROUGH_NOT_FOUND');
      await plays(victim, 7);
      const again = (await dpo.rest('POST', '/admin/compliance/subjects/lookup', { sub: victim.sub })).body as { pseudonym: string };
      expect(again.pseudonym).toMatch(/^r-/);
      expect(again.pseudonym).not.toBe(pseudonym);
      const after = (await packageOf()).body as Package;
      expect(after.playthroughs.flatMap(({ checkpoints = [] }) => checkpoints.map(({ name }) => name))).toEqual(words.map(() => null));

      // 4. No proof, no state and nobody else was touched.
      expect(await proofs()).toEqual(proofsBefore);
      expect(await everyTurn(author, mine)).toEqual(turnsBefore);
      for (const other of others)
        for (const [n, id] of other.playthroughs.entries()) expect(await names(other.client, id)).toEqual([other.names[n]]);

      // 5. Read models built from nothing are the same, without the key.
      await operator.rest('POST', '/admin/projections/rebuild');
      const { rebuild } = await eventually(async () => {
        const status = await get<{ rebuild: { state: string; report?: { parity: { kind: string } } } }>(operator, '/admin/projections');
        return status.rebuild.state === 'running' ? undefined : status;
      }, 'the rebuild');
      expect(rebuild).toMatchObject({ state: 'done', report: { parity: { kind: 'equal' } } });
      expect(await everyTurn(author, mine)).toEqual(turnsBefore);

      // 6. Old copies of the tables of keys become useless with the key that they are wrapped under.
      const { keks } = await get<{ keks: readonly { id: string; state: string }[] }>(admin, '/admin/compliance/keks');
      const [current] = keks;
      expect(keks).toHaveLength(1);
      await carryOut({ kind: 'rotate-kek', from: current?.id, to: 'kek-after-erasure' }, [admin, dpo]);
      expect(await readdir(path.join(dataDir, 'keks'))).toEqual(['kek-after-erasure.kek']);
      for (const other of others) expect(await names(other.client, other.playthroughs[0] as string)).toEqual([other.names[0]]);

      // 7. Nothing anywhere: database with its write-ahead log, exports before and after, temporary files, the server's own words.
      const later = await bundle(compliance, path.join(dataDir, 'after.tar'));
      expect([later.findings, later.sealed]).toMatchObject([[], { erased: words.length, erasures: 1, complete: true }]);
      const { found, bytes, files } = await hunted();
      const said = Buffer.from(server.output());
      expect([...found, ...new CanaryHunt(everything).in(said, 'output')]).toEqual([]);
      expect(said.length).toBeGreaterThan(1_000);
      expect(complaintsOf(server).filter((line) => !line.includes('"level":"debug"'))).toEqual([]);
      return {
        canaries: everything.length,
        proofs: proofsBefore.length,
        turnsUnderLoad: load.turns,
        files,
        megabytes: Math.round(bytes / 1e6),
      };
    });
    expect(figures).toMatchObject({ canaries: expect.any(Number) });
  });
});
