import type { Kafka } from 'kafkajs';
import { createKafka, openKafkaLog, OutcomeUnknown, type KafkaConnection, type KafkaLog } from '#lib/log';
import { startCutOffProxy, type CutOffProxy } from '../support/cut-off-proxy.js';
import { describeWithKafka, kafkaBrokers, uniqueTopic } from '../support/kafka.js';

/**
 * Why the log does not use kafkajs' idempotent producer. On any error of a produce request kafkajs 2.2.4 takes the sequence numbers of
 * its records back (producer/sendMessages.js), also when the broker has stored them and only its answer was lost. The next batch of
 * the same size gets the same numbers, and the broker acknowledges it as the repetition that it seems to be, without storing it.
 * A proxy lets the requests for A through and swallows both answers; then B is sent over a good connection, and acknowledged.
 */
describeWithKafka('After the answers to A were lost, B', () => {
  let proxies: readonly CutOffProxy[];
  let connection: KafkaConnection;
  let topic: string;
  let near: KafkaLog;

  beforeEach(async () => {
    const brokers = await kafkaBrokers(1);
    const ports = brokers.map((address) => Number(address.split(':')[1]));
    proxies = await Promise.all(ports.map(startCutOffProxy));
    const dial = (host: string, port: number) => ({ host, port: proxies[ports.indexOf(port)]?.port ?? port });
    connection = { brokers, clientId: 'loss', dial };
    topic = uniqueTopic('loss');
    near = await openKafkaLog({ connection: { brokers, clientId: 'near' }, topic, partitions: 1, allowUnsafe: true });
  });
  afterEach(async () => {
    await near.close();
    await Promise.all(proxies.map((proxy) => proxy.close()));
  });

  /** Everything in the topic, past the proxy. */
  async function stored(): Promise<string[]> {
    const values: string[] = [];
    const upTo = await near.end(0);
    for await (const { records } of near.read(0, 0, { upTo })) values.push(...records.map(({ value }) => String(Buffer.from(value))));
    return values;
  }

  async function send(kafka: Kafka, idempotent: boolean): Promise<{ a: PromiseSettledResult<unknown>; b: PromiseSettledResult<unknown> }> {
    const producer = kafka.producer({ idempotent, allowAutoTopicCreation: false, retry: { retries: 1, initialRetryTime: 50 } });
    const message = (value: string) => producer.send({ topic, acks: -1, messages: [{ key: 'k', value, partition: 0 }] });
    await producer.connect();
    await message('first');
    for (const proxy of proxies) proxy.swallowAnswers();
    const [a] = await Promise.allSettled([message('A')]);
    for (const proxy of proxies) proxy.cut();
    const [b] = await Promise.allSettled([message('B')]);
    await producer.disconnect();
    return { a, b };
  }

  test('is acknowledged and lost by the idempotent producer of kafkajs', async () => {
    const { a, b } = await send(await createKafka(connection), true);
    expect([a.status, b.status]).toEqual(['rejected', 'fulfilled']);
    expect(await stored()).toEqual(['first', 'A']);
  });

  test('is kept by its plain producer, which at worst keeps A twice', async () => {
    const { a, b } = await send(await createKafka(connection), false);
    expect([a.status, b.status]).toEqual(['rejected', 'fulfilled']);
    expect(await stored()).toEqual(['first', 'A', 'A', 'B']);
  });

  test('is kept by the log of Fabula, where A has an unknown outcome and is stored as often as its writer appends it', async () => {
    const far = await openKafkaLog({ connection, topic, partitions: 1, allowUnsafe: true });
    const append = (value: string) => far.append(0, [{ key: 'k', value: Buffer.from(value) }]);
    expect(await append('first')).toBe(0);
    for (const proxy of proxies) proxy.swallowAnswers();
    await expect(append('A')).rejects.toThrow(OutcomeUnknown);
    for (const proxy of proxies) proxy.cut();
    expect(await append('A')).toBe(2);
    expect(await append('B')).toBe(3);
    expect(await stored()).toEqual(['first', 'A', 'A', 'B']);
    await far.close();
  });
});
