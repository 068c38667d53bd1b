import { randomUUID } from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import { generateKeyPair, SignJWT, UnsecuredJWT } from 'jose';
import { errorCatalogue } from '#lib/platform';
import { ApiClient, type PlayedPlaythrough } from '../support/api-client.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { ServerProcess } from '../support/server-process.js';
import { refused } from './expectations.js';
import { publishStory } from './publish-story.js';
import { complaintsOf } from './server-log.js';
import { threeDoors } from './small-stories.js';

jest.setTimeout(90_000);

const STORY = 'three-doors';
const INSIDES =
  /node_modules|\/apps\/|\/libs\/|\.ts:\d|\.js:\d|\bat [A-Za-z.]+ \(|\bstack\b|select |insert into|relation "|syntax error at|ECONNREFUSED|postgres/i;

/** What came back, whatever was sent. */
interface Answer {
  readonly status: number;
  readonly text: string;
  readonly headers: http.IncomingHttpHeaders;
}

describe('a hostile client', () => {
  let database: TestDatabase;
  let server: ServerProcess;
  let reader: ApiClient;
  let author: ApiClient;
  let compliance: ApiClient;
  let own: PlayedPlaythrough;
  let strangers: PlayedPlaythrough;
  let stranger: ApiClient;
  let strangersCommand: string;
  let turn = 0;

  beforeAll(async () => {
    database = await createTestDatabase();
    server = await ServerProcess.start({ databaseUrl: database.url });
    reader = new ApiClient(server.url, await server.token(['reader'], 'honest'));
    stranger = new ApiClient(server.url, await server.token(['reader'], 'stranger'));
    author = new ApiClient(server.url, await server.token(['author']));
    compliance = new ApiClient(server.url, await server.token(['compliance']));
    await publishStory(author, threeDoors(STORY));
    own = (await reader.start(STORY)).playthrough;
    strangersCommand = randomUUID();
    strangers = (await stranger.start(STORY)).playthrough;
    strangers = (await stranger.choose(strangers.id, 'wait', 0, strangersCommand)).playthrough;
  });
  afterEach(async () => {
    // Whatever was sent: the server plays on, and has nothing to complain of.
    expect((await reader.choose(own.id, 'wait', turn)).turn).toBe(turn + 1);
    turn++;
    expect(complaintsOf(server)).toEqual([]);
  });
  afterAll(async () => {
    expect(await server.stop()).toBe(0);
    await database.drop();
  });

  /** One request, byte for byte; `fetch` would refuse or mend some of what is sent here. */
  const send = (method: string, path: string, headers: http.OutgoingHttpHeaders = {}, body?: string | Buffer): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const request = http.request(server.url, { method, path, headers, agent: false }, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString('utf8'), headers: response.headers }),
        );
      });
      request.on('error', reject);
      if (body === undefined || body.length < 1_000_000) {
        request.end(body);
        return;
      }
      // A length that is refused is refused before the body is sent; a client that sends on regardless would only lose the answer.
      request.setHeader('content-length', Buffer.byteLength(body));
      request.flushHeaders();
      const sending = setTimeout(() => request.end(body), 300);
      request.once('response', () => clearTimeout(sending));
    });
  const bearer = (token: string): http.OutgoingHttpHeaders => ({ authorization: `Bearer ${token}` });
  const graphql = (body: string | Buffer, headers: http.OutgoingHttpHeaders = {}): Promise<Answer> =>
    send('POST', '/graphql', { ...bearer(reader.token), 'content-type': 'application/json', ...headers }, body);
  const asking = (query: string, variables: object = {}): string => JSON.stringify({ query, variables });

  /** An answer as API.md promises it: a code of the catalogue, a correlation id, nothing from inside, never a 5xx. */
  const codeOf = ({ status, text, headers }: Answer): string => {
    expect(status).toBeLessThan(500);
    expect(text).not.toMatch(INSIDES);
    const body = JSON.parse(text) as {
      code?: string;
      correlationId?: string;
      errors?: { message: string; extensions: { code: string; correlationId: string; retryable: boolean } }[];
    };
    const { code, correlationId } = body.errors?.[0]?.extensions ?? (body as { code: string; correlationId: string });
    expect(correlationId).toMatch(/^\S{20,40}$/);
    if (headers['x-correlation-id'] !== undefined) expect(correlationId).toBe(headers['x-correlation-id']);
    if (body.errors !== undefined) expect(status).toBe(200);
    expect(Object.keys(errorCatalogue)).toContain(code);
    expect(code).not.toBe('INTERNAL');
    return String(code);
  };

  const choose = (input: object): string =>
    asking('mutation ($input: ChooseInput!) { choose(input: $input) { turn } }', {
      input: { playthroughId: own.id, choiceId: 'wait', turn: 0, commandId: randomUUID(), ...input },
    });
  const CHOOSE = 'mutation ($input: ChooseInput!) { choose(input: $input) { turn } }';
  const raw = (input: string): string => `{"query":${JSON.stringify(CHOOSE)},"variables":{"input":${input}}}`;

  describe('with bodies', () => {
    const bodies: readonly [what: string, body: () => string | Buffer, code: string][] = [
      ['no JSON at all', () => 'hello', 'BAD_INPUT'],
      ['nothing', () => '', 'BAD_INPUT'],
      ['half a JSON', () => '{"query":', 'BAD_INPUT'],
      ['null', () => 'null', 'BAD_INPUT'],
      ['a number', () => '7', 'BAD_INPUT'],
      ['a list (batching)', () => `[${asking('{ stories { edges { cursor } } }')}]`, 'BAD_INPUT'],
      ['10 MB', () => asking(`# ${'x'.repeat(10_000_000)}\n{ stories { edges { cursor } } }`), 'TOO_LARGE'],
      ['an unknown input field', () => choose({ surprise: 1 }), 'BAD_INPUT'],
      ['a query of the wrong type', () => '{"query": 7}', 'BAD_INPUT'],
      ['variables of the wrong type', () => '{"query": "{ stories { edges { cursor } } }", "variables": "x"}', 'BAD_INPUT'],
      ['a turn that is text', () => choose({ turn: '0' }), 'BAD_INPUT'],
      ['a turn that is a fraction', () => choose({ turn: 0.5 }), 'BAD_INPUT'],
      ['a turn of 2^53', () => choose({ turn: 2 ** 53 }), 'BAD_INPUT'],
      [
        'a turn of 1e400',
        () => raw(`{"playthroughId":"${own.id}","choiceId":"wait","turn":1e400,"commandId":"${randomUUID()}"}`),
        'BAD_INPUT',
      ],
      ['a negative turn', () => choose({ turn: -1 }), 'BAD_INPUT'],
      ['NaN', () => raw('{"turn":NaN}'), 'BAD_INPUT'],
      ['Infinity', () => raw('{"turn":Infinity}'), 'BAD_INPUT'],
      ['__proto__', () => raw('{"__proto__":{"turn":0}}'), 'BAD_INPUT'],
      ['an escaped __proto__', () => raw('{"\\u005f_proto__":{"turn":0}}'), 'BAD_INPUT'],
      ['constructor.prototype', () => choose({ constructor: { prototype: { polluted: true } } }), 'BAD_INPUT'],
      ['a key twice', () => `{"query":"{ a }","query":"{ stories { edges { cursor } } }"}`, 'BAD_INPUT'],
      ['a lone surrogate', () => raw('{"choiceId":"\\ud800"}'), 'BAD_INPUT'],
      ['U+0000', () => raw('{"choiceId":"wait\\u0000"}'), 'BAD_INPUT'],
      [
        'invalid UTF-8',
        () => Buffer.concat([Buffer.from('{"query":"{ stories '), Buffer.from([0xff, 0xfe, 0xc0]), Buffer.from('"}')]),
        'BAD_INPUT',
      ],
      ['JSON 10,000 levels deep', () => `{"query":"{ a }","variables":${'['.repeat(10_000)}${']'.repeat(10_000)}}`, 'BAD_INPUT'],
      ['an empty choice', () => choose({ choiceId: '' }), 'BAD_INPUT'],
      ['a choice of 1 MB', () => choose({ choiceId: 'x'.repeat(1_000_000) }), 'BAD_INPUT'],
      ['a choice that is SQL', () => choose({ choiceId: `'; drop table fabula.log_records; --`, turn }), 'CHOICE_UNKNOWN'],
      ['a choice named __proto__', () => choose({ choiceId: '__proto__', turn }), 'CHOICE_UNKNOWN'],
      ['a choice named constructor', () => choose({ choiceId: 'constructor', turn }), 'CHOICE_UNKNOWN'],
      ['a commandId of the system', () => choose({ commandId: `s:timeout:${own.id}:0` }), 'BAD_INPUT'],
      ['a commandId with its prefix', () => choose({ commandId: `c:${randomUUID()}` }), 'BAD_INPUT'],
      ['an empty commandId', () => choose({ commandId: '' }), 'BAD_INPUT'],
      ['a playthrough that is no id', () => choose({ playthroughId: '../../etc/passwd' }), 'PLAYTHROUGH_NOT_FOUND'],
      ["somebody else's playthrough", () => choose({ playthroughId: strangers.id, turn: 1 }), 'PLAYTHROUGH_NOT_FOUND'],
      [
        "somebody else's playthrough under their own commandId",
        () => choose({ playthroughId: strangers.id, commandId: strangersCommand }),
        'PLAYTHROUGH_NOT_FOUND',
      ],
      ['a playthrough that is not there', () => choose({ playthroughId: randomUUID() }), 'PLAYTHROUGH_NOT_FOUND'],
    ];
    test.each(bodies)('%s', async (_what, body, code) => {
      expect(codeOf(await graphql(body()))).toBe(code);
    });

    test("somebody else's commandId is free for one's own command", async () => {
      const { playthrough } = await reader.start(STORY);
      expect(await reader.choose(playthrough.id, 'take', 0, strangersCommand)).toMatchObject({ turn: 1, duplicate: false });
      expect(await stranger.choose(strangers.id, 'wait', 0, strangersCommand)).toMatchObject({ turn: 1, duplicate: true });
    });

    test("nothing is said of somebody else's playthrough by any command or query", async () => {
      const id = strangers.id;
      const codes = await Promise.all([
        refused(reader.choose(id, 'wait', 1)),
        refused(reader.rewind(id, 0, 1)),
        refused(reader.fork(id, 0)),
        refused(reader.setCheckpoint(id, 'mine now', 1)),
      ]);
      const unknown = await refused(reader.fork(randomUUID(), 0));
      for (const { code, message } of codes) expect([code, message]).toEqual(['PLAYTHROUGH_NOT_FOUND', unknown.message]);
      expect(await reader.playthrough(id)).toBeNull();
      expect((await refused(new ApiClient(server.url, author.token).fork(id, 0))).code).toBe('PLAYTHROUGH_NOT_FOUND');
    });
  });

  describe('with GraphQL documents', () => {
    const page = 'edges { cursor }';
    const documents: readonly [what: string, query: () => string, code: string][] = [
      ['a syntax error', () => '{ stories {', 'BAD_INPUT'],
      ['an unknown field', () => `{ stories { ${page} secrets } }`, 'BAD_INPUT'],
      [
        'a fragment cycle',
        () => `{ stories { ...A } } fragment A on StoryConnection { ...B } fragment B on StoryConnection { ...A }`,
        'BAD_INPUT',
      ],
      ['a fragment of itself', () => `{ stories { ...A } } fragment A on StoryConnection { ${page} ...A }`, 'BAD_INPUT'],
      [
        '1,000 aliases',
        () => `{ ${Array.from({ length: 1_000 }, (_, n) => `a${n}: stories { ${page} }`).join(' ')} }`,
        'QUERY_TOO_COMPLEX',
      ],
      [
        '1,000 starts',
        () =>
          `mutation { ${Array.from({ length: 1_000 }, (_, n) => `a${n}: startPlaythrough(input: {storyId: "${STORY}", commandId: "${randomUUID()}"}) { turn }`).join(' ')} }`,
        'QUERY_TOO_COMPLEX',
      ],
      ['a page of a million', () => '{ stories(first: 1000000) { edges { cursor } } }', 'BAD_INPUT'],
      ['a page of none', () => '{ stories(first: 0) { edges { cursor } } }', 'BAD_INPUT'],
      ['a page below none', () => '{ stories(first: -2147483648) { edges { cursor } } }', 'BAD_INPUT'],
      ['a page of 2^31', () => '{ stories(first: 2147483648) { edges { cursor } } }', 'BAD_INPUT'],
      ['a null page', () => '{ stories(first: null) { edges { cursor } } }', 'BAD_INPUT'],
      ['a cursor that is none', () => '{ stories(after: "\' or 1=1 --") { edges { cursor } } }', 'BAD_INPUT'],
      [
        'a cursor of another list',
        () => `{ myPlaythroughs(after: "${Buffer.from('["x"]').toString('base64url')}") { edges { cursor } } }`,
        'BAD_INPUT',
      ],
      ['a cursor of 100 kB', () => `{ stories(after: "${'A'.repeat(100_000)}") { edges { cursor } } }`, 'BAD_INPUT'],
      ['a position that is none', () => `{ playthrough(id: "${own.id}", minPosition: ["nonsense"]) { turn } }`, 'BAD_INPUT'],
      ['a thousand positions', () => `{ playthrough(id: "${own.id}", minPosition: [${'"x",'.repeat(1_000)}]) { turn } }`, 'BAD_INPUT'],
      [
        'wide',
        () => `{ myPlaythroughs(first: 100) { edges { node { history(first: 100) { edges { node { label } } } } } } }`,
        'QUERY_TOO_COMPLEX',
      ],
      ['a subscription by POST', () => `subscription { playthroughChanged(id: "${own.id}") { turn } }`, 'BAD_INPUT'],
      [
        'a thousand operations',
        () => Array.from({ length: 1_000 }, (_, n) => `query Q${n} { stories { ${page} } }`).join(' '),
        'QUERY_TOO_COMPLEX',
      ],
      [
        'deep introspection',
        () => `{ __schema { types { fields { type ${'{ ofType '.repeat(60)}{ name }${' }'.repeat(60)} } } } }`,
        'QUERY_TOO_COMPLEX',
      ],
      ['deep nesting', () => `${'{ stories '.repeat(3_000)}{ x }${' }'.repeat(3_000)}`, 'QUERY_TOO_COMPLEX'],
      [
        'a list literal 20,000 deep',
        () => `{ stories(after: ${'['.repeat(20_000)}${']'.repeat(20_000)}) { ${page} } }`,
        'QUERY_TOO_COMPLEX',
      ],
      ['directives by the thousand', () => `{ stories ${'@skip(if: false) '.repeat(5_000)} { ${page} } }`, 'QUERY_TOO_COMPLEX'],
      [
        '40 commands at once',
        () =>
          `mutation { ${Array.from({ length: 40 }, (_, n) => `a${n}: startPlaythrough(input: {storyId: "${STORY}", commandId: "${randomUUID()}"}) { turn }`).join(' ')} }`,
        'QUERY_TOO_COMPLEX',
      ],
      ['a syntax tree instead of text', () => JSON.stringify({ kind: 'Document', definitions: [] }), 'BAD_INPUT'],
      ['a number as text', () => '7', 'BAD_INPUT'],
      ['two operations and no name', () => `query A { stories { ${page} } } query B { stories { ${page} } }`, 'BAD_INPUT'],
      ['no operation', () => `fragment A on Story { id }`, 'BAD_INPUT'],
    ];
    test.each(documents)('%s', async (_what, query, code) => {
      expect(codeOf(await graphql(asking(query())))).toBe(code);
    });

    test('each operation of a document runs under its own name, however often another one ran', async () => {
      const query = `query A { stories(first: 1) { edges { node { id } } } } query B { story(id: "${STORY}") { id } }`;
      for (const name of ['A', 'A', 'A', 'B', 'B', 'A', 'B']) {
        const { text } = await graphql(JSON.stringify({ query, operationName: name, variables: {} }));
        expect(Object.keys((JSON.parse(text) as { data: object }).data)).toEqual([name === 'A' ? 'stories' : 'story']);
      }
      expect(codeOf(await graphql(JSON.stringify({ query, operationName: 'C' })))).toBe('BAD_INPUT');
    });

    test('the same by GET changes nothing', async () => {
      const query = `mutation { startPlaythrough(input: { storyId: "${STORY}", commandId: "${randomUUID()}" }) { turn } }`;
      const answer = await send('GET', `/graphql?query=${encodeURIComponent(query)}`, bearer(reader.token));
      expect(['BAD_INPUT', 'NOT_FOUND']).toContain(codeOf(answer));
    });
  });

  describe('with tokens', () => {
    const tokens: readonly [what: string, token: () => Promise<string> | string][] = [
      ['garbage', () => 'garbage'],
      ['three dots', () => '...'],
      ['9 kB', () => 'x'.repeat(9_000)],
      ['an expired one', () => server.token(['reader'], 'late', -3_600)],
      ['alg none', () => unsecured()],
      ['another key', () => forged({})],
      ['another issuer', () => forged({ issuer: 'http://evil.invalid' })],
      ['another audience', () => forged({ audience: 'somebody-else' })],
      ['a changed payload', () => withPayload((payload) => ({ ...payload, roles: ['admin', 'operator'] }))],
      ['no subject', () => withPayload((payload) => ({ ...payload, sub: undefined }))],
    ];
    test.each(tokens)('%s is refused on GraphQL and REST alike', async (_what, token) => {
      const headers = bearer(await token());
      const where: readonly [string, string, string | undefined][] = [
        ['POST', '/graphql', asking('{ stories { edges { cursor } } }')],
        ['GET', '/admin/stories', undefined],
        ['GET', '/audit/logs', undefined],
        ['GET', '/admin/projections', undefined],
      ];
      for (const [method, path, body] of where) {
        const answer = await send(
          method,
          path,
          { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
          body,
        );
        expect([path, codeOf(answer)]).toEqual([path, 'UNAUTHENTICATED']);
        expect(answer.status).toBe(path === '/graphql' ? 200 : 401);
      }
    });

    test('other schemes and half a header are no token', async () => {
      for (const authorization of ['Basic cmVhZGVyOnJlYWRlcg==', 'Bearer', 'Bearer ', `Token ${reader.token}`, `bearer\t${reader.token}`]) {
        expect(codeOf(await graphql(asking('{ stories { edges { cursor } } }'), { authorization }))).toBe('UNAUTHENTICATED');
      }
    });

    test('a role that is not known gives nothing', async () => {
      const nobody = new ApiClient(server.url, await server.token([], 'no-roles'));
      expect((await refused(nobody.start(STORY))).code).toBe('FORBIDDEN');
      expect((await refused(compliance.start(STORY))).code).toBe('FORBIDDEN');
    });

    const unsecured = (): string =>
      new UnsecuredJWT({ roles: ['reader', 'admin'] })
        .setIssuer('http://localhost/fabula-development')
        .setAudience('fabula-development')
        .setSubject('evil')
        .setExpirationTime('1h')
        .encode();
    const forged = async ({ issuer = 'http://localhost/fabula-development', audience = 'fabula-development' }): Promise<string> => {
      const { privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519' });
      const { kid } = JSON.parse(Buffer.from(reader.token.split('.')[0] as string, 'base64url').toString('utf8')) as { kid: string };
      return new SignJWT({ roles: ['reader'] })
        .setProtectedHeader({ alg: 'EdDSA', kid })
        .setIssuer(issuer)
        .setAudience(audience)
        .setSubject('evil')
        .setExpirationTime('1h')
        .sign(privateKey);
    };
    const withPayload = (change: (payload: object) => object): string => {
      const [header, payload, signature] = reader.token.split('.') as [string, string, string];
      const changed = change(JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as object);
      return `${header}.${Buffer.from(JSON.stringify(changed)).toString('base64url')}.${signature}`;
    };
  });

  describe('with stories', () => {
    const deepGuard = `${'('.repeat(10_000)}key${')'.repeat(10_000)}`;
    const sources: readonly [what: string, format: string, source: () => string | Buffer, code: string][] = [
      ['a guard 10,000 deep', 'yaml', () => threeDoors('deep').replace('enabledWhen: key', `enabledWhen: '${deepGuard}'`), 'LINT_ERRORS'],
      [
        'a guard of 10,000 nots',
        'yaml',
        () => threeDoors('nots').replace('enabledWhen: key', `enabledWhen: '${'!'.repeat(10_000)}key'`),
        'LINT_ERRORS',
      ],
      ['a label of 1 MB', 'yaml', () => threeDoors('long').replace('Wait', 'W'.repeat(1_000_000)), 'LINT_ERRORS'],
      ['10 MB', 'yaml', () => threeDoors('large').replace('Three doors.', 'x'.repeat(10_000_000)), 'TOO_LARGE'],
      [
        'YAML aliases that explode',
        'yaml',
        () => `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c]\n`,
        'LINT_ERRORS',
      ],
      ['a YAML tag', 'yaml', () => 'fabula: !!js/function "function () {}"\n', 'LINT_ERRORS'],
      [
        'JSON with __proto__',
        'json',
        () => '{"fabula":1,"__proto__":{"id":"x"},"id":"y","title":"T","start":"a","passages":{}}',
        'LINT_ERRORS',
      ],
      ['JSON with a key twice', 'json', () => '{"fabula":1,"id":"x","id":"y","title":"T","start":"a","passages":{}}', 'LINT_ERRORS'],
      ['JSON with NaN', 'json', () => '{"fabula":NaN}', 'LINT_ERRORS'],
      [
        'JSON with a lone surrogate',
        'json',
        () => '{"fabula":1,"id":"x","title":"\\ud800","start":"a","passages":{"a":{"text":"A."}}}',
        'LINT_ERRORS',
      ],
      ['YAML with U+0000', 'yaml', () => threeDoors('nul').replace('Wait', '"W\\0"'), 'LINT_ERRORS'],
      ['JSON 10,000 deep', 'json', () => `${'['.repeat(10_000)}${']'.repeat(10_000)}`, 'LINT_ERRORS'],
      ['YAML 10,000 deep', 'yaml', () => `${'['.repeat(10_000)}${']'.repeat(10_000)}`, 'LINT_ERRORS'],
      ['an id that is a path', 'yaml', () => threeDoors('../../etc'), 'LINT_ERRORS'],
      ['an unknown field', 'yaml', () => `${threeDoors('unknown')}surprise: 1\n`, 'LINT_ERRORS'],
      ['bytes that are no UTF-8', 'yaml', () => Buffer.concat([Buffer.from(threeDoors('bytes')), Buffer.from([0xff, 0xc0])]), 'BAD_INPUT'],
      ['nothing', 'yaml', () => '', 'BAD_INPUT'],
      ['a format that is none', 'exe', () => threeDoors('exe'), 'BAD_INPUT'],
    ];
    test.each(sources)('%s', async (_what, format, source, code) => {
      const body = source();
      const answer = await send('POST', `/admin/stories?format=${format}`, { ...bearer(author.token), 'content-type': 'text/plain' }, body);
      expect(codeOf(answer)).toBe(code);
    });

    test('SQL and HTML in every text of a story come back as the text they are', async () => {
      const evil = `'; drop table fabula.log_records; -- <script>alert(1)</script><img src=x onerror=alert(2)> {{7*7}} \${process.exit()} %00 \\u0000`;
      const story = {
        fabula: 1,
        id: 'evil-words',
        title: evil.slice(0, 150),
        author: evil,
        description: evil,
        start: evil.replaceAll('/', '').slice(0, 80),
        variables: { word: { type: 'enum', values: ['x', evil.slice(0, 100)], default: 'x', public: true, label: evil.slice(0, 100) } },
        endings: { end: { title: evil.slice(0, 150) } },
        passages: {
          [evil.replaceAll('/', '').slice(0, 80)]: {
            title: evil.slice(0, 150),
            text: evil.replace('{{7*7}}', ''),
            choices: [
              {
                id: 'go',
                label: evil,
                effects: [{ set: 'word', to: JSON.stringify(evil.slice(0, 100)).replaceAll('"', "'").replace("''", "'\\'") }],
                target: { end: 'end' },
              },
              { id: 'locked', label: evil, enabledWhen: "word != 'x'", reason: evil, target: { end: 'end' } },
            ],
          },
        },
      };
      const imported = await send(
        'POST',
        '/admin/stories?format=json',
        { ...bearer(author.token), 'content-type': 'application/json' },
        JSON.stringify(story),
      );
      expect([imported.status, imported.text.slice(0, 600)]).toEqual([201, expect.anything()]);
      const { versionHash } = JSON.parse(imported.text) as { versionHash: string };
      const published = await author.rest('POST', `/admin/stories/evil-words/versions/${versionHash}/publish`);
      expect([published.status, published.text]).toEqual([200, expect.anything()]);
      const { playthrough } = await reader.start('evil-words');
      const [passage] = Object.values(story.passages);
      expect(playthrough.moment.passage).toMatchObject({ id: story.start, title: passage?.title, text: passage?.text });
      expect(playthrough.moment.choices.map(({ label }) => label)).toEqual([evil, evil]);
      expect(playthrough.moment.choices[1]?.reason).toBe(evil);
      await reader.setCheckpoint(playthrough.id, evil, 0);
      const { position } = await reader.choose(playthrough.id, 'go', 0);
      const query =
        'query ($id: ID!, $m: [Position!]) { playthrough(id: $id, minPosition: $m) { checkpoints { name } story { title author description } moment { endingTitle variables { label value } } history { edges { node { label } } } } }';
      expect(await reader.data(query, { id: playthrough.id, m: [position] })).toMatchObject({
        playthrough: {
          checkpoints: [{ name: evil }],
          story: { title: story.title, author: evil, description: evil },
          moment: { endingTitle: story.endings.end.title, variables: [{ value: evil.slice(0, 100) }] },
          history: { edges: [{ node: { label: evil } }, { node: { label: story.passages[story.start]?.title } }] },
        },
      });
      const { rows } = await database.pool.query<{ count: string }>('select count(*) as count from fabula.log_records');
      expect(Number(rows[0]?.count)).toBeGreaterThan(0);
    });
  });

  describe('with paths, methods and headers', () => {
    const requests: readonly [
      what: string,
      method: string,
      path: string,
      code: string,
      headers?: http.OutgoingHttpHeaders,
      body?: string,
    ][] = [
      ['nothing there', 'GET', '/nothing', 'NOT_FOUND'],
      ['a path out of the pages', 'GET', '/assets/../../package.json', 'FORBIDDEN'],
      ['an encoded path out of the pages', 'GET', '/assets/%2e%2e/%2e%2e/%2e%2e/package.json', 'FORBIDDEN'],
      ['a doubly encoded one', 'GET', '/assets/..%252f..%252fpackage.json', 'NOT_FOUND'],
      ['one with a backslash', 'GET', '/assets/..%5c..%5cpackage.json', 'FORBIDDEN'],
      ['one with U+0000', 'GET', '/assets/%00', 'FORBIDDEN'],
      ['a broken escape', 'GET', '/assets/%E0%A4%A', 'BAD_INPUT'],
      ['a method that is not allowed', 'DELETE', '/admin/stories', 'NOT_FOUND'],
      ['TRACE', 'TRACE', '/graphql', 'BAD_INPUT'],
      ['a query without body', 'POST', '/graphql', 'BAD_INPUT'],
      ['XML', 'POST', '/graphql', 'BAD_INPUT', { 'content-type': 'application/xml' }, '<x/>'],
      ['a form', 'POST', '/graphql', 'BAD_INPUT', { 'content-type': 'application/x-www-form-urlencoded' }, 'query=%7Bx%7D'],
      ['a multipart body', 'POST', '/graphql', 'BAD_INPUT', { 'content-type': 'multipart/form-data; boundary=x' }, '--x--'],
      ['a content type that is none', 'POST', '/graphql', 'BAD_INPUT', { 'content-type': ';;;' }, '{}'],
      ['a body of no type', 'POST', '/admin/stories?format=yaml', 'BAD_INPUT', { 'content-type': 'application/octet-stream' }, 'x'],
      [
        'commands of another process without the secret',
        'POST',
        '/internal/commands',
        'NOT_FOUND',
        { 'content-type': 'application/json' },
        '{}',
      ],
      [
        '… with a wrong one',
        'POST',
        '/internal/commands',
        'NOT_FOUND',
        { 'content-type': 'application/json', 'x-fabula-internal': 'guess' },
        '{}',
      ],
      ['a log that is none', 'GET', '/audit/logs/p0%27--/checkpoint', 'NOT_FOUND'],
      ['a log of 300 characters', 'GET', `/audit/logs/${'p'.repeat(300)}/checkpoint`, 'NOT_FOUND'],
      ['an index beyond numbers', 'GET', '/audit/logs/p0/proof/inclusion?index=99999999999999999999', 'BAD_INPUT'],
      ['an index below 0', 'GET', '/audit/logs/p0/proof/inclusion?index=-1', 'BAD_INPUT'],
      ['an index that is a list', 'GET', '/audit/logs/p0/proof/inclusion?index=1&index=2', 'BAD_INPUT'],
      ['SQL in a search', 'GET', `/audit/search?actor=${encodeURIComponent("' or 1=1 --")}&from=yesterday`, 'BAD_INPUT'],
      ['an unknown parameter', 'GET', '/audit/search?actor=x&evil=1', 'BAD_INPUT'],
      ['__proto__ as a parameter', 'GET', '/audit/search?actor=x&__proto__=1', 'BAD_INPUT'],
      ['U+0000 in a parameter', 'GET', '/audit/search?actor=x%00', 'BAD_INPUT'],
    ];
    test.each(requests)('%s', async (_what, method, path, code, headers = {}, body = undefined) => {
      // With every role, so that it is not the role that refuses.
      const token = await server.token(['reader', 'author', 'compliance', 'operator', 'admin'], 'everything');
      expect(codeOf(await send(method, path, { ...bearer(token), ...headers }, body))).toBe(code);
    });

    test.each([
      ['/admin/stories/x%00y', 'BAD_INPUT'],
      ['/admin/stories/nothing', 'STORY_NOT_FOUND'],
      [`/admin/stories/${'x'.repeat(390)}`, 'BAD_INPUT'],
      ['/admin/stories/the-cloakroom/versions/xyz', 'BAD_INPUT'],
      [`/admin/stories/the-cloakroom/versions/${'0'.repeat(64)}`, 'VERSION_NOT_FOUND'],
      [`/admin/stories/the-cloakroom/versions/${'0'.repeat(64)}/graph`, 'VERSION_NOT_FOUND'],
      ['/admin/stories?first=0', 'BAD_INPUT'],
      ['/admin/stories?first=1e9', 'BAD_INPUT'],
      ['/admin/stories?after=x', 'BAD_INPUT'],
      ['/admin/playthroughs?status=dead', 'BAD_INPUT'],
      ["/admin/playthroughs/'/turns", 'PLAYTHROUGH_NOT_FOUND'],
    ])('an author asks for %s', async (path, code) => {
      expect(codeOf(await send('GET', path, bearer(author.token)))).toBe(code);
    });

    test('headers that are too large, and requests that are no HTTP, end that connection only', async () => {
      const large = await send('GET', '/health/live', { 'x-large': 'x'.repeat(60_000) }).catch((error: Error) => error);
      if (!(large instanceof Error)) expect(large.status).toBe(431);
      for (const nonsense of [
        '\u0000\u0001\u0002\r\n\r\n',
        'GET / HTTP/9.9\r\n\r\n',
        'POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      ]) {
        const { hostname, port } = new URL(server.url);
        const text = await new Promise<string>((resolve) => {
          let got = '';
          const socket = net.connect(Number(port), hostname, () => socket.write(nonsense));
          socket.on('data', (data) => (got += data.toString('utf8')));
          socket.on('error', () => resolve(got));
          socket.on('close', () => resolve(got));
        });
        expect(text).toMatch(/^(HTTP\/1\.1 4\d\d|$)/);
        expect(text).not.toMatch(INSIDES);
      }
    });

    test('a correlation id that is none is replaced, so that nobody writes into the log of others', async () => {
      for (const given of ['<script>', 'x', `${'a'.repeat(500)}`, "' or 1=1"]) {
        const { headers } = await send('GET', '/health/live', { 'x-correlation-id': given });
        expect(headers['x-correlation-id']).not.toBe(given);
        expect(headers['x-correlation-id']).toMatch(/^[0-9a-f-]{32,36}$/i);
      }
      const own = randomUUID();
      expect((await send('GET', '/health/live', { 'x-correlation-id': own })).headers['x-correlation-id']).toBe(own);
    });

    test('pages carry a policy that lets no foreign script run', async () => {
      const { headers, status } = await send('GET', '/play');
      expect(status).toBe(200);
      expect(headers['content-security-policy']).toContain("script-src 'self'");
      expect(headers['content-security-policy']).not.toContain('unsafe');
      expect(headers['x-content-type-options']).toBe('nosniff');
      for (const reader of ['', '../x', '<script>', 'x'.repeat(65)]) {
        expect(codeOf(await send('GET', `/play/token?reader=${encodeURIComponent(reader)}`))).toBe('BAD_INPUT');
      }
    });
  });
});

describe('a client that asks too often', () => {
  test('is told so and when to come back, while others and health checks are not held up', async () => {
    const database = await createTestDatabase();
    const server = await ServerProcess.start({ databaseUrl: database.url, env: { FABULA_REQUESTS_PER_MINUTE: '20' } });
    try {
      const greedy = new ApiClient(server.url, await server.token(['reader'], 'greedy'));
      const answers = [];
      for (let n = 0; n < 25; n++) answers.push(await greedy.graphql('{ stories { edges { cursor } } }'));
      const limited = answers.slice(20).map(({ errors }) => errors?.[0]?.extensions);
      for (const extensions of limited)
        expect(extensions).toMatchObject({ code: 'RATE_LIMITED', retryable: true, correlationId: expect.any(String) as string });
      expect(limited[0]?.['retryAfterMs']).toBeGreaterThan(0);
      expect(answers.slice(0, 20).every(({ errors }) => errors === undefined)).toBe(true);
      const refusal = await greedy.rest('GET', '/admin/stories');
      expect([refusal.status, (refusal.body as { code: string }).code]).toEqual([429, 'RATE_LIMITED']);
      expect(Number(refusal.headers.get('retry-after'))).toBeGreaterThan(0);
      const other = new ApiClient(server.url, await server.token(['reader'], 'modest'));
      expect((await other.start('the-cloakroom')).turn).toBe(0);
      for (let n = 0; n < 25; n++) expect((await fetch(`${server.url}/health/live`)).status).toBe(200);
      expect(complaintsOf(server)).toEqual([]);
    } finally {
      await server.stop();
      await database.drop();
    }
  });
});
