import { CountedIds, HandTime, settled } from '../../testing/hand-time.js';
import { GroupError, type GroupConnection, type JoinedMember, type MemberShare } from './group-connection.js';
import { createKafkaOwnership, type KafkaOwnership } from './kafka-ownership.js';
import { decodeMap, encodeCard, encodeMap } from './user-data.js';

const SELF = 'http://self';

/** A group as this process sees it: it leads, and the others are as a test says. */
class Group {
  others: JoinedMember[] = [];
  /** Instead of what the leader shared out. */
  given: readonly number[] | undefined;
  owners: readonly (string | undefined)[] | undefined;
  racks: readonly (string | undefined)[] | Error = [];
  described: Uint8Array[] | Error = [];
  readonly shared: (readonly MemberShare[])[] = [];
  readonly commits: string[] = [];
  heartbeat: (() => Promise<void>) | undefined;
  left = 0;
  looks = 0;
  private generation = 0;

  member(memberId: string, owned: readonly number[] = [], more: { leaving?: boolean; generation?: number; rack?: string } = {}): void {
    const card = encodeCard({ address: `http://${memberId}`, owned, generation: 0, leaving: false, ...more });
    this.others.push({ memberId, userData: card });
  }

  /** Makes the next heartbeat bring everybody together again. */
  rebalance(): void {
    this.heartbeat = async () => {
      this.heartbeat = undefined;
      throw new GroupError('rebalancing', 'join again');
    };
  }

  readonly connect = async (): Promise<GroupConnection> => ({
    join: async (memberId, userData) => ({
      memberId: 'self',
      generation: ++this.generation,
      members: [{ memberId: memberId === '' ? 'self' : memberId, userData }, ...this.others],
    }),
    sync: async (memberId, generation, shares) => {
      this.shared.push(shares);
      const mine = shares.find((share) => share.memberId === memberId);
      const partitions = this.given ?? mine?.partitions ?? [];
      const userData =
        this.owners === undefined ? (mine?.userData ?? Buffer.alloc(0)) : encodeMap({ generation, moved: 0, owners: this.owners });
      return { partitions, userData };
    },
    heartbeat: async () => this.heartbeat?.(),
    leave: async () => void this.left++,
    commit: async (_memberId, generation, positions) => void this.commits.push(`${generation}: ${[...positions].join(' ')}`),
    shares: async () => {
      this.looks++;
      if (this.described instanceof Error) throw this.described;
      return this.described;
    },
    racks: async () => {
      if (this.racks instanceof Error) throw this.racks;
      return this.racks;
    },
    close: () => {},
  });
}

