/** What a broker (or the way to it) answers instead of what was asked. */
export type GroupFault =
  /** The group is being shared out anew: join again. */
  | 'rebalancing'
  /** The group does not know this member (any more): others may have its partitions. */
  | 'unknown-member'
  | 'old-generation'
  /** The first half of joining: join again under the id that came with it. */
  | 'member-id-required'
  /** Another broker coordinates the group now, or the connection is gone: find out which, and go on as before. */
  | 'coordinator-lost'
  /** The coordinator is there and still reads its books. */
  | 'coordinator-loading'
  /** Configuration or rights: trying again helps only once somebody has mended it. */
  | 'refused';

export class GroupError extends Error {
  override readonly name = 'GroupError';

  constructor(
    readonly fault: GroupFault,
    message: string,
    options?: { cause?: unknown; memberId?: string },
  ) {
    super(message, options);
    this.memberId = options?.memberId;
  }
  /** With `member-id-required`. */
  readonly memberId: string | undefined;
}

export interface JoinedMember {
  readonly memberId: string;
  readonly userData: Uint8Array;
}

export interface JoinAnswer {
  readonly memberId: string;
  readonly generation: number;
  /** Everybody, for the member that leads and has to share out; undefined for the others. */
  readonly members: readonly JoinedMember[] | undefined;
}

export interface MemberShare {
  readonly memberId: string;
  readonly partitions: readonly number[];
  readonly userData: Uint8Array;
}

/**
 * One connection to the coordinator of one group. A broker answers what comes over one connection in order, and holds a `join` back
 * until the whole group has joined: so each group needs a connection of its own, or one group's join would silence another's heartbeats.
 * Every call ends within its time, with `GroupError` if it fails; a failed connection is closed and another one opened.
 */
export interface GroupConnection {
  join(memberId: string, userData: Uint8Array): Promise<JoinAnswer>;
  /** @returns the partitions given to this member, and the user data that came with them */
  sync(memberId: string, generation: number, shares: readonly MemberShare[]): Promise<Omit<MemberShare, 'memberId'>>;
  heartbeat(memberId: string, generation: number): Promise<void>;
  leave(memberId: string): Promise<void>;
  /** Next offsets, for whoever looks how far the group is. */
  commit(memberId: string, generation: number, positions: ReadonlyMap<number, number>): Promise<void>;
  /** The user data that came with every member's share; empty ones while the group is being shared out. */
  shares(): Promise<readonly Uint8Array[]>;
  /** Racks of the partitions' leaders. */
  racks(): Promise<readonly (string | undefined)[]>;
  /** At once, whatever is under way. */
  close(): void;
}
