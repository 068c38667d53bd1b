import { Kafka, logLevel } from 'kafkajs';
import { systemClock, systemIds, systemTimers, type Timers } from '#lib/platform';
import { describeWithKafka, kafkaBrokers, uniqueTopic } from '../../../../../test/support/kafka.js';
import type { PartitionWork } from '../postgres-ownership.js';
import { createKafkaOwnership, type KafkaOwnership, type Rebalance } from './kafka-ownership.js';

const PARTITIONS = 5;

interface Member {
  readonly name: string;
  readonly ownership: KafkaOwnership;
  readonly held: Set<number>;
  readonly problems: string[];
  readonly rebalances: Rebalance[];
}

interface Settings {
  readonly released?: () => Promise<void>;
  readonly timers?: Timers;
  readonly observer?: boolean;
  readonly work?: PartitionWork;
}

describeWithKafka('Partitions shared by processes through a consumer group', () => {
  let brokers: readonly string[];
  let kafka: Kafka;
  let topic: string;
  const members: Member[] = [];

  async function join(name: string, settings: Settings = {}): Promise<Member> {
    const held = new Set<number>();
    const problems: string[] = [];
    const rebalances: Rebalance[] = [];
    const ownership = createKafkaOwnership({
      kafka: { brokers, clientId: name },
      topic,
      partitions: PARTITIONS,
      timers: settings.timers ?? systemTimers,
      clock: systemClock,
      ids: systemIds,
      ...(settings.work === undefined ? {} : { work: settings.work }),
      ...(settings.observer === undefined ? {} : { observer: settings.observer }),
      timing: { sessionTimeoutMs: 6_000, heartbeatMs: 50 },
      observeMs: 50,
      commitMs: 20,
      onProblem: (what, error) => problems.push(`${what}: ${String(error)}`),
      onRebalance: (rebalance) => rebalances.push(rebalance),
    });
    const member: Member = { name, ownership, held, problems, rebalances };
    members.push(member);
    await ownership.start(`http://${name}`, {
      acquired(partition) {
        if (held.has(partition)) throw new Error(`${name} got ${partition} twice`);
        held.add(partition);
      },
      async released(partition) {
        await settings.released?.();
        held.delete(partition);
      },
    });
    return member;
  }

  /** Bounded, so that a broken rule fails the test instead of keeping jest for ever. */
  async function until(condition: () => boolean, withinMs = 10_000): Promise<void> {
    const deadline = systemClock.now() + withinMs;
    while (!condition()) {
      if (systemClock.now() > deadline)
        throw new Error(`never: ${condition.toString()}\n${members.map(({ problems }) => problems.join('\n')).join('\n')}`);
      await new Promise<void>((resolve) => void systemTimers.after(5, resolve));
    }
  }

  const all = Array.from({ length: PARTITIONS }, (_, partition) => partition);
  const whole = (...of: Member[]) =>
    of
      .flatMap((member) => [...member.held])
      .sort()
      .join() === all.join();

  beforeAll(async () => {
    brokers = await kafkaBrokers(1);
    kafka = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING });
  }, 300_000);
  beforeEach(async () => {
    topic = uniqueTopic('ownership');
    const admin = kafka.admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS, replicationFactor: 1 }] });
    await admin.disconnect();
  });
  afterEach(async () => {
    await Promise.all(members.splice(0).map((member) => member.ownership.stop()));
  });

  test('one alone has everything; a second gets its fair share, and each knows where the other is', async () => {
    const a = await join('a');
    expect([...a.held]).toEqual(all);
    const b = await join('b');
    await until(() => whole(a, b) && a.held.size === 3 && b.held.size === 2);
    expect(b.rebalances).toEqual([{ generation: 2, moved: 2, ms: expect.any(Number) }]);
    for (const partition of all) {
      expect(a.ownership.ownerOf(partition)).toBe(a.held.has(partition) ? 'self' : 'http://b');
      expect(b.ownership.ownerOf(partition)).toBe(b.held.has(partition) ? 'self' : 'http://a');
    }
  });
});
