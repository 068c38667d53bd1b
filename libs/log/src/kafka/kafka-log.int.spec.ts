import { CompressionCodecs, CompressionTypes, Kafka, logLevel } from 'kafkajs';
import { startCutOffProxy, type CutOffProxy } from '../../../../test/support/cut-off-proxy.js';
import { describeWithKafka, kafkaBrokers, uniqueTopic } from '../../../../test/support/kafka.js';
import { describeEventLog, readAll } from '../contract/event-log-contract.js';
import { LogDamaged, LogUnavailable, OutcomeUnknown, RecordsForgotten, type EventLog } from '../event-log.js';
import { assertBegins } from '../position.js';
import { PartitionCountDiffers } from '../postgres/log-identity.js';
import type { AppendReport } from './group-commit.js';
import { openKafkaLog, type KafkaLog, type KafkaLogOptions } from './kafka-log.js';
import { describeTopic, ensureTopic, TopicMissing, UnsafeTopic } from './kafka-topic.js';

const homes = new WeakMap<EventLog, string>();
const opened: EventLog[] = [];
afterAll(() => Promise.all(opened.map((log) => log.close())));

async function open(topic: string, partitions: number, more: Partial<KafkaLogOptions> = {}, nodes: 1 | 3 = 1): Promise<KafkaLog> {
  const brokers = await kafkaBrokers(nodes);
  const log = await openKafkaLog({
    connection: { brokers, clientId: 'spec' },
    topic,
    partitions,
    allowUnsafe: nodes === 1,
    ...more,
  });
  opened.push(log);
  return log;
}

const records = (...values: string[]) => values.map((value) => ({ key: 'playthrough/p', value: Buffer.from(value) }));
const texts = (stored: readonly { value: Uint8Array }[]) => stored.map(({ value }) => String(Buffer.from(value)));
const client = async (): Promise<Kafka> =>
  new Kafka({ brokers: [...(await kafkaBrokers(1))], logLevel: logLevel.NOTHING, retry: { retries: 3 } });

for (const nodes of [1, 3] as const)
  describeWithKafka(`On ${nodes === 1 ? 'one broker' : 'three brokers'}`, () => {
    describeEventLog('the Kafka log', () => ({
      async create(partitions) {
        const topic = uniqueTopic('log');
        const log = await open(topic, partitions, {}, nodes);
        homes.set(log, topic);
        return log;
      },
      reopen: (log) => open(homes.get(log) ?? '', log.partitions, {}, nodes),
    }));

    if (nodes === 3)
      test('the topic that is created there passes the audit: three replicas, two of them needed', async () => {
        const log = await open(uniqueTopic('log'), 2, {}, 3);
        expect(log.findings).toEqual([]);
      });
  });

