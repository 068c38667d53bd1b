import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { PlaythroughEvent } from '#lib/playthrough';
import { Player } from '../../../libs/playthrough/src/testing/player.js';
import { bridge } from '../../../libs/playthrough/src/testing/small-story.js';
import { page, recorded, server } from './testing/recorded.js';

const URL_AND_TOKEN = ['--url', 'http://fabula.test', '--token', 't'];
const HASH = 'ab'.repeat(32);

const operations = {
  at: '2026-11-23T18:01:00.000Z',
  address: 'http://a:1',
  roles: ['api', 'engine'],
  log: { id: 'l', kind: 'kafka', partitions: 2 },
  processes: ['http://a:1', 'http://b:2'],
  partitions: [
    {
      partition: 0,
      end: 9,
      engine: { owner: 'self', breaker: 'open', pending: 3 },
      projector: { owner: 'self', nextOffset: 7, lagRecords: 2, lagSeconds: 1.5 },
      auditor: { owner: null, nextOffset: 9, lagRecords: 0, lagSeconds: 0 },
      publisher: { owner: null, nextOffset: 0, lagRecords: 9, lagSeconds: null },
    },
    {
      partition: 1,
      end: 1_200,
      engine: { owner: null, breaker: null, pending: null },
      projector: null,
      auditor: { owner: null, nextOffset: 0, lagRecords: 1_200, lagSeconds: null },
      publisher: null,
    },
  ],
  commands: { overSeconds: 60, perSecond: 12.5, p50Ms: 5, p95Ms: 10, p99Ms: 200, outcomes: { TURN_STALE: 10, accepted: 740 } },
  busiestStreams: [{ stream: 'playthrough/p1', commands: 700 }],
  parkedStreams: 1,
  deadLetters: { open: 2, retried: 1 },
  degraded: [
    {
      who: 'log p0',
      why: 'the log takes nothing: the circuit breaker is open',
      whatToDo: 'look at the log',
      since: '2026-11-23T18:00:00.000Z',
    },
  ],
};

