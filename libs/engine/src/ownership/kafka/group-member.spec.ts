import { CountedIds, HandTime, settled } from '../../testing/hand-time.js';
import { GroupError, type GroupConnection, type GroupFault, type JoinAnswer, type MemberShare } from './group-connection.js';
import { GROUP_TIMING, GroupMember } from './group-member.js';

type Call = 'connect' | 'join' | 'sync' | 'heartbeat' | 'leave' | 'commit';
type Answer = GroupFault | (() => Promise<unknown>);

/** A coordinator that answers as it should, unless a test has written down another answer to the next call of a kind. */
class ScriptedCoordinator {
  readonly calls: string[] = [];
  readonly script: Partial<Record<Call, Answer[]>> = {};
  generation = 0;
  leads = true;
  open = 0;
  /** While set, everything asked fails with it. */
  down: GroupFault | undefined;
  private ids = 0;
  private connections = 0;

  next(call: Call, ...answers: Answer[]): void {
    (this.script[call] ??= []).push(...answers);
  }

  /** The last ones, since the last time it was asked. */
  said(): string[] {
    return this.calls.splice(0);
  }

  readonly connect = async (): Promise<GroupConnection> => {
    const name = ++this.connections;
    await this.told('connect', `connect #${name}`);
    this.open++;
    let open = true;
    return {
      join: async (memberId, card): Promise<JoinAnswer> => {
        await this.told('join', `join ${memberId} ${Buffer.from(card).toString()}`);
        this.generation++;
        const id = memberId === '' ? `m${++this.ids}` : memberId;
        const members = [{ memberId: id, userData: card }];
        return { memberId: id, generation: this.generation, members: this.leads ? members : undefined };
      },
      sync: async (memberId, generation, shares) => {
        await this.told('sync', `sync ${memberId} ${generation} ${shares.map((share) => share.memberId).join()}`);
        return { partitions: [generation], userData: Buffer.alloc(0) };
      },
      heartbeat: (memberId, generation) => this.told('heartbeat', `heartbeat ${memberId} ${generation}`),
      leave: (memberId) => this.told('leave', `leave ${memberId} #${name}`),
      commit: (memberId, generation, positions) => this.told('commit', `commit ${memberId} ${generation} ${[...positions].join(' ')}`),
      shares: async () => [],
      racks: async () => [],
      close: () => {
        if (open) this.open--;
        open = false;
      },
    };
  };

  private async told(call: Call, what: string): Promise<void> {
    this.calls.push(what);
    const answer = this.script[call]?.shift() ?? this.down;
    if (typeof answer === 'function') await answer();
    else if (answer !== undefined) throw new GroupError(answer, answer, { memberId: 'given' });
  }
}

