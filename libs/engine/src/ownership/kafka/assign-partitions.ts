import { CheapestFlow } from './cheapest-flow.js';

/** One process of the group, as it described itself when it joined. */
export interface Claimant {
  readonly id: string;
  readonly rack?: string | undefined;
  /** What it owned last, and in which generation of the group it was given that. */
  readonly owned: readonly number[];
  readonly generation: number;
}

export interface AssignmentQuestion {
  readonly partitions: number;
  readonly members: readonly Claimant[];
  /** Where the leader of a partition stands, as far as known. */
  readonly rackOf?: (partition: number) => string | undefined;
}

export interface AssignmentAnswer {
  /** Per partition the id of its owner; empty only when there are no members. */
  readonly owners: readonly string[];
  /** Partitions that change hands or had no owner: the fewest that a fair assignment allows. */
  readonly moved: number;
}

/**
 * Shares partitions out: nobody has two more than another; of all such assignments one that moves the fewest partitions; of those one
 * with the most owners in the rack of their partition's leader. Exact, because it is the cheapest flow from partitions to members; the
 * same for the same question, in whatever order the members are listed.
 */
export function assignPartitions({ partitions, members, rackOf = () => undefined }: AssignmentQuestion): AssignmentAnswer {
  const sorted = members.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  if (sorted.length === 0 || partitions === 0) return { owners: [], moved: 0 };
  const claimed = claims(partitions, sorted);
  const owners = new Flow(partitions, sorted, claimed, rackOf).owners();
  return { owners, moved: owners.filter((owner, partition) => owner !== claimed[partition]?.id).length };
}

/** Who is believed to own each partition: the claim of the newest generation. What cannot be a claim is none. */
function claims(partitions: number, members: readonly Claimant[]): readonly (Claimant | undefined)[] {
  const claimed: (Claimant | undefined)[] = Array.from({ length: partitions }, () => undefined);
  for (const member of members) {
    for (const partition of member.owned) {
      if (!Number.isInteger(partition) || partition < 0 || partition >= partitions) continue;
      const other = claimed[partition];
      if (other === undefined || member.generation > other.generation) claimed[partition] = member;
    }
  }
  return claimed;
}

/** Keeping a partition where it is outweighs all racks together. */
const KEPT = -1_000_000;
const NEAR = -1;

interface Kind {
  readonly partitions: number[];
  readonly holder: number;
  readonly rack: string | undefined;
  kept: number;
  toRack: number;
  toAny: number;
}

/**
 * Partitions of one holder and one rack are alike, so they travel together: to their holder (kept), to the hall of their rack, or to the
 * common hall. From the halls members are filled up to the fair share; `partitions % members` of them take one more.
 */
class Flow {
  private readonly flow = new CheapestFlow();
  private readonly kinds: readonly Kind[];
  private readonly fills: { readonly member: number; readonly rack: string | undefined; readonly edge: number }[] = [];

  constructor(
    partitions: number,
    private readonly members: readonly Claimant[],
    claimed: readonly (Claimant | undefined)[],
    rackOf: (partition: number) => string | undefined,
  ) {
    const { flow } = this;
    const [source, sink, hall, more] = [flow.node(), flow.node(), flow.node(), flow.node()] as const;
    const share = Math.floor(partitions / members.length);
    flow.edge(more, sink, partitions % members.length, 0);
    const nodes = members.map((member) => {
      const node = flow.node();
      flow.edge(node, sink, share, 0);
      flow.edge(node, more, 1, 0);
      this.fills.push({ member: this.fills.length, rack: undefined, edge: flow.edge(hall, node, partitions, 0) });
      return { node, rack: member.rack };
    });
    const halls = new Map<string, number>();
    for (const [member, { node, rack }] of nodes.entries()) {
      if (rack === undefined) continue;
      const rackHall = halls.get(rack) ?? flow.node();
      halls.set(rack, rackHall);
      this.fills.push({ member, rack, edge: flow.edge(rackHall, node, partitions, NEAR) });
    }
    this.kinds = kindsOf(claimed, members, rackOf);
    for (const kind of this.kinds) {
      const node = flow.node();
      const count = kind.partitions.length;
      flow.edge(source, node, count, 0);
      const holder = nodes[kind.holder];
      const near = kind.rack !== undefined && holder?.rack === kind.rack;
      if (holder !== undefined) kind.kept = flow.edge(node, holder.node, count, KEPT + (near ? NEAR : 0));
      const rackHall = kind.rack === undefined ? undefined : halls.get(kind.rack);
      if (rackHall !== undefined) kind.toRack = flow.edge(node, rackHall, count, 0);
      kind.toAny = flow.edge(node, hall, count, 0);
    }
    flow.run(source, sink);
  }

  owners(): string[] {
    const owners: string[] = [];
    const waiting = new Map<string | undefined, number[]>();
    for (const { partitions, holder, rack, kept, toRack, toAny } of this.kinds) {
      const rest = [...partitions];
      const take = (edge: number): number[] => (edge < 0 ? [] : rest.splice(0, this.flow.through(edge)));
      for (const partition of take(kept)) owners[partition] = (this.members[holder] as Claimant).id;
      if (toRack >= 0) waiting.set(rack, [...(waiting.get(rack) ?? []), ...take(toRack)]);
      waiting.set(undefined, [...(waiting.get(undefined) ?? []), ...take(toAny)]);
    }
    for (const { member, rack, edge } of this.fills) {
      for (const partition of waiting.get(rack)?.splice(0, this.flow.through(edge)) ?? []) {
        owners[partition] = (this.members[member] as Claimant).id;
      }
    }
    return owners;
  }
}

function kindsOf(
  claimed: readonly (Claimant | undefined)[],
  members: readonly Claimant[],
  rackOf: (partition: number) => string | undefined,
): readonly Kind[] {
  const kinds = new Map<string, Kind>();
  for (const [partition, claimant] of claimed.entries()) {
    const holder = claimant === undefined ? -1 : members.indexOf(claimant);
    const rack = rackOf(partition);
    const key = JSON.stringify([holder, rack]);
    const kind = kinds.get(key) ?? { partitions: [], holder, rack, kept: -1, toRack: -1, toAny: -1 };
    kind.partitions.push(partition);
    kinds.set(key, kind);
  }
  return [...kinds.values()];
}
