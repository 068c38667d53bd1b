import { describeWithKafka, kafkaBrokers, uniqueTopic } from '../../../test/support/kafka.js';
import { createKafka, ensureTopic } from '#lib/log';
import { recorded } from './testing/recorded.js';

describe('fabula log topics --plan', () => {
  test('says partitions, brokers and disk, for people and for programs', async () => {
    const argv = ['log', 'topics', '--plan', '--readers', '20000', '--turns-per-second', '800'];
    const people = await recorded(argv, {});
    expect(people).toMatchObject({
      code: 0,
      out: expect.stringMatching(/FABULA_PARTITIONS +12[^]*brokers +3[^]*disk a day[^]*12 partitions: at least 4/),
    });
    const programs = await recorded([...argv, '--json'], {});
    expect(JSON.parse(programs.out)).toMatchObject({ topic: { partitions: 12, replication: 3 }, brokers: 3, processes: 2 });
  });

  test('needs a load, and a load needs it', async () => {
    expect(await recorded(['log', 'topics', '--plan', '--readers', '5'], {})).toMatchObject({
      code: 2,
      err: expect.stringContaining('--turns-per-second'),
    });
    expect(await recorded(['log', 'topics', '--readers', '5'], {})).toMatchObject({
      code: 2,
      err: expect.stringContaining('go with --plan'),
    });
  });
});

describe('fabula log topics without brokers', () => {
  test('says that there are none, or that they cannot be reached', async () => {
    expect(await recorded(['log', 'topics'], { env: {} })).toMatchObject({ code: 2, err: expect.stringContaining('KAFKA_BROKERS') });
    expect(await recorded(['log', 'topics'], { env: { KAFKA_BROKERS: '127.0.0.1:1' } })).toMatchObject({ code: 3 });
  });
});

describeWithKafka('fabula log topics', () => {
  test('shows a topic with its leaders, what is unsafe and how to mend it, and ends with 1', async () => {
    const [brokers, name] = [await kafkaBrokers(1), uniqueTopic('topics')];
    await ensureTopic(await createKafka({ brokers, clientId: 'spec' }), { name, partitions: 2, allowUnsafe: true });
    const env = { KAFKA_BROKERS: brokers.join(), FABULA_KAFKA_TOPIC: name, FABULA_KAFKA_FEED_TOPIC: uniqueTopic('none') };
    const unsafe = brokers.length < 3;
    const { code, out } = await recorded(['log', 'topics'], { env });
    expect([code, out]).toEqual([unsafe ? 1 : 0, expect.stringContaining(`${name}\nid `)]);
    if (unsafe) expect(out).toMatch(/unsafe: replication factor is 1[^]*kafka-configs\.sh .*min\.insync\.replicas=2/);
    const { out: text } = await recorded(['log', 'topics', '--json'], { env });
    expect(JSON.parse(text)).toMatchObject([{ name, partitions: 2, leaders: [{ partition: 0 }, { partition: 1 }] }]);
    const missing = await recorded(['log', 'topics'], { env: { ...env, FABULA_KAFKA_TOPIC: uniqueTopic('none') } });
    expect(missing).toMatchObject({ code: 1, out: expect.stringContaining('does not exist') });
  });
});
