import { rm } from 'node:fs/promises';
import path from 'node:path';
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
import WebSocket from 'ws';
import { createLogger, loadConfig, USER_ROLES, type UserRole } from '#lib/platform';
import { readFile } from 'node:fs/promises';
import { createTestDatabase, type TestDatabase } from '../../../../test/support/postgres.js';
import { temporaryDataDir } from '../../../../test/support/server-process.js';
import { startServer, type RunningServer } from '../server.js';
import type { Endpoint } from './endpoints.js';
import { PLAIN_ROUTES } from './plain-routes.js';
import { endpoints, mayCall } from './roles-reference.js';

jest.setTimeout(120_000);

const ROOT = path.resolve(__dirname, '../../../..');
const PARAMETERS: Readonly<Record<string, string>> = { log: 'p0', partition: '0', offset: '0', hash: '0'.repeat(64) };
type Caller = readonly UserRole[] | 'nobody' | 'forged';

/** What became of a request: let through to the route, whatever that then said, or refused for who asked. */
type Verdict = 'let through' | 'UNAUTHENTICATED' | 'FORBIDDEN';
const verdictOf = (code: string | undefined): Verdict => (code === 'UNAUTHENTICATED' || code === 'FORBIDDEN' ? code : 'let through');
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
    const wrong: string[] = [];
    // What operators may start runs in the background: last, so that it disturbs no other answer.
    const order = endpoints().toSorted((a, b) => Number(a.path.includes('rebuild')) - Number(b.path.includes('rebuild')));
    const check = async (endpoint: Endpoint): Promise<void> => {
      const callers: Caller[] = ['nobody', 'forged', [], ...USER_ROLES.map((role) => [role]), ['compliance', 'admin']];
      const verdicts = await Promise.all(callers.map((caller) => (isGraphql(endpoint) ? graphql : rest)(endpoint, caller)));
      callers.forEach((caller, i) => {
        const open = endpoint.roles?.length === 0;
        const anonymous: Verdict = open && caller !== 'forged' ? 'let through' : 'UNAUTHENTICATED';
        const expected = typeof caller === 'string' ? anonymous : mayCall(endpoint, caller) ? 'let through' : 'FORBIDDEN';
        if (verdicts[i] !== expected)
          wrong.push(`${nameOf(endpoint)} by ${String(caller) || 'no role'}: ${verdicts[i]}, the table says ${expected}`);
      });
    };
    for (let from = 0; from < order.length; from += 8) await Promise.all(order.slice(from, from + 8).map(check));
    expect(wrong).toEqual([]);
  });
});

/** The shortest document that asks for a root field: every argument that must be there, and one field of what comes back. */
function documentOf(schema: GraphQLSchema, { method, path: field }: Endpoint): string {
  const root = { query: schema.getQueryType(), mutation: schema.getMutationType(), subscription: schema.getSubscriptionType() }[method];
  const { args } = root?.getFields()[field] as GraphQLField<unknown, unknown>;
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
