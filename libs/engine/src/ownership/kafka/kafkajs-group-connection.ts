import { BrokerFactory, createKafka, type KafkaConnection, type KafkajsBroker } from '#lib/log';
import type { Timers } from '#lib/platform';
import { GroupError, type GroupConnection, type GroupFault, type JoinAnswer, type MemberShare } from './group-connection.js';
import type { GroupTiming } from './group-member.js';

/** Single requests of kafkajs' broker objects, as of 2.2.4 (src/broker); not part of its public types. */
interface GroupBroker extends KafkajsBroker {
  findGroupCoordinator(request: object): Promise<{ coordinator: { host: string; port: number } }>;
  joinGroup(request: object): Promise<{
    generationId: number;
    leaderId: string;
    memberId: string;
    members: readonly { memberId: string; memberMetadata: Buffer }[];
  }>;
  syncGroup(request: object): Promise<{ memberAssignment: Buffer }>;
  heartbeat(request: object): Promise<unknown>;
  leaveGroup(request: object): Promise<unknown>;
  offsetCommit(request: object): Promise<unknown>;
  describeGroups(request: object): Promise<{ groups: readonly { members: readonly { memberAssignment: Buffer }[] }[] }>;
  metadata(topics: readonly string[]): Promise<{
    brokers: readonly { nodeId: number; rack: string | null }[];
    topicMetadata: readonly { topic: string; partitionMetadata: readonly { partitionId: number; leader: number }[] }[];
  }>;
}

/** The assigner's name: members that list no common one cannot be in one group, so it never changes. */
const PROTOCOL = 'fabula';
const CALL_MS = 2_000;
/** How much longer than the coordinator may take a call waits for its answer. */
const GRACE_MS = 2_000;

export interface KafkaGroup {
  readonly kafka: KafkaConnection;
  readonly topic: string;
  readonly groupId: string;
  readonly timing: GroupTiming;
  readonly timers: Timers;
}

type Protocol = (typeof import('kafkajs'))['AssignerProtocol'];

/** Opens connections to the coordinator of one group, asking one bootstrap broker after the other where it is. */
export class KafkajsGroup {
  private factory: Promise<{ readonly brokers: BrokerFactory; readonly protocol: Protocol }> | undefined;

  constructor(private readonly group: KafkaGroup) {}

  /** @throws GroupError */
  async connect(): Promise<GroupConnection> {
    const { timers, groupId } = this.group;
    this.factory ??= this.load();
    const { brokers, protocol } = await this.factory;
    const opened: GroupBroker[] = [];
    const open = async (at?: { readonly host: string; readonly port: number }): Promise<GroupBroker> => {
      const broker = (await brokers.broker(at)) as GroupBroker;
      opened.push(broker);
      await broker.connect();
      return broker;
    };
    try {
      return await within(timers, 2 * CALL_MS, 'finding the coordinator', async () => {
        const bootstrap = await open();
        const { coordinator } = await bootstrap.findGroupCoordinator({ groupId, coordinatorType: 0 });
        const broker = await open({ host: coordinator.host, port: coordinator.port });
        hangUp(bootstrap);
        return new KafkajsGroupConnection(this.group, broker, protocol);
      });
    } catch (error) {
      opened.forEach(hangUp);
      throw faultOf(error);
    }
  }

  private async load(): Promise<{ readonly brokers: BrokerFactory; readonly protocol: Protocol }> {
    const { AssignerProtocol } = await import('kafkajs');
    return { brokers: new BrokerFactory(await createKafka(this.group.kafka)), protocol: AssignerProtocol };
  }
}

/** At once: kafkajs' own `disconnect` waits until everything asked over a connection is answered. */
function hangUp(broker: KafkajsBroker): void {
  for (const connection of broker.connectionPool.pool) {
    connection.rejectRequests(new Error('the connection was closed'));
    connection.socket?.destroy();
    // Only kafkajs' own books are left to close.
    connection.disconnect().catch(() => undefined);
  }
}

class KafkajsGroupConnection implements GroupConnection {
  private readonly groupId: string;

  constructor(
    private readonly group: KafkaGroup,
    private readonly coordinator: GroupBroker,
    private readonly protocol: Protocol,
  ) {
    this.groupId = group.groupId;
  }

  close(): void {
    hangUp(this.coordinator);
  }

  join(memberId: string, userData: Uint8Array): Promise<JoinAnswer> {
    const { topic, timing } = this.group;
    const metadata = this.protocol.MemberMetadata.encode({ version: 1, topics: [topic], userData: Buffer.from(userData) });
    return this.ask('join', timing.rebalanceTimeoutMs + GRACE_MS, async () => {
      const answer = await this.coordinator.joinGroup({
        groupId: this.groupId,
        memberId,
        sessionTimeout: timing.sessionTimeoutMs,
        rebalanceTimeout: timing.rebalanceTimeoutMs,
        groupProtocols: [{ name: PROTOCOL, metadata }],
      });
      const members = answer.members.map((member) => ({ memberId: member.memberId, userData: this.cardOf(member.memberMetadata) }));
      const leads = answer.leaderId === answer.memberId;
      return { memberId: answer.memberId, generation: answer.generationId, members: leads ? members : undefined };
    });
  }

