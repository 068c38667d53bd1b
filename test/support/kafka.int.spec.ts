import { Kafka, logLevel, type KafkaConfig } from 'kafkajs';
import type { FaultProxy } from './fault-proxy.js';
import {
  claimProxiedBrokers,
  describeWithKafka,
  describeWithOwnKafka,
  kafkaBrokers,
  startKafka,
  startProxiedKafka,
  uniqueTopic,
  type ProxiedKafka,
} from './kafka.js';
import type { KafkaCluster } from '../../scripts/kafka/cluster.mjs';

describeWithOwnKafka('Brokers of a spec of its own', () => {
  let kafka: KafkaCluster | undefined;
  afterAll(() => kafka?.destroy());

  it('keep their data and addresses when they are killed and started again', async () => {
    kafka = await startKafka();
    const topic = uniqueTopic();
    const before = kafka.brokers;
    const client = clientOf(before);
    const admin = client.admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: 3, replicationFactor: 1 }] });
    const producer = client.producer();
    await producer.connect();
    await producer.send({ topic, acks: -1, messages: [{ partition: 1, value: 'kept' }] });
    const pid = kafka.pid(1);
    await kafka.kill(1);
    expect(kafka.pid(1)).toBeUndefined();
    await kafka.start(1);
    expect(kafka.pid(1)).not.toBe(pid);
    expect(kafka.brokers).toEqual(before);
    const ends = await admin.fetchTopicOffsets(topic);
    expect(ends.map(({ partition, offset }) => [partition, offset]).sort()).toEqual([
      [0, '0'],
      [1, '1'],
      [2, '0'],
    ]);
    await Promise.all([admin.disconnect(), producer.disconnect()]);
  });
});

describeWithOwnKafka('Brokers behind proxies', () => {
  let proxied: ProxiedKafka | undefined;
  afterAll(() => proxied?.close());

  it('are reached through them by each audience, and a swallowed answer leaves the record stored', async () => {
    proxied = await startProxiedKafka(1, { audiences: 2 });
    const [first, second] = proxied.proxies.map(([proxy]) => proxy as FaultProxy);
    const topic = uniqueTopic();
    const admin = clientOf(proxied.kafka.brokersOf(1)).admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: 1, replicationFactor: 1 }] });
    const producer = clientOf(proxied.kafka.brokers, {
      requestTimeout: 500,
      enforceRequestTimeout: true,
      retry: { retries: 0 },
    }).producer();
    await producer.connect();
    await producer.send({ topic, acks: -1, messages: [{ value: 'acknowledged' }] });
    first?.begin({ kind: 'dropResponse' });
    await expect(producer.send({ topic, acks: -1, timeout: 400, messages: [{ value: 'not acknowledged' }] })).rejects.toThrow('timed out');
    expect(first?.counts.dropResponse).toBeGreaterThan(0);
    expect(second?.counts.dropResponse).toBe(0);
    expect(await admin.fetchTopicOffsets(topic)).toMatchObject([{ partition: 0, high: '2' }]);
    first?.end();
    await producer.disconnect();
    await admin.disconnect();
  });
});

describeWithOwnKafka('A way of its own to the brokers of the run', () => {
  it('has proxies that tell an append from other requests and cut it off, while others do not notice', async () => {
    const [mine, other] = await Promise.all([claimProxiedBrokers(1), claimProxiedBrokers(2)]);
    const topic = uniqueTopic();
    const admin = clientOf(other.brokers).admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: 1, replicationFactor: 3 }] });
    const producer = clientOf(mine.brokers, { retry: { retries: 0 } }).producer();
    await producer.connect();
    await producer.send({ topic, acks: -1, messages: [{ value: 'first' }] });
    expect(mine.proxies.some((proxy) => proxy.underWay('produce'))).toBe(false);
    for (const proxy of mine.proxies) proxy.begin({ kind: 'delay', ms: 200, jitterMs: 0 });
    const sent = producer.send({ topic, acks: -1, messages: [{ value: 'second' }] }).then(
      () => 'acknowledged',
      () => 'cut off',
    );
    const leader = await new Promise<FaultProxy>((resolve) => {
      const look = (): void => {
        const found = mine.proxies.find((proxy) => proxy.underWay('produce'));
        if (found === undefined) setImmediate(look);
        else resolve(found);
      };
      look();
    });
    expect(leader.cutOff('produce')).toBe(1);
    expect(await sent).toBe('cut off');
    expect(other.proxies.map((proxy) => proxy.underWay('produce'))).toEqual([false, false, false]);
    await producer.disconnect();
    await admin.disconnect();
    await Promise.all([mine.close(), other.close()]);
  });
});

describeWithKafka('The brokers of the run', () => {
  it('are the same for all who ask', async () => {
    const [one, other] = await Promise.all([kafkaBrokers(1), kafkaBrokers(1)]);
    expect(one).toEqual(other);
    const admin = clientOf(one).admin();
    await admin.connect();
    expect((await admin.describeCluster()).brokers.length).toBeGreaterThan(0);
    await admin.disconnect();
  });
});

const clientOf = (brokers: readonly string[], more: Partial<KafkaConfig> = {}): Kafka =>
  new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING, ...more });