describe('A member of a group', () => {
  let time: HandTime;
  let coordinator: ScriptedCoordinator;
  let member: GroupMember;
  let heard: string[];
  let card: string;

  function create(): GroupMember {
    return new GroupMember({
      connect: coordinator.connect,
      card: () => Buffer.from(card),
      share: async (members): Promise<readonly MemberShare[]> =>
        members.map(({ memberId }) => ({ memberId, partitions: [], userData: Buffer.alloc(0) })),
      assigned: ({ generation }) => heard.push(`given ${generation}`),
      lost: (why) => heard.push(`lost: ${why}`),
      clock: time,
      timers: time,
      ids: new CountedIds(),
      timing: GROUP_TIMING,
      onProblem: (what, error) => heard.push(`problem: ${what}: ${String(error)}`),
    });
  }
  const news = (): string[] => heard.splice(0);
  /** Joined and settled, with everything told so far forgotten. */
  async function settledIn(): Promise<void> {
    await member.start();
    await settled();
    coordinator.said();
    news();
  }
  const parked = (): { answer: () => Promise<void>; end: () => void } => {
    let end = () => {};
    const ended = new Promise<void>((resolve) => (end = resolve));
    return { answer: () => ended, end };
  };

  beforeEach(() => {
    time = new HandTime();
    coordinator = new ScriptedCoordinator();
    heard = [];
    card = 'card';
    member = create();
  });
  afterEach(async () => {
    coordinator.down = undefined;
    await member.stop();
    expect(coordinator.open).toBe(0);
  });

  test('joins, and then says twice a second that it is there, whatever else the process does', async () => {
    await member.start();
    expect(coordinator.said()).toEqual(['connect #1', 'join  card', 'sync m1 1 m1']);
    expect(news()).toEqual(['given 1']);
    await time.pass(2_000);
    expect(coordinator.said()).toEqual(Array.from({ length: 4 }, () => 'heartbeat m1 1'));
    expect(news()).toEqual([]);
  });

  test('shares out only when it leads', async () => {
    coordinator.leads = false;
    await member.start();
    expect(coordinator.said()).toEqual(['connect #1', 'join  card', 'sync m1 1 ']);
  });

  test('joins under the id that the coordinator wants it to have', async () => {
    coordinator.next('join', 'member-id-required');
    await member.start();
    expect(coordinator.said()).toEqual(['connect #1', 'join  card', 'join given card', 'sync given 1 given']);
  });

  test('joins again at once when the group is shared out anew, and keeps what it has until it has its new share', async () => {
    await settledIn();
    const join = parked();
    coordinator.next('heartbeat', 'rebalancing');
    coordinator.next('join', join.answer);
    await time.pass(500);
    expect(coordinator.said()).toEqual(['heartbeat m1 1', 'join m1 card']);
    // The coordinator waits for somebody who does not come.
    await time.pass(10_000);
    expect(news()).toEqual([]);
    join.end();
    await settled();
    expect(news()).toEqual(['given 2']);
  });

  test('does not wait for its new share for ever', async () => {
    await settledIn();
    const join = parked();
    coordinator.next('heartbeat', 'rebalancing');
    coordinator.next('join', join.answer);
    await time.pass(500 + GROUP_TIMING.rebalanceTimeoutMs);
    expect(news()).toEqual(['lost: nothing was heard from the coordinator for a session']);
    join.end();
    await settled();
    expect(news()).toEqual(['given 2']);
  });

  test('joins again when others were faster between its joining and its share', async () => {
    coordinator.next('sync', 'rebalancing');
    await member.start();
    expect(coordinator.said()).toEqual(['connect #1', 'join  card', 'sync m1 1 m1', 'join m1 card', 'sync m1 2 m1']);
  });

  test('gives up what it had at once when the group does not know it any more, and comes back as somebody new', async () => {
    await settledIn();
    coordinator.next('heartbeat', 'unknown-member');
    await time.pass(500);
    expect(coordinator.said()).toEqual(['heartbeat m1 1', 'join  card', 'sync m2 2 m2']);
    expect(news()).toEqual(['lost: the group does not know this member any more', 'given 2']);
  });

  test('joins again under its id when its generation is over', async () => {
    await settledIn();
    coordinator.next('heartbeat', 'old-generation');
    await time.pass(500);
    expect(coordinator.said()).toEqual(['heartbeat m1 1', 'join m1 card', 'sync m1 2 m1']);
    expect(news()).toEqual(['given 2']);
  });

  test('goes on in the same generation when the coordinator has moved or come back: nothing is shared out anew', async () => {
    await settledIn();
    coordinator.next('heartbeat', 'coordinator-lost', 'coordinator-lost', 'coordinator-loading');
    coordinator.next('connect', 'coordinator-lost');
    await time.pass(2_000);
    const said = coordinator.said();
    expect(said.filter((call) => !call.startsWith('heartbeat'))).toEqual(['connect #2', 'connect #3', 'connect #4']);
    expect(said.filter((call) => call === 'heartbeat m1 1').length).toBeGreaterThan(3);
    expect(news().filter((line) => !line.startsWith('problem'))).toEqual([]);
  });

  test('says that it lost everything when nobody hears it for a session, before others can have it, and has it back when the coordinator kept its place', async () => {
    await settledIn();
    coordinator.down = 'coordinator-lost';
    await time.pass(GROUP_TIMING.sessionTimeoutMs - 1);
    expect(news().filter((line) => !line.startsWith('problem'))).toEqual([]);
    await time.pass(1);
    expect(news().filter((line) => !line.startsWith('problem'))).toEqual(['lost: nothing was heard from the coordinator for a session']);
    await time.pass(60_000);
    expect(news().filter((line) => !line.startsWith('problem'))).toEqual([]);
    coordinator.down = undefined;
    await time.pass(5_000);
    expect(news()).toEqual(['given 1']);
    expect(coordinator.said().some((call) => call.startsWith('join'))).toBe(false);
  });

  test('a session begins when the heartbeat was sent, not when its answer came', async () => {
    await settledIn();
    const slow = parked();
    coordinator.next('heartbeat', slow.answer);
    await time.pass(500);
    await time.pass(4_000);
    slow.end();
    await settled();
    coordinator.down = 'coordinator-lost';
    await time.pass(1_999);
    expect(news().filter((line) => line.startsWith('lost'))).toEqual([]);
    await time.pass(1);
    expect(news().filter((line) => line.startsWith('lost'))).toHaveLength(1);
  });

  test.each<GroupFault>(['coordinator-lost', 'coordinator-loading', 'refused', 'rebalancing', 'unknown-member', 'old-generation'])(
    'tries on for ever, but not busily, when all it hears is: %s',
    async (fault) => {
      coordinator.down = fault;
      const started = member.start();
      await time.pass(5_000);
      await started;
      coordinator.said();
      await time.pass(60_000);
      const tries = coordinator.said().length;
      expect(tries).toBeGreaterThan(10);
      expect(tries).toBeLessThan(70);
      coordinator.down = undefined;
      await time.pass(5_000);
      expect(news().at(-1)).toBe('given 1');
    },
  );

  test('tells what is wrong when it is refused', async () => {
    coordinator.next('join', 'refused');
    const started = member.start();
    await settled();
    expect(news()).toEqual(['problem: sharing partitions: GroupError: refused']);
    await time.pass(5_000);
    await started;
    expect(news()).toEqual(['given 1']);
  });

  test('tells the group something new about itself by joining again, also when that comes up during a join', async () => {
    const join = parked();
    coordinator.next('join', join.answer);
    const started = member.start();
    await settled();
    card = 'other card';
    member.rejoin();
    join.end();
    await started;
    await settled();
    expect(coordinator.said()).toEqual(['connect #1', 'join  card', 'sync m1 1 m1', 'join m1 other card', 'sync m1 2 m1']);
    card = 'third card';
    member.rejoin();
    await settled();
    expect(coordinator.said()).toEqual(['join m1 third card', 'sync m1 3 m1']);
  });

  test('leaves when it stops, and is silent from then on', async () => {
    await settledIn();
    await member.stop();
    expect(coordinator.said()).toEqual(['leave m1 #1']);
    await time.pass(60_000);
    expect(coordinator.said()).toEqual([]);
    expect(news()).toEqual([]);
  });

  test('leaves by another connection while a join fills its own', async () => {
    await settledIn();
    coordinator.next('heartbeat', 'rebalancing');
    const join = parked();
    coordinator.next('join', join.answer);
    await time.pass(500);
    coordinator.said();
    const stopped = member.stop();
    await settled();
    expect(coordinator.said()).toEqual(['connect #2', 'leave m1 #2']);
    join.end();
    await stopped;
    expect(news()).toEqual([]);
  });

  test('stops also when nobody can be told', async () => {
    await settledIn();
    coordinator.down = 'coordinator-lost';
    await member.stop();
    expect(news()).toEqual(['problem: leaving the group: GroupError: coordinator-lost']);
  });

  test('commits positions only as a settled member, with its generation', async () => {
    expect(await member.commit(new Map([[0, 7]]))).toBe(false);
    await settledIn();
    expect(await member.commit(new Map([[0, 7]]))).toBe(true);
    expect(coordinator.said()).toEqual(['commit m1 1 0,7']);
    coordinator.next('heartbeat', 'rebalancing');
    const join = parked();
    coordinator.next('join', join.answer);
    await time.pass(500);
    expect(await member.commit(new Map([[0, 8]]))).toBe(false);
    join.end();
    await settled();
  });
});