  sync(memberId: string, generation: number, shares: readonly MemberShare[]): Promise<Omit<MemberShare, 'memberId'>> {
    const { topic, timing } = this.group;
    const groupAssignment = shares.map((share) => ({
      memberId: share.memberId,
      memberAssignment: this.protocol.MemberAssignment.encode({
        version: 1,
        assignment: { [topic]: [...share.partitions] },
        userData: Buffer.from(share.userData),
      }),
    }));
    return this.ask('sync', timing.rebalanceTimeoutMs + GRACE_MS, async () => {
      const { memberAssignment } = await this.coordinator.syncGroup({
        groupId: this.groupId,
        memberId,
        generationId: generation,
        groupAssignment,
      });
      const given = this.protocol.MemberAssignment.decode(memberAssignment);
      return { partitions: given?.assignment[topic] ?? [], userData: given?.userData ?? Buffer.alloc(0) };
    });
  }

  heartbeat(memberId: string, generation: number): Promise<void> {
    return this.ask('heartbeat', CALL_MS, async () => {
      await this.coordinator.heartbeat({ groupId: this.groupId, memberId, groupGenerationId: generation });
    });
  }

  leave(memberId: string): Promise<void> {
    return this.ask('leave', CALL_MS, async () => {
      await this.coordinator.leaveGroup({ groupId: this.groupId, memberId });
    });
  }

  commit(memberId: string, generation: number, positions: ReadonlyMap<number, number>): Promise<void> {
    const partitions = [...positions].map(([partition, offset]) => ({ partition, offset: String(offset) }));
    return this.ask('commit', CALL_MS, async () => {
      await this.coordinator.offsetCommit({
        groupId: this.groupId,
        memberId,
        groupGenerationId: generation,
        topics: [{ topic: this.group.topic, partitions }],
      });
    });
  }

  shares(): Promise<readonly Uint8Array[]> {
    return this.ask('describe', CALL_MS, async () => {
      const { groups } = await this.coordinator.describeGroups({ groupIds: [this.groupId] });
      const shares = groups.flatMap(({ members }) => members.map(({ memberAssignment }) => memberAssignment));
      return shares.map((share) => this.protocol.MemberAssignment.decode(share)?.userData ?? Buffer.alloc(0));
    });
  }

  racks(): Promise<readonly (string | undefined)[]> {
    const { topic } = this.group;
    return this.ask('metadata', CALL_MS, async () => {
      const { brokers, topicMetadata } = await this.coordinator.metadata([topic]);
      const rackOf = new Map(brokers.map(({ nodeId, rack }) => [nodeId, rack ?? undefined]));
      const racks: (string | undefined)[] = [];
      for (const { partitionId, leader } of topicMetadata.find((one) => one.topic === topic)?.partitionMetadata ?? []) {
        racks[partitionId] = rackOf.get(leader);
      }
      return racks;
    });
  }

  private cardOf(metadata: Buffer): Uint8Array {
    try {
      return this.protocol.MemberMetadata.decode(metadata)?.userData ?? Buffer.alloc(0);
    } catch {
      // Not the consumer protocol: a member that is none of ours, and is given nothing.
      return Buffer.alloc(0);
    }
  }

  private async ask<T>(what: string, ms: number, call: () => Promise<T>): Promise<T> {
    try {
      return await within(this.group.timers, ms, what, call);
    } catch (error) {
      throw faultOf(error);
    }
  }
}

function within<T>(timers: Timers, ms: number, what: string, call: () => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = timers.after(ms, () => reject(new GroupError('coordinator-lost', `${what}: no answer within ${ms} ms`)));
    call().then(resolve, reject).finally(cancel);
  });
}

const FAULTS: Readonly<Record<string, GroupFault>> = {
  REBALANCE_IN_PROGRESS: 'rebalancing',
  UNKNOWN_MEMBER_ID: 'unknown-member',
  ILLEGAL_GENERATION: 'old-generation',
  MEMBER_ID_REQUIRED: 'member-id-required',
  GROUP_LOAD_IN_PROGRESS: 'coordinator-loading',
  INCONSISTENT_GROUP_PROTOCOL: 'refused',
  INVALID_GROUP_ID: 'refused',
  INVALID_SESSION_TIMEOUT: 'refused',
  GROUP_AUTHORIZATION_FAILED: 'refused',
  TOPIC_AUTHORIZATION_FAILED: 'refused',
  CLUSTER_AUTHORIZATION_FAILED: 'refused',
  GROUP_MAX_SIZE_REACHED: 'refused',
};

/** The rest (the coordinator moved, the connection broke, no answer in time, login refused) asks for another connection. */
function faultOf(error: unknown): GroupError {
  if (error instanceof GroupError) return error;
  let cause = error;
  // `KafkaJSNumberOfRetriesExceeded` and its like carry what happened.
  for (let depth = 0; depth < 5 && typeof cause === 'object' && cause !== null; depth++) {
    const { type, memberId } = cause as { type?: unknown; memberId?: unknown };
    const fault = typeof type === 'string' ? FAULTS[type] : undefined;
    if (fault !== undefined) {
      return new GroupError(fault, String(error), { cause: error, ...(typeof memberId === 'string' ? { memberId } : {}) });
    }
    cause = (cause as { cause?: unknown }).cause;
  }
  return new GroupError('coordinator-lost', String(error), { cause: error });
}
