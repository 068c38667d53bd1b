import { randomUUID } from 'node:crypto';
import { openPostgresLog } from '#lib/log';
import { cloudEventOf, type FeedCloudEvent } from '../../examples/feed-consumer.js';
import { acceptedIn } from '../../libs/feed/src/testing/feed-fixture.js';
import { ApiClient } from '../support/api-client.js';
import { describeWithKafka, kafkaBrokers, uniqueTopic } from '../support/kafka.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { ServerProcess, temporaryDataDir } from '../support/server-process.js';
import { walk } from './auto-player.js';
import { eventually } from './expectations.js';

jest.setTimeout(120_000);
const PARTITIONS = 4;
const STORY = 'the-cloakroom';

describeWithKafka('the public feed of a server on the Postgres log', () => {
  let database: TestDatabase;
  let brokers: readonly string[];
  let server: ServerProcess;
  let dataDir: string;
  const topic = uniqueTopic('events');
  const canary = `canary-${randomUUID()}`;
  const start = async (): Promise<ServerProcess> =>
    ServerProcess.start({
      databaseUrl: database.url,
      dataDir,
      env: {
        FABULA_PARTITIONS: String(PARTITIONS),
        FABULA_KAFKA_FEED_TOPIC: topic,
        FABULA_KAFKA_ALLOW_UNSAFE: 'on',
        KAFKA_BROKERS: brokers.join(),
      },
    });
  const reader = async (n: number): Promise<ApiClient> =>
    new ApiClient(server.url, await server.token(['reader'], `${canary}-reader-${n}`));
  interface Feed {
    readonly partitions: readonly { readonly lagRecords: number; readonly foreign: boolean; readonly end: number }[];
    readonly publisher: readonly { readonly partition: number; readonly state: string; readonly problem: string | null }[];
  }
  const feed = async (): Promise<Feed> => {
    const operator = new ApiClient(server.url, await server.token(['operator']));
    return (await operator.rest('GET', '/admin/feed')).body as Feed;
  };
  const published = (): Promise<Feed> =>
    eventually(
      async () => {
        const view = await feed();
        return view.partitions.every(({ lagRecords, foreign }) => lagRecords === 0 && !foreign) ? view : undefined;
      },
      'everything is published',
      30_000,
    );

  beforeAll(async () => {
    [database, brokers, dataDir] = await Promise.all([createTestDatabase(), kafkaBrokers(1), temporaryDataDir()]);
    server = await start();
  });
  afterAll(async () => {
    await server.stop();
    await database.drop();
  });

  test('holds what readers did, once repeats are left out, although the server was killed, and nothing about who they are', async () => {
    const before = await reader(0);
    const { start: first, last } = await walk(before, STORY, 1, 8);
    await before.setCheckpoint(first.playthrough.id, `${canary}-bookmark`, last.turn);
    await before.fork(first.playthrough.id, 2);
    // Killed while readers play and the publisher sends.
    const playing = Promise.allSettled([1, 2, 3, 4].map(async (n) => walk(await reader(n), STORY, n, 60)));
    await eventually(
      async () => ((await feed()).partitions.some(({ end, lagRecords }) => end > 20 && lagRecords < end) ? true : undefined),
      'it publishes',
    );
    await server.kill();
    await playing;
    server = await start();
    for (const n of [1, 2, 3, 4]) await walk(await reader(n), STORY, 5 + n, 12);
    await published();

    const log = await openPostgresLog({ pool: database.pool, partitions: PARTITIONS });
    const accepted = await acceptedIn(log);
    await log.close();
    const expected: Record<string, string[]> = {};
    for (const { record } of accepted)
      record.events.forEach((_event, i) => (expected[record.stream] ??= []).push(String(record.expectedVersion + i + 1).padStart(16, '0')));
    const messages = await everyMessage();
    const seen = new Set<string>();
    const found: Record<string, string[]> = {};
    for (const { event } of messages) {
      if (event.subject === undefined || seen.has(event.id)) continue;
      seen.add(event.id);
      (found[event.subject] ??= []).push(event.sequence ?? '');
    }
    expect(found).toEqual(expected);
    expect(seen.size).toBeGreaterThan(50);

    const types = new Set(messages.map(({ event: { type } }) => type));
    for (const type of [
      'story.version-published',
      'playthrough.started',
      'playthrough.choice-made',
      'playthrough.checkpoint-set',
      'playthrough.what-if-forked',
    ])
      expect([...types]).toContain(`fabula.${type}.v1`);
    // The pseudonyms of the log are as personal as the names behind them; so are the ids of the commands that readers sent.
    const readers = new Set(accepted.filter(({ record }) => record.actor.role === 'reader').map(({ record }) => record.actor.id));
    expect(readers.size).toBe(5);
    const commands = accepted.map(({ record }) => record.commandId.slice(2)).filter((id) => /^[0-9a-f-]{36}$/.test(id));
    const bytes = messages.map(({ raw }) => raw).join('\n');
    for (const secret of [canary, ...readers, ...commands]) expect(bytes).not.toContain(secret);
    // Distinct readers can be counted all the same.
    const marks = new Set(
      messages.flatMap(({ event: { data } }) => (data['storyId'] === STORY && typeof data['reader'] === 'string' ? [data['reader']] : [])),
    );
    expect(marks.size).toBe(5);
  });

  test('stops at a position of another log, says so, and goes on where it is told to', async () => {
    await database.pool.query("update fabula.feed_positions set log_id = 'another'");
    const stopped = async (): Promise<Feed | undefined> => {
      await (await reader(9)).start(STORY);
      const view = await feed();
      return view.publisher.some(({ state }) => state === 'stopped') ? view : undefined;
    };
    const view = await eventually(stopped, 'the publisher stopped');
    expect(view.partitions.every(({ foreign }) => foreign)).toBe(true);
    expect(view.publisher.find(({ state }) => state === 'stopped')?.problem).toMatch(/belongs to log another.*fabula feed reset/);
    const { notes } = (await (await fetch(`${server.url}/health/ready`)).json()) as { notes: Record<string, string> };
    expect(Object.keys(notes).some((name) => name.startsWith('publisher p'))).toBe(true);
    const stranger = new ApiClient(server.url, await server.token(['author']));
    expect((await stranger.rest('POST', '/admin/feed/reset', { to: 'start' })).status).toBe(403);
    const operator = new ApiClient(server.url, await server.token(['operator']));
    expect((await operator.rest('POST', '/admin/feed/reset', { to: 'nowhere' })).status).toBe(400);
    expect((await operator.rest('POST', '/admin/feed/reset', { to: 'start' })).status).toBe(200);
    await published();
    // An idle partition has one soon.
    const isHeartbeat = ({ event: { type } }: { readonly event: FeedCloudEvent }): boolean => type === 'fabula.feed.heartbeat.v1';
    const messages = await eventually(async () => {
      const all = await everyMessage();
      return all.some(isHeartbeat) ? all : undefined;
    }, 'a heartbeat was published');
    const byId = new Map<string, Set<string>>();
    for (const { event, raw } of messages) byId.set(event.id, (byId.get(event.id) ?? new Set()).add(raw));
    const events = messages.filter(({ event }) => event.subject !== undefined);
    expect(new Set(events.map(({ event: { id } }) => id)).size).toBeLessThan(events.length);
    // Published again: the very same bytes.
    expect([...byId.values()].every(({ size }) => size === 1)).toBe(true);
  });

  async function everyMessage(): Promise<readonly { readonly event: FeedCloudEvent; readonly raw: string }[]> {
    const { Kafka, logLevel } = await import('kafkajs');
    const kafka = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING });
    const admin = kafka.admin();
    await admin.connect();
    const ends = new Map((await admin.fetchTopicOffsets(topic)).map(({ partition, high }) => [partition, Number(high)]));
    await admin.disconnect();
    const consumer = kafka.consumer({ groupId: uniqueTopic('all'), maxWaitTimeInMs: 100 });
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    const found: { readonly event: FeedCloudEvent; readonly raw: string }[] = [];
    const waiting = new Set([...ends].filter(([, end]) => end > 0).map(([partition]) => partition));
    await new Promise<void>((resolve, reject) => {
      consumer
        .run({
          eachMessage: async ({ message, partition }) => {
            const headers = Object.entries(message.headers ?? {}).map(([name, value]) => `${name}:${String(value)}`);
            found.push({ event: cloudEventOf(message), raw: `${headers.join()} ${String(message.key)} ${String(message.value)}` });
            if (Number(message.offset) + 1 >= (ends.get(partition) ?? 0)) waiting.delete(partition);
            if (waiting.size === 0) resolve();
          },
        })
        .catch(reject);
    });
    await consumer.disconnect();
    return found;
  }
});
