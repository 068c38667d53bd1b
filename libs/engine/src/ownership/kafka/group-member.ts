import type { Clock, Ids, Timers } from '#lib/platform';
import { GroupError, type GroupConnection, type JoinedMember, type MemberShare } from './group-connection.js';

export interface GroupTiming {
  /** Who sends nothing for so long loses its partitions, ms (default 6,000). */
  readonly sessionTimeoutMs: number;
  /** Time between two heartbeats, ms (default 500): how late a rebalance is noticed. */
  readonly heartbeatMs: number;
  /** How long the coordinator waits for members to join again, ms (default 15,000). */
  readonly rebalanceTimeoutMs: number;
}
export const GROUP_TIMING: GroupTiming = { sessionTimeoutMs: 6_000, heartbeatMs: 500, rebalanceTimeoutMs: 15_000 };

export interface GroupMemberOptions {
  /** Finds the coordinator. Rejects with `GroupError`. */
  connect(): Promise<GroupConnection>;
  /** What this member tells the group about itself, asked at every join. */
  card(): Uint8Array;
  /** For the member that leads: everybody's share. */
  share(members: readonly JoinedMember[], generation: number, connection: GroupConnection): Promise<readonly MemberShare[]>;
  /** This member's share from now on; until then it has what it had. */
  assigned(given: {
    readonly generation: number;
    readonly partitions: readonly number[];
    readonly userData: Uint8Array;
    readonly ms: number;
  }): void;
  /** Others may have its partitions. They may come back by `assigned`. */
  lost(why: string): void;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly ids: Ids;
  readonly timing: GroupTiming;
  onProblem?(what: string, error: unknown): void;
}

/** Pauses after failures: from the first, doubling to the last, each with up to as much again by chance. */
const FIRST_PAUSE_MS = 50;
const LAST_PAUSE_MS = 2_000;
/** A group's first coordinator on new brokers takes a moment. */
const START_PATIENCE_MS = 5_000;

/**
 * A member of a consumer group that only shares partitions out and fetches nothing. Its heartbeats are driven by a timer, so no work of
 * this process, however long, costs the membership; only a blocked event loop does, which the coordinator cannot tell from a dead process.
 * What it was given stays with it while the group rebalances, until a new share says otherwise, or the coordinator says that it is no
 * member, or nobody has heard from the coordinator for a session (it may have given the partitions away by then).
 */
export class GroupMember {
  private connection: GroupConnection | undefined;
  private memberId = '';
  /** Set while the group counts on this member. */
  private generation: number | undefined;
  /** The last share, for when the coordinator is heard again in the same generation. */
  private given: Parameters<GroupMemberOptions['assigned']>[0] | undefined;
  private holding = false;
  private joining = false;
  /** What the group was told about this member is out of date. */
  private stale = false;
  private stopped = false;
  private failures = 0;
  private heardAt = 0;
  private cancelWatch: (() => void) | undefined;
  private endWait: (() => void) | undefined;
  private running: Promise<void> = Promise.resolve();
  private joined: () => void = () => {};

  constructor(private readonly options: GroupMemberOptions) {}

  /** Ends when it has joined, or has tried for a while; tries on until `stop`. */
  start(): Promise<void> {
    const joined = new Promise<void>((resolve) => {
      const cancel = this.options.timers.after(START_PATIENCE_MS, resolve);
      this.joined = () => {
        cancel();
        resolve();
      };
    });
    this.running = this.run();
    return joined;
  }

  /** Leaves: the others share out what it had. */
  async stop(): Promise<void> {
    if (this.stopped) return this.running;
    this.stopped = true;
    this.cancelWatch?.();
    this.endWait?.();
    await this.leave();
    this.drop();
    await this.running;
    this.joined();
  }

  /** Joins again although nothing happened, to tell the group something new by `card`. */
  rejoin(): void {
    this.stale = true;
    this.endWait?.();
  }

