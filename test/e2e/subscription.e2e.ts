import { randomUUID } from 'node:crypto';
import type { FormattedExecutionResult } from 'graphql';
import { createClient, type Client } from 'graphql-ws';
import { WebSocket } from 'ws';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { ApiClient } from '../support/api-client.js';
import { ServerProcess } from '../support/server-process.js';
import { eventually } from './expectations.js';
import { publishStory } from './publish-story.js';
import { complaintsOf } from './server-log.js';
import { threeDoors } from './small-stories.js';

jest.setTimeout(60_000);

const STORY = 'three-doors';
const QUERY = 'subscription ($id: ID!) { playthroughChanged(id: $id) { id turn status stateHash moment { passage { id } ending } } }';

interface Seen {
  readonly turn: number;
  readonly status: string;
  readonly stateHash: string;
  readonly moment: { readonly passage: { readonly id: string }; readonly ending: string | null };
}
interface Closed {
  readonly code: number;
  readonly reason: string;
}

describe('a subscription to a playthrough', () => {
  let database: TestDatabase;
  let server: ServerProcess;
  let reader: ApiClient;
  const clients: Client[] = [];

  beforeAll(async () => {
    database = await createTestDatabase();
    server = await ServerProcess.start({ databaseUrl: database.url });
    reader = new ApiClient(server.url, await server.token(['reader']));
    await publishStory(new ApiClient(server.url, await server.token(['author'])), threeDoors(STORY));
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) await client.dispose();
  });
  afterAll(async () => {
    expect(complaintsOf(server)).toEqual([]);
    await server.stop();
    await database.drop();
  });

  /** A socket with its token, and how it was closed. */
  const connect = (connectionParams: Record<string, unknown>): { client: Client; closed: Promise<Closed>; socket: () => WebSocket } => {
    let socket: WebSocket | undefined;
    let close: (how: Closed) => void;
    const closed = new Promise<Closed>((resolve) => (close = resolve));
    const client = createClient({
      url: `${server.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams,
      retryAttempts: 0,
      lazy: true,
      on: {
        opened: (opened) => (socket = opened as WebSocket),
        closed: (event) => close({ code: (event as Closed).code, reason: (event as Closed).reason }),
      },
    });
    clients.push(client);
    return { client, closed, socket: () => socket as WebSocket };
  };
  const follow = (client: Client, id: string): AsyncIterableIterator<FormattedExecutionResult<{ playthroughChanged: Seen }, unknown>> =>
    client.iterate<{ playthroughChanged: Seen }>({ query: QUERY, variables: { id } });
  const next = async (source: ReturnType<typeof follow>): Promise<Seen> => {
    const { value } = (await source.next()) as { value: FormattedExecutionResult<{ playthroughChanged: Seen }> };
    if (value.data === null || value.data === undefined) throw new Error(JSON.stringify(value.errors));
    return value.data.playthroughChanged;
  };
  /** How many subscriptions the server feeds, by its own metric. */
  const feeds = async (): Promise<number> => {
    const text = await (await fetch(`${server.url}/metrics`)).text();
    return Number(/^fabula_subscriptions (\d+)$/m.exec(text)?.[1]);
  };
  const feedsBecome = (count: number): Promise<number> =>
    eventually(async () => ((await feeds()) === count ? count : undefined), `${count} subscriptions are fed`);

  test('sends the playthrough as it is, then each change, up to the ending', async () => {
    const { playthrough } = await reader.start(STORY);
    const { client } = connect({ authorization: `Bearer ${reader.token}` });
    const source = follow(client, playthrough.id);
    expect(await next(source)).toMatchObject({ turn: 0, stateHash: playthrough.stateHash, moment: { passage: { id: 'hall' } } });
    for (const [turn, choice] of ['wait', 'take', 'gate', 'leave'].entries()) {
      const { playthrough: now } = await reader.choose(playthrough.id, choice, turn);
      expect(await next(source)).toMatchObject({ turn: turn + 1, status: now.status, stateHash: now.stateHash });
    }
    const { playthrough: back } = await reader.rewind(playthrough.id, 1, 4);
    expect(await next(source)).toMatchObject({ turn: 5, status: 'ACTIVE', stateHash: back.stateHash });
  });

  test('finds a playthrough that was started a moment ago, before the read models have it', async () => {
    const { client } = connect({ token: reader.token });
    for (let n = 0; n < 20; n++) {
      const { playthrough } = await reader.start(STORY);
      const source = follow(client, playthrough.id);
      expect(await next(source)).toMatchObject({ turn: 0, stateHash: playthrough.stateHash });
      await source.return?.();
    }
  });

  test('takes a bare token too, and carries a time-out that nobody asked for', async () => {
    const { playthrough } = await reader.start(STORY);
    const source = follow(connect({ token: reader.token }).client, playthrough.id);
    await next(source);
    await reader.choose(playthrough.id, 'take', 0);
    await next(source);
    await reader.choose(playthrough.id, 'trapdoor', 1);
    await next(source);
    expect(await next(source)).toMatchObject({ turn: 3, status: 'ENDED', moment: { ending: 'late' } });
  });

  test('is freed on the server when it is unsubscribed and when its socket is cut', async () => {
    await feedsBecome(0);
    const { playthrough } = await reader.start(STORY);
    const { client, socket } = connect({ token: reader.token });
    const [one, two] = [follow(client, playthrough.id), follow(client, playthrough.id)];
    await next(one);
    await next(two);
    await feedsBecome(2);
    await one.return?.();
    await feedsBecome(1);
    socket().terminate();
    await feedsBecome(0);
  });

  test('closes with 4403 for a token that is wrong or missing', async () => {
    for (const parameters of [{ token: 'nonsense' }, { token: `${reader.token}x` }, {}, { token: { toString: 1 } }]) {
      const { client, closed } = connect(parameters);
      const source = follow(client, randomUUID());
      await expect(source.next()).rejects.toBeDefined();
      expect(await closed).toMatchObject({ code: 4403 });
    }
  });

  test('closes with 4403 when its token expires', async () => {
    const brief = new ApiClient(server.url, await server.token(['reader'], 'brief', 2));
    const { playthrough } = await brief.start(STORY);
    const { client, closed } = connect({ token: brief.token });
    const source = follow(client, playthrough.id);
    expect((await next(source)).turn).toBe(0);
    await expect(source.next()).rejects.toBeDefined();
    expect(await closed).toMatchObject({ code: 4403, reason: 'the token has expired' });
  });

  test("knows nothing of somebody else's playthrough, nor of one that is not there", async () => {
    const { playthrough } = await reader.start(STORY);
    const stranger = connect({ token: await server.token(['reader'], 'stranger') }).client;
    for (const id of [playthrough.id, randomUUID(), 'no-uuid', '']) {
      const error = await refusalOf(stranger, QUERY, { id });
      expect(error.extensions).toMatchObject({ code: 'PLAYTHROUGH_NOT_FOUND', correlationId: expect.any(String) as string });
    }
    const compliance = connect({ token: await server.token(['compliance']) }).client;
    expect((await refusalOf(compliance, QUERY, { id: playthrough.id })).extensions).toMatchObject({ code: 'FORBIDDEN' });
  });

  test('refuses what is no subscription, and documents it cannot read, with codes and without insides', async () => {
    const { client } = connect({ token: reader.token });
    const dear = Array.from({ length: 9 }, (_, n) => `h${n}: history(first: 100) { edges { node { label at kind } } }`).join(' ');
    const cases: readonly [query: string, code: string][] = [
      ['{ stories { edges { cursor } } }', 'BAD_INPUT'],
      ['mutation { choose(input: {}) { turn } }', 'BAD_INPUT'],
      ['subscription { nothing }', 'BAD_INPUT'],
      ['subscription {', 'BAD_INPUT'],
      ['subscription { playthroughChanged }', 'BAD_INPUT'],
      [`subscription { playthroughChanged(id: "x") { ${'story { version { hash } } '.repeat(1_000)} } }`, 'BAD_INPUT'],
      [`subscription { playthroughChanged(id: "x") { ${dear} } }`, 'QUERY_TOO_COMPLEX'],
    ];
    for (const [query, code] of cases) {
      const outcome = await refusalOf(client, query);
      expect([query.slice(0, 40), outcome.extensions?.['code']]).toEqual([query.slice(0, 40), code]);
      expect(JSON.stringify(outcome)).not.toMatch(/node_modules|\.ts:|\.js:|stack/);
    }
  });

  const refusalOf = async (
    client: Client,
    query: string,
    variables: Record<string, unknown> = {},
  ): Promise<{ extensions?: Record<string, unknown>; message: string }> =>
    new Promise((resolve, reject) => {
      client.subscribe(
        { query, variables },
        {
          next: ({ errors }) => resolve(errors?.[0] as unknown as { message: string }),
          error: (errors) => {
            if (Array.isArray(errors)) resolve(errors[0] as { message: string });
            else reject(new Error(String((errors as { reason?: string }).reason ?? errors)));
          },
          complete: () => undefined,
        },
      );
    });
});
