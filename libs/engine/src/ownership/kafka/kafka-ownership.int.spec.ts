import { AssignerProtocol, Kafka, logLevel, type Admin } from 'kafkajs';
import type { KafkaCluster } from '../../../../../scripts/kafka/cluster.mjs';
import { systemClock, systemIds, systemTimers, type Timers } from '#lib/platform';
import { describeWithKafka, describeWithOwnKafka, kafkaBrokers, startKafka, uniqueTopic } from '../../../../../test/support/kafka.js';
import type { PartitionWork } from '../postgres-ownership.js';
import { GROUP_TIMING } from './group-member.js';
import { createKafkaOwnership, type KafkaOwnership, type Rebalance } from './kafka-ownership.js';
import { KafkajsGroup } from './kafkajs-group-connection.js';

const PARTITIONS = 5;
/** The least that brokers allow by default. */
const SESSION_MS = 6_000;
const TIMING = { ...GROUP_TIMING, sessionTimeoutMs: SESSION_MS, heartbeatMs: 50 };

interface Member {
  readonly name: string;
  readonly ownership: KafkaOwnership;
  readonly held: Set<number>;
  readonly problems: string[];
  readonly rebalances: Rebalance[];
}

interface Settings {
  readonly timers?: Timers;
  readonly observer?: boolean;
  readonly work?: PartitionWork;
  readonly rack?: string;
}

/** Processes that share one topic. */
class Company {
  readonly members: Member[] = [];
  readonly all: readonly number[];

  constructor(
    readonly brokers: readonly string[],
    readonly topic: string,
    readonly partitions: number,
  ) {
    this.all = Array.from({ length: partitions }, (_, partition) => partition);
  }

  async join(name: string, settings: Settings = {}): Promise<Member> {
    const { timers = systemTimers, rack, ...others } = settings;
    const held = new Set<number>();
    const problems: string[] = [];
    const rebalances: Rebalance[] = [];
    const ownership = createKafkaOwnership({
      kafka: { brokers: this.brokers, clientId: name, ...(rack === undefined ? {} : { rack }) },
      topic: this.topic,
      partitions: this.partitions,
      timers,
      clock: systemClock,
      ids: systemIds,
      ...others,
      timing: TIMING,
      observeMs: 50,
      commitMs: 20,
      onProblem: (what, error) => problems.push(`${what}: ${String(error)}`),
      onRebalance: (rebalance) => rebalances.push(rebalance),
    });
    const member: Member = { name, ownership, held, problems, rebalances };
    this.members.push(member);
    await ownership.start(`http://${name}`, {
      acquired(partition) {
        if (held.has(partition)) throw new Error(`${name} got ${partition} twice`);
        held.add(partition);
      },
      released: (partition) => void held.delete(partition),
    });
    return member;
  }

  /** Whether these have everything, each partition once. */
  whole(...of: Member[]): boolean {
    return (
      of
        .flatMap((member) => [...member.held])
        .sort((a, b) => a - b)
        .join() === this.all.join()
    );
  }

  /** Bounded, so that a broken rule fails the test instead of keeping jest for ever. */
  async until(condition: () => boolean, withinMs = 10_000): Promise<void> {
    const deadline = systemClock.now() + withinMs;
    while (!condition()) {
      if (systemClock.now() > deadline) {
        const now = this.members.map(({ name, held, problems }) => `${name}: ${[...held].join()} ${problems.join('; ')}`);
        throw new Error(`never: ${condition.toString()}\n${now.join('\n')}`);
      }
      await rest(5);
    }
  }

  async disband(): Promise<void> {
    await Promise.all(this.members.splice(0).map((member) => member.ownership.stop()));
  }
}

const rest = (ms: number): Promise<void> => new Promise((resolve) => void systemTimers.after(ms, resolve));

async function createTopic(admin: Admin, partitions: number): Promise<string> {
  const topic = uniqueTopic('ownership');
  await admin.createTopics({ topics: [{ topic, numPartitions: partitions, replicationFactor: 1 }] });
  return topic;
}

const clientOf = (brokers: readonly string[]): Kafka => new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING });

