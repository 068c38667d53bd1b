import type { KafkaConnection } from '#lib/log';
import type { Clock, Ids, Timers } from '#lib/platform';
import type { Ownership, OwnershipEvents } from '../ownership.js';
import type { PartitionWork } from '../postgres-ownership.js';
import { assignPartitions } from './assign-partitions.js';
import type { GroupConnection, JoinedMember, MemberShare } from './group-connection.js';
import { GROUP_TIMING, GroupMember, type GroupTiming } from './group-member.js';
import { GroupObserver } from './group-observer.js';
import { GroupOffsets } from './group-offsets.js';
import { KafkajsGroup } from './kafkajs-group-connection.js';
import { decodeCard, decodeMap, encodeCard, encodeMap, type MemberCard, type OwnersMap } from './user-data.js';

export interface KafkaOwnershipOptions {
  readonly kafka: KafkaConnection;
  readonly topic: string;
  /** Default `engine`. */
  readonly work?: PartitionWork;
  /** Default `<topic>.<work>`. */
  readonly groupId?: string;
  readonly partitions: number;
  readonly timers: Timers;
  readonly clock: Clock;
  readonly ids: Ids;
  /** Only looks who owns what, to forward to them, and takes nothing itself: a process without this role. */
  readonly observer?: boolean;
  readonly timing?: Partial<GroupTiming>;
  /** How often an observer looks, ms (default 500). */
  readonly observeMs?: number;
  /** How often offsets are committed at most, ms (default 5,000). */
  readonly commitMs?: number;
  /** Something failed and is tried again. */
  readonly onProblem?: (what: string, error: unknown) => void;
  /** What an observer had told of is over, after so many ms. */
  readonly onRecovered?: (what: string, ms: number) => void;
  readonly onRebalance?: (rebalance: Rebalance) => void;
  /** Instead of kafkajs, in tests. */
  readonly connect?: () => Promise<GroupConnection>;
}

/** How long a process that stops waits until others have its partitions; a dead member can hold the group up for longer. */
const HAND_OVER_MS = 3_000;

export interface Rebalance {
  readonly generation: number;
  /** Partitions of the whole group that changed hands, or had no owner. */
  readonly moved: number;
  /** From when this member asked to join until it had its share. */
  readonly ms: number;
}

export interface KafkaOwnership extends Ownership {
  /**
   * Tells tools for Kafka how far this process is: the next offset per partition, after the position in Postgres has moved. Rate-limited,
   * never waits, best effort.
   */
  commitLag(positions: ReadonlyMap<number, number>): void;
}

/** Partitions shared between the members of a consumer group; nothing is fetched through it. */
export function createKafkaOwnership(options: KafkaOwnershipOptions): KafkaOwnership {
  return options.observer === true ? new ObservedOwnership(options) : new GroupOwnership(options);
}

function connectTo(options: KafkaOwnershipOptions): () => Promise<GroupConnection> {
  const { kafka, topic, work = 'engine', groupId = `${topic}.${work}`, timers } = options;
  if (options.connect !== undefined) return options.connect;
  const group = new KafkajsGroup({ kafka, topic, groupId, timers, timing: timingOf(options) });
  return () => group.connect();
}

const timingOf = ({ timing }: KafkaOwnershipOptions): GroupTiming => ({ ...GROUP_TIMING, ...timing });

class GroupOwnership implements KafkaOwnership {
  private readonly member: GroupMember;
  private readonly offsets: GroupOffsets;
  private address = '';
  private events: OwnershipEvents | undefined;
  private readonly held = new Set<number>();
  /** Partitions whose release is under way: taken again only after it has ended. */
  private readonly releasing = new Map<number, Promise<void>>();
  private map: OwnersMap | undefined;
  /** What the group gave last, also while it is not held: stays the claim to it. */
  private given: { readonly generation: number; readonly partitions: readonly number[] } = { generation: -1, partitions: [] };
  private leaving = false;
  private stopped = false;
  private unreachable: string | undefined;
  private handing: Promise<void> | undefined;
  private handedOver: (() => void) | undefined;

  constructor(private readonly options: KafkaOwnershipOptions) {
    const { timers, clock, ids } = options;
    this.member = new GroupMember({
      connect: connectTo(options),
      card: () => encodeCard(this.card()),
      share: (members, generation, connection) => this.share(members, generation, connection),
      assigned: (given) => this.assigned(given),
      lost: (why) => this.lost(why),
      timers,
      clock,
      ids,
      timing: timingOf(options),
      ...(options.onProblem === undefined ? {} : { onProblem: options.onProblem }),
    });
    this.offsets = new GroupOffsets({
      commit: (positions) => this.member.commit(positions),
      timers,
      everyMs: options.commitMs ?? 5_000,
    });
  }

  async start(address: string, on: OwnershipEvents): Promise<void> {
    if (this.events !== undefined) throw new Error('Ownership was started already.');
    this.address = address;
    this.events = on;
    await this.member.start();
  }

  ownerOf(partition: number): string | undefined {
    if (this.held.has(partition)) return 'self';
    const owner = this.map?.owners[partition];
    // Our own address without our holding it: an earlier process of the same address, or a share that is not ours any more.
    return owner === this.address ? undefined : owner;
  }