  /** Best effort, and only while the group is settled. @throws GroupError */
  async commit(positions: ReadonlyMap<number, number>): Promise<boolean> {
    const { connection, generation } = this;
    if (connection === undefined || generation === undefined || this.joining || this.stopped) return false;
    await connection.commit(this.memberId, generation, positions);
    return true;
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      try {
        this.connection ??= await this.connect();
        if (this.generation === undefined || this.stale) await this.join(this.connection);
        else await this.beat(this.connection, this.generation);
        this.failures = 0;
        this.joined();
        if (!this.stale) await this.wait(this.options.timing.heartbeatMs);
      } catch (error) {
        if (this.stopped) return;
        if (this.react(error) === 'later') await this.wait(this.backOff());
      }
    }
  }

  private async connect(): Promise<GroupConnection> {
    const connection = await this.options.connect();
    if (!this.stopped) return connection;
    connection.close();
    throw new GroupError('coordinator-lost', 'the member has stopped');
  }

  private async join(connection: GroupConnection): Promise<void> {
    const { clock, timing } = this.options;
    const begun = clock.now();
    this.joining = true;
    try {
      // The coordinator holds the answer back until all have joined; nothing is given away before.
      if (this.holding) this.watch(timing.rebalanceTimeoutMs);
      this.stale = false;
      const { memberId, generation, members } = await connection.join(this.memberId, this.options.card());
      this.memberId = memberId;
      this.heardAt = clock.now();
      const shares = members === undefined ? [] : await this.options.share(members, generation, connection);
      const { partitions, userData } = await connection.sync(memberId, generation, shares);
      if (this.stopped) return;
      this.generation = generation;
      this.given = { generation, partitions, userData, ms: clock.now() - begun };
    } finally {
      this.joining = false;
    }
    this.heard(clock.now());
    this.holding = true;
    this.options.assigned(this.given);
  }

  private async beat(connection: GroupConnection, generation: number): Promise<void> {
    const at = this.options.clock.now();
    await connection.heartbeat(this.memberId, generation);
    if (this.stopped) return;
    this.heard(at);
    if (this.holding || this.given === undefined || this.generation !== generation) return;
    // The coordinator was away for longer than a session, and has kept our place.
    this.holding = true;
    this.options.assigned(this.given);
  }

  /** What to do about a failure; `later` with a pause before. */
  private react(error: unknown): 'now' | 'later' {
    const { fault, memberId } = error instanceof GroupError ? error : new GroupError('coordinator-lost', String(error), { cause: error });
    if (this.holding) this.watch(this.heardAt + this.options.timing.sessionTimeoutMs - this.options.clock.now());
    const first = this.failures === 0;
    switch (fault) {
      case 'rebalancing':
        this.generation = undefined;
        if (this.holding) this.heard(this.options.clock.now());
        return this.again(first);
      case 'member-id-required':
        this.memberId = memberId ?? '';
        return this.again(first);
      case 'unknown-member':
        this.memberId = '';
        this.generation = undefined;
        this.lose('the group does not know this member any more');
        return this.again(first);
      case 'old-generation':
        // An answer was lost: the group may have gone on with us or without us; joining again tells.
        this.generation = undefined;
        return this.again(first);
      case 'coordinator-lost':
        // With the same generation: a coordinator that comes back, or moves, has kept the group's members.
        this.drop();
        break;
      case 'coordinator-loading':
        break;
      case 'refused':
        this.generation = undefined;
        this.drop();
    }
    this.options.onProblem?.('sharing partitions', error);
    return 'later';
  }

  /** At once the first time; whatever comes again and again is not to become a busy loop. */
  private again(first: boolean): 'now' | 'later' {
    if (!first) return 'later';
    this.failures++;
    return 'now';
  }

  private heard(at: number): void {
    this.heardAt = at;
    this.watch(at + this.options.timing.sessionTimeoutMs - this.options.clock.now());
  }

  /** The broker gives away what it hears nothing about for a session; so does this side, rather a little earlier. */
  private watch(ms: number): void {
    this.cancelWatch?.();
    if (this.stopped) return;
    this.cancelWatch = this.options.timers.after(Math.max(0, ms), () => this.lose('nothing was heard from the coordinator for a session'));
  }

  private lose(why: string): void {
    this.cancelWatch?.();
    if (!this.holding) return;
    this.holding = false;
    this.options.lost(why);
  }

  private async leave(): Promise<void> {
    if (this.memberId === '') return;
    try {
      // A join under way fills the connection until the group has joined: leaving goes by another one.
      const connection = this.joining ? undefined : this.connection;
      if (connection !== undefined) return await connection.leave(this.memberId);
      const other = await this.options.connect();
      await other.leave(this.memberId).finally(() => other.close());
    } catch (error) {
      // Then the session runs out by itself.
      this.options.onProblem?.('leaving the group', error);
    }
  }

  private drop(): void {
    this.connection?.close();
    this.connection = undefined;
  }

  private wait(ms: number): Promise<void> {
    if (this.stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.options.timers.after(ms, resolve);
      this.endWait = () => {
        cancel();
        resolve();
      };
    });
  }

  private backOff(): number {
    const step = Math.min(LAST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(this.failures++, 10));
    return step + (Number.parseInt(this.options.ids.hex(2), 16) % step);
  }
}