describeWithKafka('opening a Kafka log', () => {
  test('creates the topic once, however many processes open it at the same moment', async () => {
    const topic = uniqueTopic('log');
    const logs = await Promise.all([1, 2, 3, 4].map(() => open(topic, 3)));
    expect(new Set(await Promise.all(logs.map((log) => log.id()))).size).toBe(1);
    expect(await logs[0]?.append(1, records('a'))).toBe(0);
    expect(await logs[3]?.end(1)).toBe(1);
  });

  test('with another partition count is refused, naming both', async () => {
    const topic = uniqueTopic('log');
    await open(topic, 3);
    const refused = open(topic, 4);
    await expect(refused).rejects.toThrow(PartitionCountDiffers);
    await expect(refused).rejects.toMatchObject({ written: 3, configured: 4 });
  });

  test('on an unsafe topic is refused with every finding, and allowed with them', async () => {
    const topic = uniqueTopic('log');
    const admin = (await client()).admin();
    await admin.connect();
    await admin.createTopics({
      topics: [{ topic, numPartitions: 1, replicationFactor: 1, configEntries: [{ name: 'cleanup.policy', value: 'compact' }] }],
    });
    await admin.disconnect();
    const error: unknown = await open(topic, 1, { allowUnsafe: false }).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(UnsafeTopic);
    const said = String(error);
    for (const part of [
      'replication factor is 1',
      'cleanup.policy is compact',
      'kafka-configs.sh',
      'retention.ms',
      'message.timestamp.type',
    ])
      expect(said).toContain(part);
    const log = await open(topic, 1, { allowUnsafe: true });
    expect(log.findings.map(({ setting }) => setting)).toEqual(expect.arrayContaining(['replication factor', 'cleanup.policy']));
  });

  test('creates nothing where three replicas have no place, nor where the topic was expected', async () => {
    const topic = uniqueTopic('log');
    await expect(open(topic, 1, { expectExisting: true })).rejects.toThrow(TopicMissing);
    if ((await kafkaBrokers(1)).length === 1)
      await expect(open(topic, 1, { allowUnsafe: false })).rejects.toThrow(/number of brokers is 1, wanted 3/);
    expect(await describeTopic(await client(), { name: topic })).toBeUndefined();
  });

  test('another topic may have another retention and count, as the public feed does', async () => {
    const name = uniqueTopic('feed');
    const kafka = await client();
    await ensureTopic(kafka, { name, partitions: 2, retentionMs: 86_400_000, allowUnsafe: true });
    const again = await ensureTopic(kafka, { name, partitions: 5, anyPartitionCount: true, retentionMs: 86_400_000, allowUnsafe: true });
    expect([again.partitions, again.settings.get('retention.ms')]).toEqual([2, { value: '86400000', inherited: false }]);
    expect(again.findings.map(({ setting }) => setting)).not.toContain('retention.ms');
  });

  test('where no broker listens says that the log is unavailable', async () => {
    await expect(open('t', 1, { connection: { brokers: ['127.0.0.1:1'], clientId: 'spec' } })).rejects.toThrow(LogUnavailable);
  });
});

describeWithKafka('a topic that was hurt from outside', () => {
  test('deleted and created again has another id, and the log that was open says so', async () => {
    const topic = uniqueTopic('log');
    const log = await open(topic, 1);
    await log.append(0, records('a'));
    const reader = log.read(0, 1)[Symbol.asyncIterator]().next();
    const outcome = expect(reader).rejects.toThrow(LogDamaged);
    const admin = (await client()).admin();
    await admin.connect();
    await admin.deleteTopics({ topics: [topic] });
    await expect(open(topic, 1, { expectExisting: true })).rejects.toThrow(TopicMissing);
    const other = await open(topic, 1);
    expect(await other.id()).not.toBe(await log.id());
    await admin.disconnect();
    await outcome;
    await expect(log.append(0, records('b'))).rejects.toThrow(LogUnavailable);
    expect(await other.end(0)).toBe(0);
  });

  test('whose old records were deleted says so to whoever needs them, and is damaged where no base was recorded', async () => {
    const topic = uniqueTopic('log');
    const log = await open(topic, 1);
    await log.append(0, records('a', 'b', 'c'));
    const admin = (await client()).admin();
    await admin.connect();
    await admin.fetchTopicOffsets(topic); // kafkajs deletes only from topics that it has looked at
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '2' }] });
    await admin.disconnect();
    await expect(readAll(log, 0, 1, 3)).rejects.toThrow(RecordsForgotten);
    await expect(assertBegins(log, () => 0)).rejects.toThrow(/begins at offset 2, but nothing of it was pruned/);
    expect(await assertBegins(log, () => 3)).toEqual([{ partition: 0, begin: 2, base: 3 }]);
    expect(texts(await readAll(log, 0, 2, 3))).toEqual(['c']);
    await expect(readAll(log, 0, 9, 10)).rejects.toThrow(LogDamaged);
  });

  test('shows what others wrote straight to it, with offsets as they are', async () => {
    const topic = uniqueTopic('log');
    const log = await open(topic, 1);
    const kafka = await client();
    const producer = kafka.producer({ allowAutoTopicCreation: false, transactionalId: topic, idempotent: true, maxInFlightRequests: 1 });
    await producer.connect();
    const transaction = await producer.transaction();
    await transaction.send({ topic, messages: [{ key: null, value: null, partition: 0 }] });
    // A foreign transaction that stays open hides nothing that comes after it.
    expect(await log.append(0, [{ key: 'k', value: Buffer.from('ours'), headers: { a: 'b' } }])).toBe(1);
    expect(await log.end(0)).toBe(2);
    const [theirs, ours] = await readAll(log, 0, 0, 2);
    expect([theirs?.key, theirs?.value.byteLength]).toEqual(['', 0]);
    expect(ours).toMatchObject({ key: 'k', headers: { a: 'b' } });
    await transaction.abort();
    await producer.disconnect();
    // Its end takes an offset too, a moment later.
    expect(await readAll(log, 0, 2, 3)).toHaveLength(1);
    expect(await log.append(0, records('next'))).toBe(3);
    expect(texts(await readAll(log, 0, 3, 4))).toEqual(['next']);
    expect(await readAll(log, 0, 0, 4)).toHaveLength(4);
  });
});