describeWithKafka('Partitions shared by processes through a consumer group', () => {
  let admin: Admin;
  let brokers: readonly string[];
  let company: Company;

  beforeAll(async () => {
    brokers = await kafkaBrokers(1);
    admin = clientOf(brokers).admin();
    await admin.connect();
  }, 300_000);
  beforeEach(async () => {
    company = new Company(brokers, await createTopic(admin, PARTITIONS), PARTITIONS);
  });
  afterEach(() => company.disband());
  afterAll(() => admin.disconnect());

  test('one alone has everything; a second gets its fair share, and each knows where the other is', async () => {
    const a = await company.join('a');
    expect([...a.held]).toEqual(company.all);
    const b = await company.join('b');
    await company.until(() => company.whole(a, b) && a.held.size === 3 && b.held.size === 2);
    expect(b.rebalances).toEqual([{ generation: 2, moved: 2, ms: expect.any(Number) as number }]);
    for (const partition of company.all) {
      expect(a.ownership.ownerOf(partition)).toBe(a.held.has(partition) ? 'self' : 'http://b');
      expect(b.ownership.ownerOf(partition)).toBe(b.held.has(partition) ? 'self' : 'http://a');
    }
  });

  test("an observer sees the owners, also new ones, takes nothing and lowers nobody else's share", async () => {
    const watcher = await company.join('watcher', { observer: true });
    expect(watcher.ownership.ownerOf(0)).toBeUndefined();
    const a = await company.join('a');
    await company.until(() => company.all.every((partition) => watcher.ownership.ownerOf(partition) === 'http://a'));
    const b = await company.join('b');
    await company.until(() =>
      company.all.every((partition) => watcher.ownership.ownerOf(partition) === (b.held.has(partition) ? 'http://b' : 'http://a')),
    );
    expect([watcher, a, b].map((member) => member.held.size)).toEqual([0, 3, 2]);
  });

  test('each kind of work is shared among those that do it', async () => {
    const { topic } = company;
    const engines = [await company.join('a'), await company.join('engine-only')];
    const projector = await company.join('a', { work: 'projector' });
    const auditors = [await company.join('a', { work: 'auditor' }), await company.join('auditor-only', { work: 'auditor' })];
    await company.until(() => company.whole(...engines) && engines.every((member) => member.held.size <= 3));
    await company.until(() => company.whole(...auditors) && auditors.every((member) => member.held.size <= 3));
    expect([...projector.held]).toEqual(company.all);
    const { groups } = await admin.listGroups();
    expect(groups.map(({ groupId }) => groupId).filter((group) => group.startsWith(topic))).toEqual(
      expect.arrayContaining([`${topic}.engine`, `${topic}.projector`, `${topic}.auditor`]),
    );
  });

  test('members come and go: each time as few partitions move as a fair share allows, and the rest keep their owners throughout', async () => {
    const most = 12;
    const crowd = new Company(brokers, await createTopic(admin, most), most);
    try {
      const present: Member[] = [];
      const settledWith = (members: readonly Member[]): boolean =>
        crowd.whole(...members) && members.every(({ held }) => Math.abs(held.size - most / members.length) < 1);
      for (const [i, name] of ['a', 'b', 'c', 'd', 'e'].entries()) {
        const before = new Map(present.map((member) => [member, [...member.held]]));
        const member = await crowd.join(name);
        present.push(member);
        await crowd.until(() => settledWith(present));
        expect(member.rebalances.at(-1)?.moved).toBe(i === 0 ? most : Math.floor(most / present.length));
        expect(present.every((one) => [...one.held].every((partition) => one === member || before.get(one)?.includes(partition)))).toBe(
          true,
        );
      }
      for (const name of ['b', 'a', 'd']) {
        const leaving = present.find((member) => member.name === name) as Member;
        const others = present.filter((member) => member !== leaving);
        const before = new Map(others.map((member) => [member, [...member.held]]));
        const had = leaving.held.size;
        const seen = others[0]?.rebalances.length ?? 0;
        await leaving.ownership.stop();
        present.splice(present.indexOf(leaving), 1);
        await crowd.until(() => settledWith(present) && (others[0]?.rebalances.length ?? 0) >= seen + 2);
        // Handed over while the leaving one was still there; when it had gone nothing was left to move.
        expect(others[0]?.rebalances.slice(seen).map(({ moved }) => moved)).toEqual([had, 0]);
        expect(others.every((one) => before.get(one)?.every((partition) => one.held.has(partition)))).toBe(true);
      }
    } finally {
      await crowd.disband();
    }
  });

  test('what falls silent loses its partitions after a session and hears of it when it wakes; what works hard for longer than that keeps its own', async () => {
    const sleepy = new SleepyTimers();
    const silent = await company.join('silent', { timers: sleepy });
    const busy = await company.join('busy');
    await company.until(() => company.whole(silent, busy) && busy.held.size === 2);
    const busyHad = [...busy.held];
    const silentHad = [...silent.held];
    sleepy.asleep = true;
    const fellAsleep = systemClock.now();
    // Work in pieces: a blocked event loop sends no heartbeats, and is as good as dead.
    while (busy.held.size < PARTITIONS && systemClock.now() < fellAsleep + SESSION_MS + 5_000) {
      for (const piece = systemClock.now(); systemClock.now() < piece + 150;);
      await rest(20);
    }
    expect(systemClock.now() - fellAsleep).toBeGreaterThan(SESSION_MS - 2 * TIMING.heartbeatMs - 100);
    expect(company.whole(busy)).toBe(true);
    expect(busy.problems).toEqual([]);
    expect(busy.rebalances.slice(-1).map(({ moved }) => moved)).toEqual([silentHad.length]);
    expect(busyHad.every((partition) => busy.held.has(partition))).toBe(true);
    // Nobody told the silent one; two owners are what `admit` is for.
    expect([...silent.held]).toEqual(silentHad);
    sleepy.wake();
    await company.until(() => company.whole(silent, busy) && silent.held.size >= 2 && busy.held.size >= 2);
    expect(silent.problems.join()).toContain('partitions are given up');
  });

  test('a member that is put out of the group gives up what it had and comes back', async () => {
    const a = await company.join('a');
    const b = await company.join('b');
    await company.until(() => company.whole(a, b) && b.held.size === 2);
    const group = new KafkajsGroup({
      kafka: { brokers, clientId: 'operator' },
      topic: company.topic,
      groupId: `${company.topic}.engine`,
      timing: TIMING,
      timers: systemTimers,
    });
    const { groups } = await admin.describeGroups([`${company.topic}.engine`]);
    const put = groups[0]?.members.find(({ clientId }) => clientId === 'b')?.memberId ?? '';
    const operator = await group.connect();
    await operator.leave(put);
    operator.close();
    await company.until(() => b.problems.some((problem) => problem.includes('does not know this member')));
    await company.until(() => company.whole(a, b) && a.held.size <= 3 && b.held.size >= 2);
  });

  test('the tools of Kafka see who has what and how far each is', async () => {
    const a = await company.join('a', { work: 'projector' });
    const groupId = `${company.topic}.projector`;
    const { groups } = await admin.describeGroups([groupId]);
    const [member] = groups[0]?.members ?? [];
    expect(groups[0]).toMatchObject({ state: 'Stable', protocolType: 'consumer' });
    expect(AssignerProtocol.MemberMetadata.decode(member?.memberMetadata ?? Buffer.alloc(0))?.topics).toEqual([company.topic]);
    expect(AssignerProtocol.MemberAssignment.decode(member?.memberAssignment ?? Buffer.alloc(0))?.assignment).toEqual({
      [company.topic]: company.all,
    });
    a.ownership.commitLag(
      new Map([
        [0, 3],
        [4, 12],
        [99, 1],
      ]),
    );
    a.ownership.commitLag(new Map([[0, 4]]));
    const committed = async (): Promise<string> =>
      (await admin.fetchOffsets({ groupId, topics: [company.topic] }))
        .flatMap(({ partitions }) => partitions)
        .filter(({ offset }) => offset !== '-1')
        .map(({ partition, offset }) => `${partition}:${offset}`)
        .sort()
        .join();
    let seen = await committed();
    for (let look = 0; look < 200 && seen !== '0:4,4:12'; look++) seen = await committed();
    expect(seen).toBe('0:4,4:12');
  });
});

