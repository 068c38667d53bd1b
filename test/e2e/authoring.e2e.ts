import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parse, stringify } from 'yaml';
import { ApiClient } from '../support/api-client.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { ServerProcess } from '../support/server-process.js';
import { refused } from './expectations.js';
import { publishStory } from './publish-story.js';
import { complaintsOf } from './server-log.js';
import { brokenStory, threeDoors } from './small-stories.js';

jest.setTimeout(60_000);

interface Imported {
  readonly storyId: string;
  readonly versionHash: string;
  readonly lint: readonly { readonly code: string; readonly severity: string; readonly line?: number; readonly column?: number }[];
  readonly notImported: readonly { readonly line?: number }[];
}
interface Found {
  readonly code: string;
  readonly severity: string;
  readonly message: string;
  readonly line?: number;
  readonly column?: number;
}

describe('an author over REST', () => {
  let database: TestDatabase;
  let server: ServerProcess;
  let author: ApiClient;
  let reader: ApiClient;

  beforeAll(async () => {
    database = await createTestDatabase();
    server = await ServerProcess.start({ databaseUrl: database.url });
    author = new ApiClient(server.url, await server.token(['author']));
    reader = new ApiClient(server.url, await server.token(['reader']));
  });
  afterAll(async () => {
    expect(complaintsOf(server)).toEqual([]);
    await server.stop();
    await database.drop();
  });

  const bring = (format: string, source: string, more = ''): ReturnType<ApiClient['rest']> =>
    author.rest('POST', `/admin/stories?format=${format}${more}`, source);
  const version = (id: string, hash: string, what = ''): string => `/admin/stories/${id}/versions/${hash}${what}`;

  test('the same story in JSON and YAML is one version; the same content again answers 200', async () => {
    const yaml = threeDoors('in-two-forms');
    const first = await bring('yaml', yaml);
    expect(first.status).toBe(201);
    const { storyId, versionHash } = first.body as Imported;
    expect(storyId).toBe('in-two-forms');
    expect(versionHash).toMatch(/^[0-9a-f]{64}$/);
    for (const [format, source] of [
      ['yaml', yaml],
      ['json', JSON.stringify(parse(yaml))],
      ['yaml', stringify(parse(yaml))],
    ] as const) {
      const again = await bring(format, source);
      expect([again.status, (again.body as Imported).versionHash]).toEqual([200, versionHash]);
    }
    const changed = await bring('yaml', yaml.replace('Three doors.', 'Three closed doors.'));
    expect(changed.status).toBe(201);
    expect((changed.body as Imported).versionHash).not.toBe(versionHash);
    const story = (await author.rest('GET', '/admin/stories/in-two-forms')).body as { versions: { versionHash: string; status: string }[] };
    expect(story.versions.map(({ status }) => status)).toEqual(['draft', 'draft']);
  });

  test('a Twee game comes in under the id that was asked for', async () => {
    const source = await readFile(path.resolve(__dirname, '../../stories/the-cloakroom.twee'), 'utf8');
    const imported = await bring('twee', source, '&id=my-cloakroom');
    expect(imported.status).toBe(201);
    expect(imported.body).toMatchObject({ storyId: 'my-cloakroom', notImported: [] });
    expect((await bring('twee', source, '&id=my-cloakroom')).status).toBe(200);
  });

  test.each([
    ['yaml', 'fabula: 1\nid: bad\ntitle: Bad\nstart: a\npassages:\n  a:\n    text: [1,\n'],
    ['yaml', 'fabula: 1\nid: bad\ntitle: Bad\ntitle: Worse\nstart: a\npassages:\n  a: { text: A. }\n'],
    ['json', '{"fabula": 1, "id": "bad",\n  "title": 7, "start": "a", "passages": {"a": {"text": "A."}}}'],
    ['yaml', threeDoors('bad').replace('enabledWhen: key', "enabledWhen: 'key >'")],
  ])('what cannot be read as %s is refused with every problem, line and column', async (format, source) => {
    const { status, body } = await bring(format, source);
    expect(status).toBe(422);
    const { code, problems, correlationId } = body as { code: string; problems: readonly Found[]; correlationId: string };
    expect([code, typeof correlationId]).toEqual(['LINT_ERRORS', 'string']);
    const errors = problems.filter(({ severity }) => severity === 'error');
    expect(errors.length).toBeGreaterThan(0);
    for (const { code: problem, line, column } of errors) {
      expect(problem).toMatch(/^FAB-G\d{3}$/);
      expect(line).toBeGreaterThan(0);
      expect(column).toBeGreaterThan(0);
    }
  });

  test('lint tells what is wrong, and only a version without errors is published', async () => {
    const { storyId, versionHash, lint } = (await bring('yaml', brokenStory('broken'))).body as Imported;
    expect(lint.filter(({ severity }) => severity === 'error').length).toBeGreaterThan(0);
    for (const { line, column } of lint) expect([typeof line, typeof column]).toEqual(['number', 'number']);
    const asked = (await author.rest('GET', version(storyId, versionHash, '/lint'))).body as { problems: readonly Found[] };
    expect(asked.problems.map(({ code }) => code)).toEqual(expect.arrayContaining(lint.map(({ code }) => code)));
    const refusal = await author.rest('POST', version(storyId, versionHash, '/publish'));
    expect(refusal.status).toBe(422);
    const { code, problems } = refusal.body as { code: string; problems: readonly Found[] };
    expect(code).toBe('LINT_ERRORS');
    expect(problems.map((problem) => problem.code)).toEqual(
      asked.problems.filter(({ severity }) => severity === 'error').map((problem) => problem.code),
    );
    expect((await refused(reader.start('broken'))).code).toBe('STORY_NOT_FOUND');
  });

  test('a retired story takes no new readers, while those under way go on and their old commands are known', async () => {
    const hash = await publishStory(author, threeDoors('to-retire'));
    const commandId = '5f1c0d8e-2c4b-4d2a-9a55-3c0e5a7b9d11';
    const { playthrough } = await reader.start('to-retire', commandId);
    expect((await author.rest('POST', version('to-retire', hash, '/retire'))).status).toBe(200);
    expect((await refused(reader.start('to-retire'))).code).toBe('STORY_RETIRED');
    expect((await reader.choose(playthrough.id, 'take', 0)).playthrough.turn).toBe(1);
    expect(await reader.start('to-retire', commandId)).toMatchObject({ duplicate: true, playthrough: { id: playthrough.id, turn: 1 } });
    expect((await author.rest('POST', version('to-retire', hash, '/publish'))).body).toMatchObject({ code: 'STORY_RETIRED' });
    // The way back is to bring the same content in again.
    expect((await bring('yaml', threeDoors('to-retire'))).body).toMatchObject({ versionHash: hash });
    expect((await author.rest('POST', version('to-retire', hash, '/publish'))).status).toBe(200);
    expect((await reader.start('to-retire')).turn).toBe(0);
  });

  test('publishing another version leaves readers where they are and says how many', async () => {
    const first = await publishStory(author, threeDoors('in-two-versions'));
    const { playthrough } = await reader.start('in-two-versions');
    const { position } = await reader.choose(playthrough.id, 'take', 0);
    await reader.playthrough(playthrough.id, [position]);
    const { versionHash: second } = (await bring('yaml', threeDoors('in-two-versions').replace('Three doors.', 'Three red doors.')))
      .body as Imported;
    const published = await author.rest('POST', version('in-two-versions', second, '/publish'));
    expect(published.body).toMatchObject({ livePlaythroughs: 1 });
    expect((await reader.start('in-two-versions')).playthrough.moment.passage.text).toBe('Three red doors.');
    expect((await reader.choose(playthrough.id, 'wait', 1)).playthrough.moment.passage.text).toBe('Three doors.');
    const query = 'query ($id: ID!) { playthrough(id: $id) { version { hash } story { version { hash } } } }';
    expect(await reader.data(query, { id: playthrough.id })).toEqual({
      playthrough: { version: { hash: first }, story: { version: { hash: second } } },
    });
  });

  test('graph and statistics of a version can be read', async () => {
    const hash = await publishStory(author, threeDoors('to-look-at'));
    const { nodes, edges } = (await author.rest('GET', version('to-look-at', hash, '/graph'))).body as {
      nodes: { id: string }[];
      edges: { from: string; to: string; choiceId: string }[];
    };
    expect(nodes.map(({ id }) => id)).toEqual(expect.arrayContaining(['hall', 'cellar', 'yard']));
    expect(edges).toEqual(expect.arrayContaining([expect.objectContaining({ from: 'hall', to: 'yard' })]));
    expect(edges).toHaveLength(8);
    expect((await author.rest('GET', version('to-look-at', hash, '/stats'))).body).toMatchObject({
      choices: [],
      passages: [],
      endings: [],
    });
    const listed = (await author.rest('GET', '/admin/stories?first=100')).body as { edges: { node: { id: string } }[] };
    expect(listed.edges.map(({ node }) => node.id)).toEqual(expect.arrayContaining(['the-cloakroom', 'to-look-at']));
  });

  test.each(['json', 'yaml', 'twee'] as const)('an export as %s comes back as the same version', async (format) => {
    for (const id of ['the-cloakroom', 'the-inspector-of-bells']) {
      const story = (await author.rest('GET', `/admin/stories/${id}`)).body as { currentVersion: string };
      const exported = await author.rest('GET', version(id, story.currentVersion, `?format=${format}`));
      expect(exported.status).toBe(200);
      const again = await bring(format, exported.text);
      expect([again.status, (again.body as Imported).versionHash]).toEqual([200, story.currentVersion]);
    }
  });

  test('only authors may: readers are forbidden, and nobody in particular is unauthenticated', async () => {
    const nobody = await fetch(`${server.url}/admin/stories`);
    expect([nobody.status, ((await nobody.json()) as { code: string }).code]).toEqual([401, 'UNAUTHENTICATED']);
    for (const [method, where] of [
      ['GET', '/admin/stories'],
      ['POST', '/admin/stories?format=yaml'],
      ['GET', '/admin/stories/the-cloakroom'],
      ['GET', '/admin/projections'],
      ['GET', '/admin/playthroughs'],
      ['GET', '/audit/logs'],
      ['POST', '/audit/exports'],
    ] as const) {
      const { status, body } = await reader.rest(method, where);
      expect([where, status, (body as { code: string }).code]).toEqual([where, 403, 'FORBIDDEN']);
    }
    expect((await author.rest('GET', '/admin/parked')).status).toBe(403);
    expect((await author.rest('GET', '/audit/logs')).status).toBe(403);
    const operator = new ApiClient(server.url, await server.token(['operator']));
    expect((await operator.rest('GET', '/admin/parked')).status).toBe(200);
    expect((await operator.rest('GET', '/admin/stories')).status).toBe(403);
    expect((await refused(operator.start('the-cloakroom'))).code).toBe('FORBIDDEN');
  });
});