/** Appends in a codec that this process can write and not read: an LZ4 frame of one block that is not compressed. */
async function sendInLz4(topic: string, partition: number, value: string): Promise<void> {
  const refusing = CompressionCodecs[CompressionTypes.LZ4];
  const compress = async ({ buffer }: { buffer: Buffer }): Promise<Buffer> => {
    const size = Buffer.alloc(4);
    size.writeUInt32LE((buffer.length | 0x80000000) >>> 0);
    return Buffer.concat([Buffer.from('04224d18604082', 'hex'), size, buffer, Buffer.alloc(4)]);
  };
  CompressionCodecs[CompressionTypes.LZ4] = () => ({ compress });
  const producer = (await client()).producer({ allowAutoTopicCreation: false });
  try {
    await producer.connect();
    await producer.send({ topic, compression: CompressionTypes.LZ4, messages: [{ key: 'k', value, partition }] });
  } finally {
    CompressionCodecs[CompressionTypes.LZ4] = refusing;
    await producer.disconnect();
  }
}

describeWithKafka('what somebody else compressed with a codec that cannot be read here', () => {
  test('is stored uncompressed by the brokers in a topic that Fabula created', async () => {
    const topic = uniqueTopic('log');
    const log = await open(topic, 1);
    await log.append(0, records('a'));
    await sendInLz4(topic, 0, 'theirs');
    await log.append(0, records('b'));
    expect(texts(await readAll(log, 0, 0, 3))).toEqual(['a', 'theirs', 'b']);
  });

  test('in a topic that keeps it as it came stops the readers of its partition there, and nobody else', async () => {
    const topic = uniqueTopic('log');
    const admin = (await client()).admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: 2, replicationFactor: 1 }] });
    await admin.disconnect();
    const log = await open(topic, 2, { allowUnsafe: true });
    expect(log.findings.map(({ setting }) => setting)).toContain('compression.type');
    const other = readAll(log, 1, 0, 2);
    const same = expect(readAll(log, 0, 0, 2)).rejects.toThrow(
      /Partition 0 holds a batch at offset 1 that cannot be read: it is compressed with lz4/,
    );
    await log.append(0, records('a'));
    await sendInLz4(topic, 0, 'theirs');
    await log.append(0, records('b'));
    expect(texts(await readAll(log, 0, 0, 1))).toEqual(['a']);
    await same;
    await expect(readAll(log, 0, 1, 2)).rejects.toThrow(LogDamaged);
    await log.append(1, records('c', 'd'));
    expect(texts(await other)).toEqual(['c', 'd']);
    expect(texts(await readAll(log, 0, 2, 3))).toEqual(['b']);
  });
});