describeWithOwnKafka('A group whose coordinator restarts', () => {
  let kafka: KafkaCluster;
  let company: Company;
  beforeAll(async () => {
    kafka = await startKafka();
    const admin = clientOf(kafka.brokers).admin();
    await admin.connect();
    company = new Company(kafka.brokers, await createTopic(admin, PARTITIONS), PARTITIONS);
    await admin.disconnect();
  }, 300_000);
  afterAll(async () => {
    await company?.disband();
    await kafka?.destroy();
  });

  test('goes on as it was: nobody joins again, and everybody has afterwards what they had before', async () => {
    const a = await company.join('a');
    const b = await company.join('b');
    await company.until(() => company.whole(a, b) && b.held.size === 2);
    const before = [a, b].map((member) => [...member.held].sort());
    const generation = b.rebalances.at(-1)?.generation;
    await kafka.kill(1);
    await company.until(() => a.problems.length > 0 && b.problems.length > 0);
    await kafka.start(1);
    await company.until(() => company.whole(a, b), 30_000);
    const c = await company.join('c', { observer: true });
    await company.until(() => company.all.every((partition) => c.ownership.ownerOf(partition) !== undefined), 30_000);
    expect([a, b].map((member) => [...member.held].sort())).toEqual(before);
    expect([a, b].map((member) => member.rebalances.at(-1)?.generation)).toEqual([generation, generation]);
    // The group still changes: it was not only remembered.
    const d = await company.join('d');
    await company.until(() => company.whole(a, b, d) && d.held.size > 0);
  }, 120_000);
});

/** Timers of a process that can be stopped and go on, as by SIGSTOP and SIGCONT. */
class SleepyTimers implements Timers {
  asleep = false;
  private readonly late: (() => void)[] = [];

  after(ms: number, callback: () => void): () => void {
    let cancelled = false;
    const due = (): void => {
      if (!cancelled) callback();
    };
    const cancel = systemTimers.after(ms, () => (this.asleep ? this.late.push(due) : due()));
    return () => {
      cancelled = true;
      cancel();
    };
  }

  wake(): void {
    this.asleep = false;
    for (const due of this.late.splice(0)) due();
  }
}