describe('Ownership through a group', () => {
  let time: HandTime;
  let group: Group;
  let ownership: KafkaOwnership;
  let news: string[];
  let released: (partition: number) => void | Promise<void>;

  function create(more: { observer?: boolean; rack?: string; partitions?: number } = {}): KafkaOwnership {
    return createKafkaOwnership({
      kafka: { brokers: [], clientId: 'test', ...(more.rack === undefined ? {} : { rack: more.rack }) },
      topic: 'topic',
      partitions: more.partitions ?? 4,
      timers: time,
      clock: time,
      ids: new CountedIds(),
      connect: group.connect,
      onProblem: (what, error) => news.push(`problem: ${what}: ${String(error)}`),
      onRecovered: (what, ms) => news.push(`over after ${ms} ms: ${what}`),
      ...(more.observer === undefined ? {} : { observer: more.observer }),
    });
  }
  const start = (of: KafkaOwnership): Promise<void> =>
    of.start(SELF, {
      acquired: (partition) => news.push(`+${partition}`),
      released: async (partition) => {
        await released(partition);
        news.push(`-${partition}`);
      },
    });
  const said = (): string => news.splice(0).join(' ');
  const owners = (): (string | undefined)[] => [0, 1, 2, 3].map((partition) => ownership.ownerOf(partition));

  beforeEach(() => {
    time = new HandTime();
    group = new Group();
    news = [];
    released = () => {};
    ownership = create();
  });
  afterEach(async () => {
    const stopped = ownership.stop();
    await time.pass(10_000);
    await stopped;
  });

  test('every member is given the whole map, whoever shared out', async () => {
    group.member('b', [2, 3]);
    await start(ownership);
    expect(said()).toBe('+0 +1');
    expect(owners()).toEqual(['self', 'self', 'http://b', 'http://b']);
    const maps = group.shared[0]?.map(({ memberId, partitions, userData }) => [memberId, partitions, decodeMap(userData)]);
    const map = { generation: 1, moved: 2, owners: [SELF, SELF, 'http://b', 'http://b'] };
    expect(maps).toEqual([
      ['self', [0, 1], map],
      ['b', [2, 3], map],
    ]);
  });

  test('a member that is none of ours is told apart, gets nothing and stops nobody', async () => {
    group.others.push({ memberId: 'stranger', userData: Buffer.from('consumer') });
    await start(ownership);
    expect(news.splice(0, 1)[0]).toMatch(/^problem: 1 members of the group are none of ours/);
    expect(said()).toBe('+0 +1 +2 +3');
  });

  test('prefers owners in the rack of the leader, and does without racks when they cannot be read', async () => {
    ownership = create({ rack: 'here' });
    group.member('b', [], { rack: 'there' });
    group.racks = ['there', 'here', 'there', 'here'];
    await start(ownership);
    expect(said()).toBe('+1 +3');
    group.racks = new Error('not now');
    group.rebalance();
    await time.pass(500);
    expect(said()).toBe('problem: reading the racks of the partitions: Error: not now');
    expect(owners()).toEqual(['http://b', 'self', 'http://b', 'self']);
  });

  test('an earlier process of the same address is nobody to send commands to', async () => {
    group.given = [0];
    group.owners = [SELF, SELF, 'http://b', undefined];
    await start(ownership);
    expect(owners()).toEqual(['self', undefined, 'http://b', undefined]);
  });

  test('what it loses and gets again is taken only when it has let go of it', async () => {
    let letGo = (): void => {};
    released = () => new Promise((resolve) => (letGo = resolve));
    group.given = [0, 1];
    await start(ownership);
    said();
    group.given = [0];
    group.rebalance();
    await time.pass(500);
    expect(owners()[1]).toBeUndefined();
    group.given = [0, 1];
    group.rebalance();
    await time.pass(500);
    expect(said()).toBe('');
    released = () => {};
    letGo();
    await settled();
    expect(said()).toBe('-1 +1');
    expect(owners()[1]).toBe('self');
  });

  test('what it lost again meanwhile is not taken when it has let go of it', async () => {
    let letGo = (): void => {};
    released = () => new Promise((resolve) => (letGo = resolve));
    group.given = [0, 1];
    await start(ownership);
    said();
    for (const given of [[0], [0, 1], [0]]) {
      group.given = given;
      group.rebalance();
      await time.pass(500);
    }
    released = () => {};
    letGo();
    await settled();
    expect(said()).toBe('-1');
  });

  test('a partition that cannot be let go of is told, and holds nothing up', async () => {
    released = () => Promise.reject(new Error('stuck'));
    await start(ownership);
    said();
    group.given = [];
    group.rebalance();
    await time.pass(500);
    expect(said()).toContain('problem: giving partition 3 up: Error: stuck');
    expect(owners()).toEqual([SELF, SELF, SELF, SELF].map(() => undefined));
  });

  test('tells while the group cannot be reached why nobody owns anything', async () => {
    await start(ownership);
    expect(ownership.outage?.()).toBeUndefined();
    group.heartbeat = () => Promise.reject(new GroupError('coordinator-lost', 'the brokers are silent'));
    await time.pass(7_000);
    expect(owners()).toEqual([undefined, undefined, undefined, undefined]);
    expect(ownership.outage?.()).toMatch(/./);
    group.heartbeat = undefined;
    await time.pass(5_000);
    expect(owners()).toEqual(['self', 'self', 'self', 'self']);
    expect(ownership.outage?.()).toBeUndefined();
  });

  test('claims what it had after it was put out, so that nothing moves that need not', async () => {
    group.member('b');
    // Not what it would be given if nobody claimed anything.
    group.given = [0, 1];
    await start(ownership);
    expect(said()).toBe('+0 +1');
    group.given = undefined;
    group.heartbeat = async () => {
      group.heartbeat = undefined;
      throw new GroupError('unknown-member', 'put out');
    };
    await time.pass(500);
    expect(said()).toMatch(/-0 -1 \+0 \+1$/);
    expect(decodeMap(group.shared.at(-1)?.[0]?.userData ?? Buffer.alloc(0))).toMatchObject({
      moved: 2,
      owners: [SELF, SELF, 'http://b', 'http://b'],
    });
  });

  test('who leaves hands over first: the others are given its partitions while it still writes them', async () => {
    group.member('b', [2, 3]);
    await start(ownership);
    said();
    const before = group.left;
    const stopped = ownership.stop();
    await settled();
    expect(group.shared.at(-1)?.map(({ memberId, partitions }) => [memberId, partitions])).toEqual([
      ['self', []],
      ['b', [0, 1, 2, 3]],
    ]);
    await stopped;
    expect(said()).toBe('-0 -1');
    expect(group.left).toBe(before + 1);
  });

  test('who leaves does not wait for a group that does not come together', async () => {
    group.member('b', [2, 3]);
    await start(ownership);
    said();
    group.given = [0, 1];
    const stopped = ownership.stop();
    await time.pass(2_999);
    expect(said()).toBe('');
    await time.pass(1);
    await stopped;
    expect(said()).toBe('-0 -1');
  });

  test('who leaves last waits for nobody', async () => {
    await start(ownership);
    said();
    await ownership.stop();
    expect(said()).toBe('-0 -1 -2 -3');
    expect(group.shared).toHaveLength(1);
  });

  test('commits the newest positions of what it holds, at most every five seconds, and forgets those of others', async () => {
    group.member('b', [2, 3]);
    await start(ownership);
    for (const next of [5, 6, 7]) ownership.commitLag(new Map([[0, next]]));
    ownership.commitLag(
      new Map([
        [1, 9],
        [2, 99],
      ]),
    );
    await time.pass(4_999);
    expect(group.commits).toEqual([]);
    await time.pass(1);
    expect(group.commits).toEqual(['1: 0,7 1,9']);
    ownership.commitLag(new Map([[0, 8]]));
    ownership.commitLag(new Map([[1, 10]]));
    group.given = [1];
    group.rebalance();
    await time.pass(5_000);
    expect(group.commits.slice(1)).toEqual(['2: 1,10']);
  });

  test('an observer looks again soon when somebody misses an owner, keeps its map while the group rebalances, and survives not seeing it', async () => {
    ownership = create({ observer: true });
    await start(ownership);
    expect(owners()).toEqual([undefined, undefined, undefined, undefined]);
    group.described = [
      encodeMap({ generation: 3, moved: 0, owners: ['http://old', 'http://old'] }),
      encodeMap({ generation: 4, moved: 0, owners: ['http://a', 'http://b', 'http://a', 'http://b'] }),
      Buffer.from('stranger'),
    ];
    // Asked four times, and the next look is due in half a second.
    await time.pass(50);
    expect(group.looks).toBe(2);
    expect(owners()).toEqual(['http://a', 'http://b', 'http://a', 'http://b']);
    group.described = [Buffer.alloc(0), Buffer.alloc(0)];
    await time.pass(500);
    group.described = new Error('away');
    await time.pass(500);
    expect(said()).toBe('problem: looking who owns partitions: Error: away');
    expect(owners()).toEqual(['http://a', 'http://b', 'http://a', 'http://b']);
    group.described = [encodeMap({ generation: 1, moved: 0, owners: ['http://c'] })];
    await time.pass(500);
    expect(ownership.ownerOf(0)).toBe('http://c');
    group.described = [];
    await time.pass(500);
    expect(ownership.ownerOf(0)).toBeUndefined();
    expect(group.shared).toEqual([]);
  });

  test('an observer that sees nothing says so at first, then once a minute, and when it sees again', async () => {
    ownership = create({ observer: true });
    await start(ownership);
    group.described = new Error('no broker');
    const before = group.looks;
    await time.pass(59_000);
    expect(group.looks - before).toBeGreaterThan(100);
    expect(said()).toBe('problem: looking who owns partitions: Error: no broker');
    await time.pass(60_000);
    expect(said()).toBe('problem: looking who owns partitions: Error: no broker');
    group.described = [encodeMap({ generation: 1, moved: 0, owners: ['http://c'] })];
    await time.pass(1_000);
    expect(said()).toMatch(/^over after 119\d\d\d ms: looking who owns partitions$/);
    await time.pass(5_000);
    group.described = new Error('again');
    await time.pass(500);
    expect(said()).toBe('problem: looking who owns partitions: Error: again');
  });
});