describeWithKafka('readers at the tail', () => {
  test('of all partitions, three each, get each record once and cost few connections', async () => {
    const log = await open(uniqueTopic('log'), 12);
    const abort = new AbortController();
    const seen = new Map<string, number>();
    let missing = 12 * 3 * 5;
    const readers = Array.from({ length: 36 }, async (_, reader) => {
      for await (const { partition, records: page } of log.read(reader % 12, 0, { signal: abort.signal }))
        for (const { offset } of page) {
          const key = `${reader}/${partition}/${offset}`;
          seen.set(key, (seen.get(key) ?? 0) + 1);
          if (--missing === 0) abort.abort();
        }
    });
    for (let round = 0; round < 5; round++)
      await Promise.all(Array.from({ length: 12 }, (_, partition) => log.append(partition, records(`${round}`))));
    await Promise.all(readers);
    expect([...seen.values()].every((times) => times === 1)).toBe(true);
    expect(seen.size).toBe(180);
    expect(log.stats()).toEqual({ queuedAppends: 0, queuedBytes: 0, waitingReads: 0 });
  });
});

describeWithKafka('an append over a bad connection', () => {
  let topic: string;
  let near: KafkaLog;
  let far: KafkaLog;
  let proxies: Map<number, CutOffProxy>;
  const reports: AppendReport[] = [];
  const reconnects: string[] = [];
  const each = (does: (proxy: CutOffProxy) => void) => proxies.forEach(does);
  beforeEach(async () => {
    topic = uniqueTopic('log');
    reports.length = 0;
    reconnects.length = 0;
    near = await open(topic, 1);
    const brokers = await kafkaBrokers(1);
    proxies = new Map();
    for (const port of brokers.map((address) => Number(address.split(':')[1]))) proxies.set(port, await startCutOffProxy(port));
    const dial = (host: string, port: number) => ({ host, port: proxies.get(port)?.port ?? port });
    const hooks = { onAppend: (report: AppendReport) => void reports.push(report), onReconnect: (at: string) => void reconnects.push(at) };
    far = await open(topic, 1, { connection: { brokers, clientId: 'spec', dial }, ...hooks });
    await far.append(0, records('first'));
  });
  afterEach(async () => {
    await far.close();
    await Promise.all([...proxies.values()].map((proxy) => proxy.close()));
  });

  test('whose answer is lost has an unknown outcome, here all of it is stored, and nothing sends it twice', async () => {
    each((proxy) => proxy.swallowAnswers());
    const outcomes = Promise.allSettled([far.append(0, records('a', 'b')), far.append(0, records('c'))]);
    expect(texts(await readAll(near, 0, 0, 4))).toEqual(['first', 'a', 'b', 'c']);
    each((proxy) => proxy.cut());
    for (const one of await outcomes) expect(one).toMatchObject({ status: 'rejected', reason: expect.any(OutcomeUnknown) });
    // The writer appends the same again: two copies, none lost.
    expect(await far.append(0, records('a', 'b'))).toBe(4);
    expect(texts(await readAll(far, 0, 0, 6))).toEqual(['first', 'a', 'b', 'c', 'a', 'b']);
    expect(reports.map(({ outcome }) => outcome)).toEqual(['stored', 'unknown', 'stored']);
    expect(reconnects.length).toBeGreaterThan(0);
  });

  test('that cannot be sent at all is unavailable, and stores nothing', async () => {
    const reading = expect(readAll(far, 0, 0, 2)).rejects.toThrow(LogUnavailable);
    for (const proxy of proxies.values()) await proxy.close();
    // The first may still be written into the connection that has just been cut.
    await far.append(0, records('lost')).catch(() => undefined);
    await expect(far.append(0, records('lost'))).rejects.toThrow(LogUnavailable);
    expect(await near.end(0)).toBe(1);
    await far.close();
    await reading;
  });

  test('that breaks while a reader waits loses no record for it', async () => {
    const reading = readAll(far, 0, 0, 3);
    each((proxy) => proxy.cut());
    await near.append(0, records('a'));
    each((proxy) => proxy.cut());
    await near.append(0, records('b'));
    expect(texts(await reading)).toEqual(['first', 'a', 'b']);
  });
});