  outage(): string | undefined {
    return this.unreachable;
  }

  commitLag(positions: ReadonlyMap<number, number>): void {
    this.offsets.commitLag(new Map([...positions].filter(([partition]) => this.held.has(partition))));
  }

  /** Asks the group to give everything to the others: nobody waits for an owner meanwhile. */
  handOver(): Promise<void> {
    const alone = this.map === undefined || this.map.owners.every((owner) => owner === undefined || owner === this.address);
    if (this.held.size === 0 || alone || this.stopped) return Promise.resolve();
    this.handing ??= new Promise<void>((resolve) => {
      const cancel = this.options.timers.after(HAND_OVER_MS, resolve);
      this.handedOver = () => {
        cancel();
        resolve();
      };
      this.leaving = true;
      this.member.rejoin();
    });
    return this.handing;
  }

  async stop(): Promise<void> {
    if (this.stopped) return;
    this.offsets.stop();
    await this.handOver();
    this.stopped = true;
    for (const partition of this.held) this.release(partition);
    await Promise.all([this.member.stop(), ...this.releasing.values()]);
  }

  private card(): MemberCard {
    const { address, given, leaving } = this;
    return { address, rack: this.options.kafka.rack, owned: given.partitions, generation: given.generation, leaving };
  }

  /** As the group's leader: everybody's share, and for everybody the whole map. */
  private async share(members: readonly JoinedMember[], generation: number, connection: GroupConnection): Promise<readonly MemberShare[]> {
    const cards = new Map(members.map(({ memberId, userData }) => [memberId, decodeCard(userData)]));
    const staying = [...cards].flatMap(([id, card]) => (card === undefined || card.leaving ? [] : [{ id, ...card }]));
    const strangers = members.filter(({ memberId }) => cards.get(memberId) === undefined);
    if (strangers.length > 0) this.problem(`${strangers.length} members of the group are none of ours and get no partitions`, strangers);
    const racks = staying.some(({ rack }) => rack !== undefined) ? await this.racks(connection) : [];
    const { owners, moved } = assignPartitions({
      partitions: this.options.partitions,
      members: staying,
      rackOf: (partition) => racks[partition],
    });
    const userData = encodeMap({ generation, moved, owners: owners.map((id) => cards.get(id)?.address) });
    return members.map(({ memberId }) => ({
      memberId,
      partitions: owners.flatMap((owner, partition) => (owner === memberId ? [partition] : [])),
      userData,
    }));
  }

  private async racks(connection: GroupConnection): Promise<readonly (string | undefined)[]> {
    try {
      return await connection.racks();
    } catch (error) {
      // Racks save traffic between zones; without them the shares are as fair.
      this.problem('reading the racks of the partitions', error);
      return [];
    }
  }

  private assigned({
    generation,
    partitions,
    userData,
    ms,
  }: Parameters<ConstructorParameters<typeof GroupMember>[0]['assigned']>[0]): void {
    if (this.stopped) return;
    this.unreachable = undefined;
    this.given = { generation, partitions };
    this.map = decodeMap(userData);
    const now = new Set(partitions);
    for (const partition of this.held) if (!now.has(partition)) this.release(partition);
    for (const partition of now) this.take(partition);
    this.options.onRebalance?.({ generation, moved: this.map?.moved ?? 0, ms });
    if (this.leaving && now.size === 0) this.handedOver?.();
  }

  private lost(why: string): void {
    this.unreachable = why;
    if (this.held.size > 0) this.problem('partitions are given up', new Error(why));
    for (const partition of this.held) this.release(partition);
  }

  private take(partition: number): void {
    if (this.held.has(partition)) return;
    const letGo = this.releasing.get(partition);
    if (letGo === undefined) {
      this.held.add(partition);
      this.events?.acquired(partition);
      return;
    }
    void letGo.then(() => {
      if (!this.stopped && this.given.partitions.includes(partition) && !this.held.has(partition)) this.take(partition);
    });
  }

  private release(partition: number): void {
    this.held.delete(partition);
    this.offsets.forget(partition);
    const letGo = (async () => {
      try {
        await this.events?.released(partition);
      } catch (error) {
        this.problem(`giving partition ${partition} up`, error);
      } finally {
        this.releasing.delete(partition);
      }
    })();
    this.releasing.set(partition, letGo);
  }

  private problem(what: string, error: unknown): void {
    this.options.onProblem?.(what, error);
  }
}

/** For processes without this role. */
class ObservedOwnership implements KafkaOwnership {
  private readonly observer: GroupObserver;

  constructor(options: KafkaOwnershipOptions) {
    const { timers, clock, observeMs = 500, onProblem, onRecovered } = options;
    this.observer = new GroupObserver({
      connect: connectTo(options),
      timers,
      clock,
      everyMs: observeMs,
      ...(onProblem === undefined ? {} : { onProblem }),
      ...(onRecovered === undefined ? {} : { onRecovered }),
    });
  }

  start(): Promise<void> {
    return this.observer.start();
  }
  ownerOf(partition: number): string | undefined {
    return this.observer.ownerOf(partition);
  }
  commitLag(): void {}
  stop(): Promise<void> {
    return this.observer.stop();
  }
}
