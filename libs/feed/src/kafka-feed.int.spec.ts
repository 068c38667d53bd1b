import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Kafka } from 'kafkajs';
import { Auditor, AuditVerdicts, PostgresAuditStore } from '#lib/audit';
import { createKafka, createMemoryLog, type EventLog } from '#lib/log';
import { systemClock, systemTimers } from '#lib/platform';
import { cloudEventOf, followFeed, SeenLately, type FeedCloudEvent } from '../../../examples/feed-consumer.js';
import { writeRandomHistory } from '../../projections/src/contract/random-history.js';
import { describeWithKafka, kafkaBrokers, uniqueTopic } from '../../../test/support/kafka.js';
import { createTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { KafkaFeedSink, openFeedKey, PostgresFeedPositions, Publisher, readerMarks, type FeedSink } from './index.js';
import { acceptedIn } from './testing/feed-fixture.js';

jest.setTimeout(120_000);
const PARTITIONS = 3;

describeWithKafka('the feed on a broker, with verdicts from the audit and positions in Postgres', () => {
  let database: TestDatabase;
  let brokers: readonly string[];
  let kafka: Kafka;
  let log: EventLog;
  const topic = uniqueTopic('feed');

  beforeAll(async () => {
    database = await createTestDatabase();
    brokers = await kafkaBrokers(1);
    kafka = await createKafka({ brokers, clientId: 'feed-spec' });
    log = createMemoryLog({ partitions: PARTITIONS, clock: systemClock });
    await writeRandomHistory(log, { seed: 11, partitions: PARTITIONS, playthroughs: 8, records: 400 });
    const auditor = new Auditor({ log, store: new PostgresAuditStore(database.pool), timers: systemTimers });
    for (let partition = 0; partition < PARTITIONS; partition++) await auditor.catchUp(partition);
  });
  afterAll(() => database.drop());

  const sinkOf = (partitions = PARTITIONS): FeedSink => new KafkaFeedSink({ kafka, topic, partitions, allowUnsafe: true });
  const publisherTo = async (sink: FeedSink): Promise<Publisher> =>
    new Publisher({
      log,
      logId: await log.id(),
      verdicts: new AuditVerdicts(database.pool),
      positions: new PostgresFeedPositions(database.pool, topic),
      sink,
      mark: readerMarks(await openFeedKey(database.pool)),
      clock: systemClock,
      timers: systemTimers,
      maxContexts: 2,
    });
  /** `sequence type` of each stream's events, in order, as a fold of the log has them. */
  const truth = async (): Promise<Record<string, string[]>> => {
    const streams: Record<string, string[]> = {};
    for (const { record } of await acceptedIn(log))
      record.events.forEach((_event, i) => (streams[record.stream] ??= []).push(String(record.expectedVersion + i + 1).padStart(16, '0')));
    return streams;
  };
  const byStream = (events: readonly FeedCloudEvent[]): Record<string, string[]> => {
    const streams: Record<string, string[]> = {};
    for (const { subject, sequence } of events) (streams[subject ?? ''] ??= []).push(sequence ?? '');
    return streams;
  };

  it('holds exactly what counts after crashes between topic and position, as the example consumer reads it, with a restart in the middle', async () => {
    let sends = 0;
    for (let partition = 0; partition < PARTITIONS; partition++) {
      // Every second one dies after the topic has taken the batch and before the position moved.
      const real = sinkOf();
      const dying: FeedSink = {
        sendAll: (batches) => real.sendAll(batches),
        send: async (...batch) => {
          await real.send(...batch);
          if (++sends % 2 === 1) throw new Error('killed here');
        },
        close: () => real.close(),
      };
      const publisher = await publisherTo(dying);
      for (let done = false, attempts = 0; !done && attempts < 20; attempts++)
        done = await publisher.catchUp(partition).then(
          () => true,
          () => false,
        );
      await publisher.stop();
    }
    const expected = await truth();
    const total = Object.values(expected).reduce((sum, { length }) => sum + length, 0);
    const taken: FeedCloudEvent[] = [];
    const seen = new SeenLately(10_000);
    const groupId = uniqueTopic('consumer');
    let rejected = false;
    for (const upTo of [Math.ceil(total / 2), total]) {
      let arrived = (): void => undefined;
      const enough = new Promise<void>((resolve) => (arrived = resolve));
      const following = await followFeed({ brokers, groupId, topic, seen }, (event) => {
        if (!rejected && taken.length === 1) {
          rejected = true;
          throw new Error('not now');
        }
        taken.push(event);
        if (taken.length >= upTo) arrived();
      });
      await enough;
      await following.stop();
    }
    expect(byStream(taken)).toEqual(expected);
    expect(new Set(taken.map(({ source }) => source))).toEqual(new Set([`urn:fabula:log:${await log.id()}`]));
    const stored = await allMessages();
    expect(stored.length).toBeGreaterThan(total);
    expect(new Set(stored.map(({ event: { id } }) => id)).size).toBe(total);
    // A partition of the log is the one of the same number here; the key is the stream.
    for (const { event, key, partition } of stored) expect([key, Number(event.id.split('/')[1])]).toEqual([event.subject, partition]);
    const text = stored.map(({ raw }) => raw).join('\n');
    for (const secret of ['reader-0', 'reader-1', 'A256GCM', 'gold', 'guardInputs', 'labelHash']) expect(text).not.toContain(secret);
  });

  it('is read by the console consumer of Apache Kafka', async () => {
    const env = { ...process.env, KAFKA_BROKERS: brokers.join(), FABULA_KAFKA_FEED_TOPIC: topic };
    const args = ['scripts/follow-feed.mjs', '--from-beginning', '--max-messages', '5', '--timeout-ms', '20000'];
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: path.resolve(__dirname, '../../..'), env });
    const lines = stdout.trim().split('\n');
    expect(lines).toHaveLength(5);
    for (const line of lines) {
      expect(line).toContain('content-type:application/json,ce_specversion:1.0,ce_id:');
      expect(line).toMatch(/,ce_type:fabula\.playthrough\.[a-z-]+\.v1,.*\tplaythrough\/[0-9a-f-]{36}\t\{.*\}$/);
    }
  });

  it('is refused by a topic with another number of partitions than the log has', async () => {
    const sink = sinkOf(5);
    await expect(sink.send(0, [{ key: 'k', value: '{}', headers: {} }])).rejects.toThrow(
      /has 3 partitions, but the log has 5.*FABULA_KAFKA_FEED_TOPIC/,
    );
    await sink.close();
  });

  async function allMessages(): Promise<readonly { event: FeedCloudEvent; key: string | undefined; partition: number; raw: string }[]> {
    const admin = kafka.admin();
    await admin.connect();
    const ends = await admin.fetchTopicOffsets(topic);
    await admin.disconnect();
    const wanted = ends.reduce((sum, { high }) => sum + Number(high), 0);
    const consumer = kafka.consumer({ groupId: uniqueTopic('all'), maxWaitTimeInMs: 100 });
    const found: { event: FeedCloudEvent; key: string | undefined; partition: number; raw: string }[] = [];
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await new Promise<void>((resolve, reject) => {
      consumer
        .run({
          eachMessage: async ({ message, partition }) => {
            const headers = Object.entries(message.headers ?? {}).map(([name, value]) => `${name}:${String(value)}`);
            found.push({
              event: cloudEventOf(message),
              key: message.key?.toString(),
              partition,
              raw: `${headers.join()} ${String(message.key)} ${String(message.value)}`,
            });
            if (found.length === wanted) resolve();
          },
        })
        .catch(reject);
    });
    await consumer.disconnect();
    return found;
  }
});
