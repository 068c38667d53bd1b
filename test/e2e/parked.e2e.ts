import { randomUUID } from 'node:crypto';
import { copyFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { admit, decodeRecord, EMPTY_HEAD, encodeRecord, partitionOf, type RecordedEvent, type StreamHead } from '#lib/decision';
import type { EventLog } from '#lib/log';
import { ApiClient, type Payload } from '../support/api-client.js';
import { describeWithKafka } from '../support/kafka.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { ServerProcess, temporaryDataDir } from '../support/server-process.js';
import { eventually, refused } from './expectations.js';
import { publishStory } from './publish-story.js';
import { rawKafka, rawPostgres, type RawLog, type RawLogKind } from './raw-log.js';
import { threeDoors } from './small-stories.js';

jest.setTimeout(120_000);

const STORY = 'three-doors';

interface Parked {
  readonly stream: string;
  readonly code: string;
  readonly reason: string;
  readonly records: number;
  readonly attempts: number;
  readonly lastError: string | null;
}

describe('a playthrough whose record cannot be applied', () => heldBack(rawPostgres, 1));
describeWithKafka('on Kafka, through one of three servers: a playthrough whose record cannot be applied', () => heldBack(rawKafka, 3));

/** Poison gets into a log by a newer version of Fabula, by a defect, by hand. It must hold back its own stream and nothing else. */
function heldBack(kindOf: () => Promise<RawLogKind>, servers: number): void {
  let database: TestDatabase;
  let server: ServerProcess;
  let raw: RawLog;
  let log: EventLog;
  const others: ServerProcess[] = [];
  const otherDirs: string[] = [];
  let reader: ApiClient;
  let operator: ApiClient;
  let hash: string;

  beforeAll(async () => {
    database = await createTestDatabase();
    const kind = await kindOf();
    server = await ServerProcess.start({ databaseUrl: database.url, env: kind.env });
    for (let i = 1; i < servers; i++) {
      const dataDir = await temporaryDataDir();
      otherDirs.push(dataDir);
      for (const key of ['development-issuer.json', 'audit-signing.key'])
        await copyFile(path.join(server.dataDir, key), path.join(dataDir, key));
      others.push(await ServerProcess.start({ databaseUrl: database.url, dataDir, env: kind.env }));
    }
    raw = await kind.open(database);
    ({ log } = raw);
    reader = new ApiClient(server.url, await server.token(['reader']));
    operator = new ApiClient(server.url, await server.token(['operator']));
    hash = await publishStory(new ApiClient(server.url, await server.token(['author'])), threeDoors(STORY));
  });
  afterAll(async () => {
    await raw.close();
    await Promise.all([server, ...others].map((one) => one.stop()));
    await Promise.all(otherDirs.map((dir) => rm(dir, { recursive: true, force: true })));
    await database.drop();
  });

  /** Head of a stream, as every reader of the log finds it. */
  const headOf = async (stream: string): Promise<StreamHead> => {
    const partition = partitionOf(stream, log.partitions);
    let head: StreamHead = EMPTY_HEAD;
    for await (const { records } of log.read(partition, 0, { upTo: await log.end(partition) })) {
      for (const { value, offset } of records) {
        const decoded = decodeRecord(value);
        if (decoded.kind === 'record' && decoded.record.stream === stream) ({ head } = admit(head, decoded.record, decoded.digest, offset));
      }
    }
    return head;
  };
  /** Appends beside the server what `admit` accepts, whatever its events are: envelopes are all that it reads. */
  const poison = async (
    playthroughId: string,
    event: RecordedEvent,
  ): Promise<{ partition: number; offset: number; correlationId: string }> => {
    const stream = `playthrough/${playthroughId}`;
    const { version, previous } = await headOf(stream);
    const correlationId = randomUUID();
    const value = encodeRecord({
      v: 1,
      stream,
      expectedVersion: version,
      previous,
      commandId: `c:${randomUUID()}`,
      commandDigest: '0'.repeat(64),
      eventCount: 1,
      correlationId,
      causationId: null,
      actor: { id: 'another-fabula', role: 'system' },
      at: Date.now(),
      events: [event],
    });
    const partition = partitionOf(stream, log.partitions);
    return { partition, offset: await log.append(partition, [{ key: stream, value }]), correlationId };
  };
  const parkedOf = async (id: string): Promise<Parked | undefined> => {
    const { edges } = (await operator.rest('GET', '/admin/parked?first=100')).body as { edges: { node: Parked }[] };
    return edges.map(({ node }) => node).find(({ stream }) => stream === `playthrough/${id}`);
  };
  const retry = (id: string): ReturnType<ApiClient['rest']> =>
    operator.rest('POST', `/admin/parked/${encodeURIComponent(`playthrough/${id}`)}/retry`);
  /** A reader's playthrough in the same partition: its neighbour in every queue and batch. */
  const neighbourOf = async (id: string): Promise<Payload> => {
    for (;;) {
      const started = await reader.start(STORY);
      if (partitionOf(`playthrough/${started.playthrough.id}`, 4) === partitionOf(`playthrough/${id}`, 4)) return started;
    }
  };
  const playsOn = async ({ playthrough }: Payload): Promise<void> => {
    let turn = (await reader.playthrough(playthrough.id))?.turn ?? playthrough.turn;
    for (let n = 0; n < 3; n++) {
      const { position, turn: made } = await reader.choose(playthrough.id, 'wait', turn);
      expect(await reader.playthrough(playthrough.id, [position])).toMatchObject({ turn: made });
      turn = made;
    }
  };

  const poisons: readonly [what: string, event: (turn: number) => RecordedEvent, reason: RegExp][] = [
    ['an event of a type from the future', () => ({ type: 'PassageNarrated', v: 1, text: 'x' }), /PassageNarrated/],
    ['an event of a version from the future', (turn) => ({ type: 'ChoiceMade', v: 99, turn }), /ChoiceMade v99/],
    [
      'an event that does not lead to its own state hash',
      (turn) => ({
        type: 'Rewound',
        v: 1,
        turn: turn + 1,
        toTurn: 0,
        narrative: { chosen: {}, draws: 0, ending: null, passageId: 'hall', returnTo: [], variables: {}, visits: {} },
        at: 1,
        deadline: null,
        stateHash: 'f'.repeat(64),
      }),
      /./,
    ],
    ['an event without its fields', () => ({ type: 'ChoiceMade', v: 1 }), /./],
  ];
  test.each(poisons)('by %s is parked and says why; nobody else is held up and nothing is skipped', async (_what, event, reason) => {
    const { playthrough } = await reader.start(STORY);
    const { position } = await reader.choose(playthrough.id, 'wait', 0);
    await reader.playthrough(playthrough.id, [position]);
    const neighbour = await neighbourOf(playthrough.id);
    const { partition, offset, correlationId } = await poison(playthrough.id, event(1));

    const parked = await eventually(() => parkedOf(playthrough.id), 'the stream is listed as parked');
    expect(parked).toMatchObject({ records: 1, attempts: 0, reason: expect.stringMatching(reason) as string });
    for (const work of [
      () => reader.playthrough(playthrough.id),
      () => reader.choose(playthrough.id, 'wait', 1),
      () => reader.rewind(playthrough.id, 0, 1),
      () => reader.setCheckpoint(playthrough.id, 'here', 1),
    ]) {
      const { code, extensions } = await refused(work());
      expect([code, extensions['retryable']]).toEqual(['PLAYTHROUGH_PARKED', true]);
    }
    await playsOn(neighbour);

    const again = await retry(playthrough.id);
    expect([again.status, (again.body as { code: string }).code]).toEqual([409, 'CONFLICT']);
    expect((again.body as { detail: string }).detail).toMatch(reason);
    expect(await parkedOf(playthrough.id)).toMatchObject({ attempts: 1, lastError: expect.stringMatching(reason) as string });

    // The auditor judges envelopes: the record is in its tree with its verdict, exactly as it is.
    const compliance = new ApiClient(server.url, await server.token(['compliance']));
    const leaf = await eventually(async () => {
      const { hits } = (await compliance.rest('GET', `/audit/search?correlationId=${correlationId}`)).body as {
        hits: { leaf: { verdict: string; partition: number; offset: string } }[];
      };
      return hits[0]?.leaf;
    }, 'the audit has the record');
    expect(leaf).toMatchObject({ verdict: 'accepted', partition, offset: String(offset) });
    expect(((await (await fetch(`${server.url}/health/ready`)).json()) as { status: string }).status).toBe('ready');
  });

  test('by something outside is parked, and a retry after mending applies all that was held back', async () => {
    const { playthrough } = await reader.start(STORY);
    const neighbour = await neighbourOf(playthrough.id);
    const author = new ApiClient(server.url, await server.token(['author']));
    const takes = async (): Promise<number> => {
      const stats = (await author.rest('GET', `/admin/stories/${STORY}/versions/${hash}/stats`)).body as {
        choices: { choiceId: string; picked: number }[];
      };
      return stats.choices.find(({ choiceId }) => choiceId === 'take')?.picked ?? 0;
    };
    const before = await takes();
    const { rows } = await database.pool.query<{ schema: string }>(`select schemaname as schema from pg_tables where tablename = 'turns'`);
    const turns = `"${rows.at(-1)?.schema}".turns`;
    expect(rows).toHaveLength(1);
    // Somebody puts a rule on the read models that this playthrough's next turn breaks.
    await database.pool.query(
      `alter table ${turns} add constraint somebodys_rule check (not (playthrough_id = '${playthrough.id}' and turn > 0)) not valid`,
    );
    const first = await reader.choose(playthrough.id, 'take', 0);
    expect(first.turn).toBe(1);
    const parked = await eventually(() => parkedOf(playthrough.id), 'the stream is listed as parked');
    expect(parked.reason).toContain('somebodys_rule');
    expect((await refused(reader.playthrough(playthrough.id))).code).toBe('PLAYTHROUGH_PARKED');
    expect((await retry(playthrough.id)).status).toBe(409);
    await playsOn(neighbour);
    expect(await takes()).toBe(before);

    await database.pool.query(`alter table ${turns} drop constraint somebodys_rule`);
    const mended = await retry(playthrough.id);
    expect(mended.status).toBe(200);
    expect(mended.body).toMatchObject({ kind: 'applied' });
    expect(await parkedOf(playthrough.id)).toBeUndefined();
    expect((await retry(playthrough.id)).status).toBe(404);
    // What was acknowledged before is there, and the story goes on from it.
    expect(await reader.playthrough(playthrough.id)).toMatchObject({ turn: 1, stateHash: first.playthrough.stateHash });
    expect(await takes()).toBe(before + 1);
    const next = await eventually(async () => {
      try {
        return await reader.choose(playthrough.id, 'gate', 1);
      } catch {
        // The engine may hold on to what it knows of a parked stream for a moment.
        return undefined;
      }
    }, 'the playthrough goes on');
    expect(await reader.playthrough(playthrough.id, [next.position])).toMatchObject({ turn: 2, moment: { passage: { id: 'yard' } } });
  });
}
