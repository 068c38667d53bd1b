import { createHash, randomUUID } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import {
  buildSchema,
  isInputObjectType,
  isNonNullType,
  isScalarType,
  type GraphQLField,
  type GraphQLInputType,
  type GraphQLSchema,
} from 'graphql';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { createLogger, loadConfig, USER_ROLES, type UserRole } from '#lib/platform';
import { verifyBundle, type AccessEntry } from '#lib/audit';
import { ApiClient } from '../../../../test/support/api-client.js';
import { createTestDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import { temporaryDataDir } from '../../../../test/support/server-process.js';
import { verified } from '../../../../test/support/verification.js';
import { publishStory } from '../../../../test/e2e/publish-story.js';
import { threeDoors } from '../../../../test/e2e/small-stories.js';
import { lintSource } from '#lib/story-formats';
import { StoryImporter } from '../stories/story-importer.js';
import { startServer, type RunningServer } from '../server.js';
import type { Endpoint } from './endpoints.js';
import { PLAIN_ROUTES } from './plain-routes.js';
import { endpoints, mayCall } from './roles-reference.js';

jest.setTimeout(120_000);

const ROOT = path.resolve(__dirname, '../../../..');
const PARAMETERS: Readonly<Record<string, string>> = { log: 'p0', partition: '0', offset: '0', hash: '0'.repeat(64) };
type Caller = readonly UserRole[] | 'nobody' | 'forged';

/** What became of a request: let through to the route, whatever that then said, or refused for who asked. */
type Verdict = 'let through' | 'UNAUTHENTICATED' | 'FORBIDDEN' | 'OVERLOADED' | 'RATE_LIMITED';
/** A server that has too much to do answers so before it looks at who asks, or in place of an answer that it may not show. That is no verdict. */
const TOO_MUCH = ['OVERLOADED', 'RATE_LIMITED'];
const verdictOf = (code: string | undefined): Verdict =>
  code === 'UNAUTHENTICATED' || code === 'FORBIDDEN' || code === 'OVERLOADED' || code === 'RATE_LIMITED' ? code : 'let through';
const MAX_TRIES = 20;
const isGraphql = ({ path: at }: Endpoint): boolean => !at.startsWith('/');
const nameOf = ({ method, path: at }: Endpoint): string => `${method} ${at}`;

describe('a server with every route', () => {
  let database: TestDatabase;
  let server: RunningServer;
  let dataDir: string;
  let schema: GraphQLSchema;
  const tokens = new Map<string, string>();

  beforeAll(async () => {
    database = await createTestDatabase();
    dataDir = await temporaryDataDir();
    const config = loadConfig({
      PORT: '0',
      FABULA_DATA_DIR: dataDir,
      FABULA_LOG: 'postgres',
      FABULA_PARTITIONS: '1',
      FABULA_REQUESTS_PER_MINUTE: '0',
    });
    server = await startServer(config, createLogger({ level: 'fatal' }), database.url, ROOT);
    schema = buildSchema(await readFile(path.join(ROOT, 'schema.graphql'), 'utf8'));
  });
  afterAll(async () => {
    await server.stop(() => undefined);
    await database.drop();
    await rm(dataDir, { recursive: true, force: true });
  });

  async function tokenOf(caller: Caller): Promise<string | undefined> {
    if (caller === 'nobody') return undefined;
    const roles = caller === 'forged' ? [...USER_ROLES] : caller;
    const key = String(caller);
    const known = tokens.get(key) ?? (await server.node.developmentIssuer?.mintToken({ sub: `somebody-${key}`, roles })) ?? '';
    tokens.set(key, known);
    return caller === 'forged' ? `${known.slice(0, -6)}AAAAAA` : known;
  }

  async function rest({ method, path: route }: Endpoint, caller: Caller): Promise<Verdict> {
    const token = await tokenOf(caller);
    const url = route.replaceAll(/:([a-zA-Z]+)/g, (_, name: string) => PARAMETERS[name] ?? 'nothing').replaceAll('*', 'nothing');
    const answer = await fetch(`${server.url}${url}`, { method, headers: token === undefined ? {} : { authorization: `Bearer ${token}` } });
    const text = await answer.text();
    const { code } = answer.ok || !text.startsWith('{') ? {} : (JSON.parse(text) as { readonly code?: string });
    expect([401, 403].includes(answer.status)).toBe(code === 'UNAUTHENTICATED' || code === 'FORBIDDEN');
    return verdictOf(code);
  }

  async function graphql(endpoint: Endpoint, caller: Caller): Promise<Verdict> {
    const query = documentOf(schema, endpoint);
    const token = await tokenOf(caller);
    if (endpoint.method === 'subscription') return followed(query, token);
    const answer = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
      body: JSON.stringify({ query }),
    });
    const { errors } = (await answer.json()) as { readonly errors?: readonly { readonly extensions: { readonly code: string } }[] };
    return verdictOf(errors?.[0]?.extensions.code);
  }

  async function followed(query: string, token: string | undefined): Promise<Verdict> {
    const client = createClient({
      url: `${server.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { token },
      retryAttempts: 0,
    });
    try {
      return await new Promise<Verdict>((resolve, reject) => {
        client.subscribe(
          { query },
          {
            next: () => resolve('let through'),
            error: (problem) => {
              if (Array.isArray(problem)) resolve(verdictOf((problem[0] as { extensions: { code: string } }).extensions.code));
              else if ((problem as { code?: number }).code === 4403) resolve('UNAUTHENTICATED');
              else reject(problem as Error);
            },
            complete: () => resolve('let through'),
          },
        );
      });
    } finally {
      await client.dispose();
    }
  }

  let retried = 0;
  /** Asked again, and said so, while the server only says that it has too much to do. */
  async function asked(endpoint: Endpoint, caller: Caller): Promise<Verdict> {
    for (let tries = 1; ; tries++) {
      const verdict = await (isGraphql(endpoint) ? graphql : rest)(endpoint, caller);
      if (!TOO_MUCH.includes(verdict) || tries === MAX_TRIES) return verdict;
      retried++;
      process.stderr.write(`${nameOf(endpoint)} by ${String(caller)}: ${verdict}, asked again\n`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  test('serves nothing that does not say who may have it', () => {
    const declared = new Set(
      endpoints()
        .filter((one) => !isGraphql(one))
        .map(nameOf),
    );
    const plain = new Set<string>([...PLAIN_ROUTES, '/graphql'].flatMap((route) => [`GET ${route}`, `POST ${route}`]));
    // Fastify answers HEAD wherever it answers GET, through the same guard.
    const served = server.routes.filter((route) => !route.startsWith('HEAD ') && !plain.has(route));
    expect(served.filter((route) => !declared.has(route))).toEqual([]);
    expect([...declared].filter((route) => !served.includes(route))).toEqual([]);
    expect(
      endpoints()
        .filter(({ roles }) => roles === undefined)
        .map(nameOf),
    ).toEqual([]);
    const fields = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()].flatMap((root) =>
      Object.keys(root?.getFields() ?? {}).map((field) => `${String(root?.name.toLowerCase())} ${field}`),
    );
    expect(endpoints().filter(isGraphql).map(nameOf).toSorted()).toEqual(fields.toSorted());
  });

  test('lets through exactly those whom the table names, at every endpoint, for every role and for none', async () => {
    const figures = await verified('5.8 roles', async () => {
      const wrong: string[] = [];
      const callers: Caller[] = ['nobody', 'forged', [], ...USER_ROLES.map((role) => [role]), ['compliance', 'admin']];
      let refused = 0;
      // What operators may start runs in the background: last, so that it disturbs no other answer.
      const order = endpoints().toSorted((a, b) => Number(a.path.includes('rebuild')) - Number(b.path.includes('rebuild')));
      const check = async (endpoint: Endpoint): Promise<void> => {
        const verdicts = await Promise.all(callers.map((caller) => asked(endpoint, caller)));
        callers.forEach((caller, i) => {
          const open = endpoint.roles?.length === 0;
          const anonymous: Verdict = open && caller !== 'forged' ? 'let through' : 'UNAUTHENTICATED';
          const expected = typeof caller === 'string' ? anonymous : mayCall(endpoint, caller) ? 'let through' : 'FORBIDDEN';
          if (verdicts[i] !== 'let through') refused++;
          if (verdicts[i] !== expected)
            wrong.push(`${nameOf(endpoint)} by ${String(caller) || 'no role'}: ${verdicts[i]}, the table says ${expected}`);
        });
      };
      for (let from = 0; from < order.length; from += 8) await Promise.all(order.slice(from, from + 8).map(check));
      expect(wrong).toEqual([]);
      return {
        endpoints: order.length,
        callers: callers.length,
        requests: order.length * callers.length,
        refused,
        otherThanTheTable: wrong.length,
        retried,
      };
    });
    expect(figures.refused).toBeGreaterThan(figures.endpoints);
  });

  describe('tells the access log', () => {
    const STORY = 'three-doors';
    const as = async (...roles: UserRole[]): Promise<ApiClient> => new ApiClient(server.url, (await tokenOf(roles)) as string);
    const access = () => server.node.audit.access;
    /** Entries, newest first. */
    async function entries(query = ''): Promise<readonly AccessEntry[]> {
      const { status, body, text } = await (await as('compliance')).rest('GET', `/audit/access?first=1000${query}`);
      if (status !== 200) throw new Error(text);
      return (body as { entries: AccessEntry[] }).entries;
    }
    const idOf = ({ headers }: { readonly headers: Headers }): string => String(headers.get('x-correlation-id'));
    let reader: ApiClient;
    let playthroughId: string;
    beforeAll(async () => {
      // The worker that reads sources is started from the build; here the same reading runs in this thread.
      jest.spyOn(StoryImporter.prototype, 'read').mockImplementation((source, format) => {
        const { result, problems } = lintSource(format, source);
        return Promise.resolve({ id: 1, result, lint: problems });
      });
      await publishStory(await as('author'), threeDoors(STORY));
      reader = await as('reader');
      const started = await reader.start(STORY, randomUUID());
      playthroughId = started.playthrough.id;
      await reader.playthrough(playthroughId, [started.position]);
    });
    beforeEach(() => access().flush());

    test('of what staff look for, with whom, roles, terms and correlation id, before they have the answer', async () => {
      const compliance = await as('compliance');
      const correlationId = idOf(await compliance.rest('GET', `/audit/search?playthroughId=${playthroughId}&first=5`));
      const [entry] = await entries(`&correlationId=${correlationId}`);
      expect(entry).toMatchObject({
        v: 1,
        event: 'sensitive_read',
        action: 'GET /audit/search',
        roles: ['compliance'],
        outcome: 'ok',
        target: { playthroughId, first: '5' },
      });
      const lookedAt = await entries(`&playthroughId=${playthroughId}`);
      expect(lookedAt.map((one) => one.correlationId)).toContain(correlationId);
    });

    test('and withholds the answer when the entry cannot be kept, while readers, health and metrics go on', async () => {
      await database.pool.query(
        `create function fabula.no_access() returns trigger language plpgsql as $$ begin raise exception 'the disk is full'; end $$;
         create trigger no_access before insert on fabula.audit_leaves for each row when (new.log = -2) execute function fabula.no_access()`,
      );
      try {
        const compliance = await as('compliance');
        const { status, body, text } = await compliance.rest('GET', '/audit/search?actor=somebody');
        expect([status, body]).toEqual([503, expect.objectContaining({ code: 'OVERLOADED', retryable: true })]);
        expect(text).not.toContain('hits');
        const operator = await as('operator');
        const retried = await operator.rest('POST', '/admin/parked/nothing/retry');
        expect([retried.status, retried.body]).toEqual([503, expect.objectContaining({ code: 'OUTCOME_UNKNOWN' })]);
        const author = await as('author');
        expect((await author.graphql('{ stories { edges { cursor } } }')).errors?.[0]?.extensions.code).toBe('OVERLOADED');
        expect((await reader.playthrough(playthroughId))?.id).toBe(playthroughId);
        for (const open of ['/health/ready', '/metrics', '/play'])
          expect(
            (await fetch(`${server.url}${open}`, { headers: { authorization: `Bearer ${await tokenOf(['operator'])}` } })).status,
          ).toBe(200);
        // What was counted meanwhile is not lost by a flush that fails.
        const counted = access().counted;
        await access().flush();
        expect(access().counted).toBe(counted);
      } finally {
        await database.pool.query('drop trigger no_access on fabula.audit_leaves; drop function fabula.no_access()');
      }
      expect((await (await as('compliance')).rest('GET', '/audit/search?actor=somebody')).status).toBe(200);
    });

    test('of what readers do with their own only in sum, and of their accepted commands nothing twice', async () => {
      for (let n = 0; n < 5; n++) await reader.playthrough(playthroughId);
      await reader.start(STORY, randomUUID());
      expect((await reader.rest('GET', '/audit/logs')).status).toBe(403);
      await access().flush();
      const actor = await server.node.reads.playthrough(playthroughId).then(({ value }) => value?.reader);
      const own = (await entries(`&actor=${String(actor)}`)).slice(0, 2);
      expect(own.map(({ event, action, outcome, count }) => [event, action, outcome, count])).toEqual(
        expect.arrayContaining([
          ['sensitive_read', 'query playthrough', 'ok', '5'],
          ['authz_fail', 'GET /audit/logs', 'FORBIDDEN', '1'],
        ]),
      );
      expect(await entries(`&actor=${String(actor)}&event=sensitive_update&outcome=ok`)).toEqual([]);
    });

    test('of a flood of wrong tokens in one row, and answers others meanwhile', async () => {
      const before = (await entries('&event=authn_login_fail')).length;
      const each = process.env.FABULA_TEST_LONG === undefined ? 30 : 1_000;
      const flood = async (n: number): Promise<void> => {
        for (let i = 0; i < each; i++) {
          const headers = { authorization: `Bearer wrong.${n}.${i}` };
          expect((await fetch(`${server.url}/audit/search?actor=${n}-${i}`, { headers })).status).toBe(401);
        }
      };
      const floods = Promise.all(Array.from({ length: 20 }, (_, n) => flood(n)));
      expect((await reader.playthrough(playthroughId))?.id).toBe(playthroughId);
      await floods;
      expect(access().counted).toBeLessThan(10);
      await access().flush();
      const rows = await entries('&event=authn_login_fail');
      expect(rows.length - before).toBeLessThanOrEqual(2);
      expect(rows[0]).toMatchObject({
        actor: null,
        action: 'GET /audit/search',
        outcome: 'UNAUTHENTICATED',
        count: String(20 * each),
        target: {},
      });
    });

    test('of readings of itself once, not of each', async () => {
      const compliance = new ApiClient(
        server.url,
        (await server.node.developmentIssuer?.mintToken({ sub: 'cora', roles: ['compliance'] })) ?? '',
      );
      const readings = async (): Promise<string[]> => {
        const { body } = await compliance.rest('GET', '/audit/access?first=1000');
        const mine = (body as { entries: AccessEntry[] }).entries.filter(
          ({ roles, event, actor }) => roles.length === 1 && event === 'sensitive_read' && actor === me,
        );
        return mine.map(({ action }) => action).toSorted();
      };
      let me: string | null = null;
      const first = await compliance.rest('GET', '/audit/logs/access/entries');
      me = (await entries(`&correlationId=${idOf(first)}`))[0]?.actor ?? null;
      for (let n = 0; n < 10; n++) expect((await compliance.rest('GET', '/audit/logs/access/entries')).status).toBe(200);
      for (let n = 0; n < 10; n++) await readings();
      expect(await readings()).toEqual(['GET /audit/access', 'GET /audit/logs/:log/entries']);
    });

    test('whose entries are proved as any leaf, and cannot be changed', async () => {
      await server.node.audit.notary.sign();
      const compliance = await as('compliance');
      const note = await compliance.rest('GET', '/audit/logs/access/checkpoint');
      expect(note.text.split('\n')[0]).toMatch(/\/access$/);
      const { body } = await compliance.rest('GET', '/audit/logs/access/proof/inclusion?index=3');
      const { leaf } = body as { leaf: string };
      expect(JSON.parse(leaf)).toMatchObject({ index: '3', tree: 'access' });
      const change = `update fabula.audit_leaves set leaf = leaf where log = -2 and leaf_index = 3`;
      await expect(database.pool.query(change)).rejects.toThrow('never changed');
      await expect(database.pool.query('delete from fabula.audit_leaves where log = -2')).rejects.toThrow('never changed');
    });

    test('of exports when they are finished and when they are handed over, with the digest of the file', async () => {
      await server.node.audit.notary.sign();
      const compliance = await as('compliance');
      const { id } = (await compliance.rest('POST', '/audit/exports', {})).body as { id: string };
      await server.node.audit.exporter.idle();
      const file = await fetch(`${server.url}/audit/exports/${id}/download`, {
        headers: { authorization: `Bearer ${await tokenOf(['compliance'])}` },
      });
      const bytes = Buffer.from(await file.arrayBuffer());
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      const { manifestSha256 } = await verifyBundle(Readable.from([bytes]));
      expect(manifestSha256).toMatch(/^[0-9a-f]{64}$/);
      const exported = await entries(`&exportId=${id}`);
      const told = exported.map(({ action, target }) => [action, target['sha256'], target['manifestSha256']]);
      expect(told.filter(([action]) => action !== 'GET /audit/access').toReversed()).toEqual([
        ['POST /audit/exports', undefined, undefined],
        ['export finished', sha256, manifestSha256],
        ['GET /audit/exports/:id/download', sha256, manifestSha256],
      ]);
      expect(await entries(`&exportId=${randomUUID()}`)).toEqual([]);
      const both = new ApiClient(server.url, (await tokenOf(['compliance', 'admin'])) as string);
      expect((await both.rest('GET', `/audit/exports/${id}/download`)).status).toBe(403);
    });

    test('of exports that are removed, by whom, and finds by an outcome only beside something else', async () => {
      const compliance = await as('compliance');
      const { id } = (await compliance.rest('POST', '/audit/exports', {})).body as { id: string };
      await server.node.audit.exporter.idle();
      const path = `/audit/exports/${id}`;
      const { file } = (await compliance.rest('GET', path)).body as { file: { sha256: string } };
      const gone = await compliance.rest('DELETE', path);
      expect(gone.status).toBe(200);
      expect(gone.body).toMatchObject({ id, state: 'done', removedAt: expect.any(String) as string });
      expect((await compliance.rest('GET', `${path}/download`)).status).toBe(404);
      expect((await compliance.rest('DELETE', `/audit/exports/${randomUUID()}`)).status).toBe(404);
      const [removed] = (await entries(`&exportId=${id}`)).filter(({ event }) => event === 'sensitive_delete');
      expect(removed).toMatchObject({ action: 'DELETE /audit/exports/:id', target: { exportId: id, sha256: file.sha256 }, outcome: 'ok' });
      const { store, exporter } = server.node.audit;
      const job = await exporter.job(id);
      if (job === undefined) throw new Error('the job is kept');
      const other = { ...job, id: randomUUID(), keptBy: { id: 'other', address: 'http://other.test' }, state: 'queued' as const };
      await store.saveExport(other);
      const refused = await compliance.rest('DELETE', `/audit/exports/${other.id}`);
      expect([refused.status, refused.body]).toMatchObject([409, { code: 'CONFLICT', address: 'http://other.test' }]);
      expect((await compliance.rest('GET', '/audit/access?outcome=FORBIDDEN')).status).toBe(400);
      expect((await compliance.rest('GET', '/audit/access?outcome=CONFLICT&event=sensitive_delete')).body).toMatchObject({
        entries: [{ target: { exportId: other.id } }],
      });
    });

    test('of exports with bodies, which nobody but compliance alone is given', async () => {
      for (const roles of [
        ['admin'],
        ['operator'],
        ['dpo'],
        ['author'],
        ['reader'],
        ['compliance', 'admin'],
        ['operator', 'dpo'],
      ] as const) {
        const { status, body } = await (await as(...roles)).rest('POST', '/audit/exports', { bodies: true });
        expect([roles, status, (body as { code: string }).code]).toEqual([roles, 403, 'FORBIDDEN']);
      }
      const { status, body } = await (await as('compliance')).rest('POST', '/audit/exports', { bodies: true });
      const { id } = body as { id: string };
      await server.node.audit.exporter.idle();
      expect(status).toBe(202);
      const [ordered] = (await entries(`&exportId=${id}`)).toReversed();
      expect(ordered).toMatchObject({ action: 'POST /audit/exports', target: { exportId: id, bodies: 'shown' }, outcome: 'ok' });
    });

    test('of bodies that operators see, which is none before they break the glass', async () => {
      const operator = new ApiClient(
        server.url,
        (await server.node.developmentIssuer?.mintToken({ sub: 'oona', roles: ['operator'] })) ?? '',
      );
      const turns = async (): Promise<{ text: string; correlationId: string }> => {
        const answer = await operator.rest('GET', `/admin/playthroughs/${playthroughId}/turns`);
        expect(answer.status).toBe(200);
        return { text: answer.text, correlationId: idOf(answer) };
      };
      const withheld = await turns();
      const { edges } = JSON.parse(withheld.text) as { edges: { node: { withheld: boolean; events: object[] } }[] };
      expect(edges[0]?.node).toMatchObject({ withheld: true, turn: 0, kind: 'STARTED' });
      expect(edges[0]?.node.events[0]).toEqual({
        type: 'PlaythroughStarted',
        v: expect.any(Number) as number,
        bytes: expect.any(Number) as number,
        sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      });
      expect(withheld.text).not.toContain('hall');
      const author = await (await as('author')).rest('GET', `/admin/playthroughs/${playthroughId}/turns`);
      expect(author.text).toContain('hall');

      const broken = await operator.rest('POST', '/admin/compliance/break-glass', { reason: 'a parked stream in the night', minutes: 5 });
      expect([broken.status, broken.text.slice(0, 200)]).toEqual([201, expect.any(String)]);
      const shown = await turns();
      expect(shown.text).toContain('hall');
      const targets = await Promise.all(
        [withheld, shown].map(async ({ correlationId }) => (await entries(`&correlationId=${correlationId}`))[0]?.target),
      );
      expect(targets).toEqual([
        expect.objectContaining({ id: playthroughId, bodies: 'withheld' }),
        expect.objectContaining({ id: playthroughId, breakGlass: expect.stringMatching(/^g-/) as string }),
      ]);
    });
  });
});

/** The shortest document that asks for a root field: every argument that must be there, and one field of what comes back. */
function documentOf(schema: GraphQLSchema, { method, path: field }: Endpoint): string {
  const root = { query: schema.getQueryType(), mutation: schema.getMutationType(), subscription: schema.getSubscriptionType() }[method];
  const { args } = (root?.getFields() ?? {})[field] as GraphQLField<unknown, unknown>;
  const wanted = args.filter(({ type, defaultValue }) => isNonNullType(type) && defaultValue === undefined);
  const given = wanted.map(({ name, type }) => `${name}: ${valueOf(type)}`);
  return `${method} { ${field}${given.length === 0 ? '' : `(${given.join(', ')})`} { __typename } }`;
}

function valueOf(type: GraphQLInputType): string {
  if (isNonNullType(type)) return valueOf(type.ofType as GraphQLInputType);
  if (isScalarType(type)) return type.name === 'Int' ? '1' : '"nothing"';
  if (isInputObjectType(type)) {
    const fields = Object.values(type.getFields()).filter((field) => isNonNullType(field.type));
    return `{${fields.map((field) => `${field.name}: ${valueOf(field.type)}`).join(', ')}}`;
  }
  return 'null';
}
