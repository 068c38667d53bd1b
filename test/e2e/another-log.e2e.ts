import { rm } from 'node:fs/promises';
import { createKafka } from '#lib/log';
import { ApiClient } from '../support/api-client.js';
import { describeWithKafka, kafkaBrokers, uniqueTopic } from '../support/kafka.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { kekDirOf, ServerProcess, temporaryDataDir } from '../support/server-process.js';
import { eventually } from './expectations.js';
import { publishStory } from './publish-story.js';
import { threeDoors } from './small-stories.js';

jest.setTimeout(120_000);

const STORY = 'three-doors';

/** Row 7b of the Kafka issue's table: a database and a log that do not belong together. */
describeWithKafka('A database that was derived from another log', () => {
  let brokers: readonly string[];
  let database: TestDatabase;
  let dataDir: string;
  let running: ServerProcess | undefined;

  beforeAll(async () => {
    brokers = await kafkaBrokers(1);
  });
  beforeEach(async () => {
    database = await createTestDatabase();
    dataDir = await temporaryDataDir();
  });
  afterEach(async () => {
    await running?.stop();
    running = undefined;
    await database.drop();
    await rm(dataDir, { recursive: true, force: true });
  });

  const onKafka = (topic: string): Record<string, string> => ({
    FABULA_PARTITIONS: '2',
    FABULA_LOG: 'kafka',
    FABULA_KAFKA_TOPIC: topic,
    FABULA_KAFKA_FEED_TOPIC: `${topic}.feed`,
    FABULA_KAFKA_ALLOW_UNSAFE: 'on',
    FABULA_SAMPLE_STORIES: 'off',
    KAFKA_BROKERS: brokers.join(),
  });
  const start = async (env: Record<string, string>): Promise<ServerProcess> =>
    (running = await ServerProcess.start({ databaseUrl: database.url, dataDir, env }));
  const stop = async (): Promise<void> => {
    await running?.stop();
    running = undefined;
  };
  const refusal = async (env: Record<string, string>): Promise<string> => {
    const { code, output } = await ServerProcess.runToEnd({ databaseUrl: database.url, dataDir, env });
    expect(code).toBe(2);
    return output;
  };
  const adoption = (words: string): string => /FABULA_ADOPT_LOG=(\S+?):/.exec(words)?.[1] ?? 'no id is named';
  /** Publishes the story and plays a turn; answers the playthrough. */
  const play = async (server: ServerProcess): Promise<string> => {
    await publishStory(new ApiClient(server.url, await server.token(['author'])), threeDoors(STORY));
    const reader = new ApiClient(server.url, await server.token(['reader']));
    const { playthrough } = await reader.start(STORY);
    await reader.choose(playthrough.id, 'take', 0);
    return playthrough.id;
  };
  const readerOf = async (server: ServerProcess): Promise<ApiClient> => new ApiClient(server.url, await server.token(['reader']));

  test('is refused when the settings lead to another log, and follows it once that is said to be meant', async () => {
    await play(await start({ FABULA_PARTITIONS: '2', FABULA_SAMPLE_STORIES: 'off' }));
    await stop();
    const topic = uniqueTopic('another');
    const words = await refusal(onKafka(topic));
    expect(words).toMatch(/derived from log \S+ \(postgres\), but the settings lead to log \S+ \(kafka/);
    expect(words).toMatch(/FABULA_ADOPT_LOG=/);
    // Another id is not meant.
    expect(await refusal({ ...onKafka(topic), FABULA_ADOPT_LOG: 'some-other-log' })).toContain('derived from log');

    const server = await start({ ...onKafka(topic), FABULA_ADOPT_LOG: adoption(words) });
    const reader = await readerOf(server);
    const stories = await reader.data<{ stories: { edges: object[] } }>('query { stories { edges { node { id } } } }');
    expect(stories.stories.edges).toEqual([]);
    await play(server);
    await stop();
    // From now on it is the log of this database, without a word.
    await start(onKafka(topic));
  });

  test('is refused when its topic was deleted, and when it was made anew', async () => {
    const topic = uniqueTopic('remade');
    await play(await start(onKafka(topic)));
    await stop();
    const kafka = await createKafka({ brokers, clientId: 'another-log' });
    const admin = kafka.admin();
    await admin.connect();
    try {
      await admin.deleteTopics({ topics: [topic] });
      await eventually(async () => ((await admin.listTopics()).includes(topic) ? undefined : true), 'the topic is gone');
      const gone = await refusal(onKafka(topic));
      expect(gone).toContain(`Topic ${topic} does not exist`);
      expect(gone).toContain('FABULA_ADOPT_LOG=new');
      await admin.createTopics({ topics: [{ topic, numPartitions: 2, replicationFactor: 1 }], waitForLeaders: true });
    } finally {
      await admin.disconnect();
    }
    const words = await refusal(onKafka(topic));
    expect(words).toMatch(/derived from log \S+ \(kafka \S+\), but the settings lead to log/);
    await play(await start({ ...onKafka(topic), FABULA_ADOPT_LOG: adoption(words) }));
  });

  test('that was put back to an older backup catches up with its log, and signs nothing beside the notes that are missing', async () => {
    const topic = uniqueTopic('restored');
    const backup = await start(onKafka(topic));
    const id = await play(backup);
    const reader = await readerOf(backup);
    await eventually(async () => ((await reader.playthrough(id))?.turn === 1 ? true : undefined), 'the read models hold the turn');
    await stop();
    const name = new URL(database.url).pathname.slice(1);
    const copy = `${name}_backup`;
    const other = await createTestDatabase({ empty: true });
    try {
      await other.pool.query(`create database ${copy} template ${name}`).catch(async () => {
        // The spec's own pool keeps idle sessions on the template.
        await other.pool.query(`select pg_terminate_backend(pid) from pg_stat_activity where datname = $1`, [name]);
        await other.pool.query(`create database ${copy} template ${name}`);
      });
      const again = await start(onKafka(topic));
      const { playthrough } = await (await readerOf(again)).choose(id, 'wait', 1);
      await stop();

      const restored = new URL(database.url);
      restored.pathname = `/${copy}`;
      const env = { ...onKafka(topic), FABULA_KEK_DIR: kekDirOf(database.url) };
      running = await ServerProcess.start({ databaseUrl: restored.href, dataDir, env });
      const after = await readerOf(running);
      const caughtUp = await eventually(async () => {
        const seen = await after.playthrough(id);
        return seen?.turn === 2 ? seen : undefined;
      }, 'the read models have caught up');
      expect(caughtUp.stateHash).toBe(playthrough.stateHash);
      // Its trees hold every record again. But notes were signed that the backup does not know: nothing is signed beside them, and what
      // mends it is said.
      const compliance = new ApiClient(running.url, await running.token(['compliance', 'operator']));
      const { partitions } = (await compliance.rest('GET', '/admin/projections')).body as { partitions: { end: number }[] };
      const { notes } = await eventually(async () => {
        const { logs } = (await compliance.rest('GET', '/audit/logs')).body as { logs: { log: string; size: string }[] };
        const health = (await compliance.rest('GET', '/health/ready')).body as { notes: Record<string, string> };
        const grown = partitions.every(({ end }, partition) =>
          logs.some(({ log, size }) => log === `p${partition}` && Number(size) === end),
        );
        return grown && health.notes['notary root'] !== undefined ? health : undefined;
      }, 'the trees have caught up and the notary has stopped');
      expect(notes['notary root']).toContain('restore the newest backup of fabula.audit_notes');
    } finally {
      await running?.stop();
      running = undefined;
      await other.pool.query(`drop database if exists ${copy} with (force)`);
      await other.drop();
    }
  });
});