describe('commands that talk to a server', () => {
  let folder: string;
  beforeAll(() => (folder = mkdtempSync(path.join(tmpdir(), 'fabula-cli-'))));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  describe('finding it', () => {
    const status = operations;
    const up = () => server({ 'GET /admin/operations': status });

    test('take url and token from options before the environment', async () => {
      const { fetch, tokens } = up();
      const { code } = await recorded(['log', 'status', ...URL_AND_TOKEN], {
        fetch,
        env: { FABULA_URL: 'http://other.test', FABULA_TOKEN: 'u' },
      });
      expect([code, [...tokens]]).toEqual([0, ['Bearer t']]);
    });

    test('take them from the environment, an empty variable being none', async () => {
      const { fetch, tokens } = up();
      expect((await recorded(['log', 'status'], { fetch, env: { FABULA_URL: 'http://fabula.test', FABULA_TOKEN: 'u' } })).code).toBe(0);
      expect([...tokens]).toEqual(['Bearer u']);
      expect((await recorded(['log', 'status'], { fetch, env: { FABULA_URL: '', FABULA_DATA_DIR: folder } })).code).toBe(3);
    });

    test('find a local development server by its data directory and make a token for it', async () => {
      const dataDir = mkdtempSync(path.join(folder, 'data-'));
      writeFileSync(path.join(dataDir, 'server.json'), JSON.stringify({ url: 'http://127.0.0.1:4321', pid: 1 }));
      const { fetch, tokens } = up();
      const env = { FABULA_DATA_DIR: dataDir };
      const without = await recorded(['log', 'status'], { fetch, env });
      expect([without.code, without.err]).toEqual([2, expect.stringContaining('No token')]);
      const minted = await recorded(['token', '--role', 'reader,author', '--sub', 'ada', '--ttl', '90s', '--json'], { env });
      expect(JSON.parse(minted.out)).toMatchObject({ sub: 'ada', roles: ['reader', 'author'], expiresAt: '2027-01-15T08:01:30.000Z' });
      expect((await recorded(['log', 'status', '--json'], { fetch, env })).code).toBe(0);
      const [token] = [...tokens];
      const claims = JSON.parse(Buffer.from(token?.split('.')[1] ?? '', 'base64url').toString()) as { roles: string[] };
      expect(claims.roles.toSorted()).toEqual(['author', 'compliance', 'operator']);
    });

    test('never send a development token to another machine', async () => {
      const { fetch, asked } = up();
      const { code, err } = await recorded(['log', 'status', '--url', 'https://fabula.example'], {
        fetch,
        env: { FABULA_DATA_DIR: folder },
      });
      expect([code, err, asked]).toEqual([2, expect.stringContaining('needs a token'), []]);
    });

    test('end with 3 and a sentence when it cannot be reached', async () => {
      const refused = () =>
        Promise.reject(
          Object.assign(new TypeError('fetch failed'), { cause: { code: 'ECONNREFUSED', message: 'connect ECONNREFUSED 127.0.0.1:1' } }),
        );
      const { code, err, out } = await recorded(['log', 'status', ...URL_AND_TOKEN], { fetch: refused });
      expect([code, out]).toEqual([3, '']);
      expect(err).toContain('cannot be reached: connect ECONNREFUSED 127.0.0.1:1');
    });

    test('end with 1 when it says no, with its code and the correlation id, and try reads again only where it may help', async () => {
      const busy = () => Response.json({ code: 'OVERLOADED', detail: 'busy', retryable: true, retryAfterMs: 50 }, { status: 503 });
      const later = server({ 'GET /admin/operations': [busy(), busy(), status] });
      expect((await recorded(['log', 'status', ...URL_AND_TOKEN], { fetch: later.fetch })).code).toBe(0);
      expect(later.asked).toHaveLength(3);
      const never = server({});
      const { code, err } = await recorded(['log', 'status', ...URL_AND_TOKEN], { fetch: never.fetch });
      expect([code, err, never.asked.length]).toEqual([1, 'fabula: NOT_FOUND: nothing here\n  correlation id c-1\n', 1]);
      const order = server({ 'POST /admin/projections/rebuild': busy() });
      expect((await recorded(['projection', 'rebuild', ...URL_AND_TOKEN], { fetch: order.fetch })).code).toBe(1);
      expect(order.asked).toHaveLength(1);
    });
  });

  test.each([
    [['token', '--role', 'king'], 'king is no role'],
    [['token', '--role', 'reader', '--ttl', '2y'], 'A duration like 90s'],
    [['token'], "required option '--role <roles>'"],
    [['story', 'publish', 'x', 'short'], '64 hexadecimal digits'],
    [['log', 'topics'], 'KAFKA_BROKERS is not set: only a Kafka log has topics.'],
    [['log', 'dump', '--partition', '-1', ...URL_AND_TOKEN], 'whole number'],
    [['log', 'dump', '--partition', '0', '--from', '5', '--to', '4', ...URL_AND_TOKEN], '--to comes before --from'],
    [['audit', 'prove', '--log', 'q0', '--index', '0'], 'Logs are named'],
    [['projection', 'parked', 'again', 'x', ...URL_AND_TOKEN], 'retry STREAM'],
    [['log', 'status', '--url', 'ftp://x'], 'An address like'],
  ])('%j is bad usage', async (argv, says) => {
    const { code, err } = await recorded(argv, { env: { FABULA_DATA_DIR: path.join('no', 'such') } });
    expect([code, err]).toEqual([2, expect.stringContaining(says)]);
  });

  test('token is refused in production', async () => {
    const { code, err } = await recorded(['token', '--role', 'reader'], { env: { NODE_ENV: 'production', FABULA_DATA_DIR: folder } });
    expect([code, err]).toEqual([2, expect.stringContaining('refused when NODE_ENV=production')]);
  });

  describe('stories', () => {
    const answer = { storyId: 'the-cloakroom', versionHash: HASH, lint: [], notImported: [], warnings: [], translated: {} };

    test('import sends the source as it is, and tells how to publish', async () => {
      const { fetch, asked, bodies } = server({ 'POST /admin/stories': Response.json(answer, { status: 201 }) });
      const { code, out } = await recorded(['story', 'import', 'stories/the-cloakroom.twee', '--id', 'x', ...URL_AND_TOKEN], { fetch });
      expect([code, asked]).toEqual([0, ['POST /admin/stories?format=twee&id=x']]);
      expect(bodies).toEqual([readFileSync('stories/the-cloakroom.twee', 'utf8')]);
      expect(out).toContain('is a new draft');
      expect(out).toContain(HASH);
    });

    test('import ends with 1 and every problem when nothing can be read', async () => {
      const problems = [
        { code: 'FAB-G902', severity: 'error', message: 'not JSON', where: { path: '' }, line: 3, column: 7, help: 'Mend it.' },
      ];
      const { fetch } = server({
        'POST /admin/stories': Response.json({ code: 'LINT_ERRORS', detail: 'no story', problems }, { status: 422 }),
      });
      const { code, out, err } = await recorded(['story', 'import', 'stories/the-cloakroom.twee', ...URL_AND_TOKEN], { fetch });
      expect([code, err]).toEqual([1, 'fabula: LINT_ERRORS: no story\n']);
      expect(out).toContain('3:7  error    FAB-G902');
    });

    test('publish says how many playthroughs stay where they are', async () => {
      const { fetch } = server({ [`POST /admin/stories/door/versions/${HASH}/publish`]: { position: 'p', livePlaythroughs: 3 } });
      const { code, out } = await recorded(['story', 'publish', 'door', HASH, ...URL_AND_TOKEN], { fetch });
      expect([code, out]).toEqual([0, '✓ door is published; 3 playthroughs under way stay on other versions\n']);
    });
  });

  describe('playthroughs', () => {
    const played = (): Player => {
      const player = new Player(bridge()).start();
      for (const choice of ['beg', 'look', 'camp']) player.choose(choice);
      return player;
    };
    const rows = (events: readonly PlaythroughEvent[]): object[] =>
      events.map((event, offset) => ({
        turn: 'turn' in event ? event.turn : 0,
        kind: event.type === 'PlaythroughStarted' ? 'STARTED' : 'CHOICE',
        passageId: 'fromPassageId' in event ? event.fromPassageId : 'start',
        choiceId: 'choiceId' in event ? event.choiceId : '',
        label: 'A label',
        at: new Date(event.at).toISOString(),
        correlationId: 'c-9',
        changes: [],
        stateHash: event.stateHash,
        offset,
        events: [event],
      }));

    test('replay folds every event and finds the state that was recorded', async () => {
      const player = played();
      const { fetch, asked } = server({ 'GET /admin/playthroughs/p1/turns': page(rows(player.events)) });
      const { code, out } = await recorded(['playthrough', 'replay', 'p1', '--json', ...URL_AND_TOKEN], { fetch });
      expect(code).toBe(0);
      expect(JSON.parse(out)).toMatchObject({
        ok: true,
        turns: 4,
        events: 4,
        stateHash: player.events.at(-1)?.stateHash,
        difference: null,
      });
      expect(asked[0]).toContain('checkpoints=true');
    });

    test('replay stops at the first turn whose state differs, and ends with 1', async () => {
      const forged = played().events.map((event) => (event.type === 'ChoiceMade' && event.turn === 2 ? { ...event, changes: [] } : event));
      const { fetch } = server({ 'GET /admin/playthroughs/p1/turns': page(rows(forged)) });
      const asJson = await recorded(['playthrough', 'replay', 'p1', '--json', ...URL_AND_TOKEN], { fetch });
      expect([asJson.code, JSON.parse(asJson.out)]).toEqual([
        1,
        expect.objectContaining({ ok: false, difference: expect.objectContaining({ turn: 2 }) as unknown }),
      ]);
      const people = await recorded(['playthrough', 'replay', 'p1', ...URL_AND_TOKEN], { fetch });
      expect(people.out).toMatch(/^✗ turn 2 \(offset 2, correlation id c-9\) differs:/);
    });

    test('replay does not believe the read model either', async () => {
      const turns = rows(played().events).map((row, at) => (at === 1 ? { ...row, stateHash: '0'.repeat(64) } : row));
      const { fetch } = server({ 'GET /admin/playthroughs/p1/turns': page(turns) });
      expect((await recorded(['playthrough', 'replay', 'p1', ...URL_AND_TOKEN], { fetch })).code).toBe(1);
    });

    test('show lists turns within 80 columns', async () => {
      const { fetch } = server({
        'GET /admin/playthroughs/p1/turns': page(
          rows(played().events).map((row) => ({ ...row, passageId: 'a-long-passage-id-'.repeat(6) })),
        ),
      });
      const { code, out } = await recorded(['playthrough', 'show', 'p1', ...URL_AND_TOKEN], { fetch });
      expect(code).toBe(0);
      expect(out.split('\n').filter((line) => line.length > 80)).toEqual([]);
      expect(out).toContain('a-long-passage-id-');
    });
  });

  describe('projections', () => {
    const status = (rebuild: object): object => ({
      partitions: [
        { partition: 0, nextOffset: 7, end: 9, lagRecords: 2, lagMs: 1500, owner: 'self' },
        { partition: 1, nextOffset: 0, end: 0, lagRecords: 0, lagMs: 0, owner: 'http://10.0.0.2:8080' },
        { partition: 2, nextOffset: 0, end: 0, lagRecords: 0, lagMs: 0, owner: null },
      ],
      generations: [{ n: 1, state: 'live', createdAt: '2026-11-23T18:00:00.000Z' }],
      rebuild,
      projector: [{ partition: 0, state: 'running' }],
    });

    test('rebuild follows the server until it is done', async () => {
      const { fetch, asked } = server({
        'POST /admin/projections/rebuild': { state: 'running' },
        'GET /admin/projections': [
          status({ state: 'running', startedAt: 1, partitions: [{ partition: 0, done: 4, end: 9 }] }),
          status({
            state: 'done',
            finishedAt: 2,
            report: { generation: 2, replaced: 1, records: 9, parity: { kind: 'equal', tables: [] } },
          }),
        ],
      });
      const { code, out, err } = await recorded(['projection', 'rebuild', ...URL_AND_TOKEN], { fetch });
      expect([code, out]).toEqual([0, '✓ generation 2 is live in place of 1: 9 records folded, equal to what was live\n']);
      expect(err).toContain('rebuilding: 9 records in');
      expect(asked).toHaveLength(3);
    });

    test('rebuild ends with 1 when it failed', async () => {
      const { fetch } = server({
        'POST /admin/projections/rebuild': {},
        'GET /admin/projections': status({ state: 'failed', finishedAt: 2, error: 'differs' }),
      });
      const { code, err } = await recorded(['projection', 'rebuild', ...URL_AND_TOKEN], { fetch });
      expect([code, err]).toEqual([1, expect.stringContaining('The rebuild failed: differs')]);
    });

    test('log status shows partitions, owners, lag, throughput, and who is degraded and why', async () => {
      const { fetch } = server({ 'GET /admin/operations': operations });
      const asJson = await recorded(['log', 'status', '--json', ...URL_AND_TOKEN], { fetch });
      expect(JSON.parse(asJson.out)).toEqual({ url: 'http://fabula.test', ...operations });
      const { out, code } = await recorded(['log', 'status', ...URL_AND_TOKEN], { fetch });
      expect(code).toBe(0);
      expect(out).toMatch(/log kafka, 2 partitions, 2 processes: http:\/\/a:1, http:\/\/b:2/);
      expect(out).toMatch(/ 0 +9 +this server +3 +open +2, 2 s +0 +9\n/);
      expect(out).toMatch(/ 1 +1,200 +nobody +unknown +1,200 +unknown\n/);
      expect(out).toContain('commands here, last 60 s: 12.5/s, half within 5 ms, 99 % within 200 ms (accepted 740, TURN_STALE 10)');
      expect(out).toContain('busy: playthrough/p1, 700 commands');
      expect(out).toContain('parked streams: 1, open dead letters: 2');
      expect(out).toMatch(/1 problem:\n {2}log p0: the log takes nothing[^]*\(since 2026-11-23\s+18:00:00Z\)[^]*→ look at the log/);
    });

    test('log status says so when nothing is degraded, and when positions cannot be read', async () => {
      const quiet = { ...operations, partitions: null, parkedStreams: null, deadLetters: null, busiestStreams: [], degraded: [] };
      const { fetch } = server({ 'GET /admin/operations': quiet });
      const { out } = await recorded(['log', 'status', ...URL_AND_TOKEN], { fetch });
      expect(out).toContain('positions cannot be read now');
      expect(out).toContain('parked streams: unknown, open dead letters: unknown');
      expect(out).toContain('✓ nothing is degraded');
    });

    test('parked ends with 1 while something is parked; retry applies it by its name', async () => {
      const stream = {
        stream: 'playthrough/p1',
        partition: 0,
        code: 'STATE_DIFFERS',
        reason: 'r',
        fromOffset: 3,
        parkedAt: 1_800_000_000_000,
        records: 2,
        attempts: 1,
        lastError: null,
      };
      const { fetch, asked } = server({
        'GET /admin/parked': page([stream]),
        'POST /admin/parked/playthrough%2Fp1/retry': { kind: 'applied', records: 2 },
      });
      const list = await recorded(['projection', 'parked', ...URL_AND_TOKEN], { fetch });
      expect([list.code, list.out]).toEqual([1, expect.stringContaining('STATE_DIFFERS  playthrough/p1')]);
      const retry = await recorded(['projection', 'parked', 'retry', 'playthrough/p1', ...URL_AND_TOKEN], { fetch });
      expect([retry.code, retry.out]).toEqual([0, '✓ playthrough/p1 is no longer parked: 2 records applied\n']);
      expect(asked.at(-1)).toBe('POST /admin/parked/playthrough%2Fp1/retry');
    });
  });

  describe('exports', () => {
    const bytes = Buffer.from('a bundle');
    const done = {
      id: 'e1',
      state: 'done',
      leavesWritten: 5,
      leavesTotal: 5,
      error: null,
      file: { name: 'e1.tar', bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') },
    };
    const running = { ...done, state: 'running', leavesWritten: 2, file: null };

    test('export orders, waits, downloads and checks what came', async () => {
      const out = path.join(folder, 'export.tar');
      const { fetch, bodies } = server({
        'POST /audit/exports': running,
        'GET /audit/exports/e1': [running, done],
        'GET /audit/exports/e1/download': new Response(bytes),
      });
      const argv = ['audit', 'export', '--partition', '1', '--from', '3', '--out', out, ...URL_AND_TOKEN];
      const { code } = await recorded(argv, { fetch });
      expect([code, JSON.parse(bodies[0] ?? '')]).toEqual([0, { ranges: [{ log: 'p1', from: '3' }] }]);
      expect(readFileSync(out)).toEqual(bytes);
      // Evidence is never overwritten.
      expect((await recorded(argv, { fetch })).code).toBe(2);
    });

    test('an export is narrowed down by one thing, and continues an earlier one', async () => {
      const order = async (...more: string[]): Promise<unknown> => {
        const { fetch, bodies } = server({ 'POST /audit/exports': done, 'GET /audit/exports/e1/download': new Response(bytes) });
        const argv = ['audit', 'export', ...more, '--out', path.join(folder, `${more.join('')}.tar`), ...URL_AND_TOKEN];
        const { code } = await recorded(argv, { fetch });
        return code === 0 ? JSON.parse(bodies[0] ?? '') : code;
      };
      expect(await order('--playthrough', 'p7')).toEqual({ filter: { playthroughId: 'p7' } });
      expect(await order('--partition', '1', '--actor', 'a')).toEqual({ ranges: [{ log: 'p1' }], filter: { actor: 'a' } });
      expect(await order('--story', 's', '--since', 'e0')).toEqual({ filter: { storyId: 's' }, since: 'e0' });
      expect(await order('--after', '2030-01-01T00:00:00Z')).toEqual({ filter: { from: '2030-01-01T00:00:00Z' } });
      expect(await order('--actor', 'a', '--correlation', 'c')).toBe(2);
    });

    test('a download that is not what the server wrote leaves no file', async () => {
      const out = path.join(folder, 'broken.tar');
      const { fetch } = server({ 'POST /audit/exports': done, 'GET /audit/exports/e1/download': new Response('a bundlf') });
      const { code, err } = await recorded(['audit', 'export', '--out', out, ...URL_AND_TOKEN], { fetch });
      expect([code, err]).toEqual([1, expect.stringContaining('not what the server wrote')]);
      expect(() => readFileSync(out)).toThrow('ENOENT');
      expect(() => readFileSync(`${out}.part`)).toThrow('ENOENT');
    });
  });

  test('log dump asks for page after page and gives the exact lines', async () => {
    const { fetch, asked } = server({ 'GET /audit/logs/p2/entries': ['{"a":1}\n{"a":2}\n', '{"ä":3}\n', ''] });
    const { code, out } = await recorded(['log', 'dump', '--partition', '2', '--from', '4', ...URL_AND_TOKEN], { fetch });
    expect([code, out]).toEqual([0, '{"a":1}\n{"a":2}\n{"ä":3}\n']);
    expect(asked.map((one) => one.split('?')[1])).toEqual(['from=4&to=1004', 'from=6&to=1006', 'from=7&to=1007']);
  });
});
