import fc from 'fast-check';
import { assignPartitions, type Claimant } from './assign-partitions.js';

const RACKS = ['a', 'b', 'c', undefined];

/** A group as it may be found: any claims, also the same twice, also outside of the log. */
const group = (most: { partitions: number; members: number }) =>
  fc
    .record({
      partitions: fc.integer({ min: 1, max: most.partitions }),
      members: fc.array(
        fc.record({
          rack: fc.constantFrom(...RACKS),
          owned: fc.uniqueArray(fc.integer({ min: -1, max: most.partitions }), { maxLength: most.partitions }),
          generation: fc.integer({ min: -1, max: 3 }),
        }),
        { minLength: 1, maxLength: most.members },
      ),
      racks: fc.array(fc.constantFrom(...RACKS), { minLength: most.partitions, maxLength: most.partitions }),
    })
    .map(({ partitions, members, racks }) => ({
      partitions,
      members: members.map((member, i): Claimant => ({ id: `m${i}`, ...member })),
      rackOf: (partition: number) => racks[partition],
    }));

/** The rule said again: the newest claim, of equals the first id's. */
function holder(partition: number, members: readonly Claimant[]): string | undefined {
  const claiming = members.filter(({ owned }) => owned.includes(partition));
  return claiming.toSorted((a, b) => b.generation - a.generation || (a.id < b.id ? -1 : 1))[0]?.id;
}

interface Count {
  readonly moved: number;
  readonly near: number;
}
type Question = Parameters<typeof assignPartitions>[0];

function countOf(owners: readonly string[], { members, rackOf }: Question): Count {
  const rack = new Map(members.map((member) => [member.id, member.rack]));
  return {
    moved: owners.filter((owner, partition) => owner !== holder(partition, members)).length,
    near: owners.filter((owner, partition) => rack.get(owner) !== undefined && rack.get(owner) === rackOf?.(partition)).length,
  };
}

const sizes = (owners: readonly string[], members: readonly Claimant[]): number[] =>
  members.map(({ id }) => owners.filter((owner) => owner === id).length);

/** Every fair assignment there is. */
function* fairOnes(partitions: number, members: readonly Claimant[], so: string[] = []): Generator<readonly string[]> {
  if (so.length === partitions) {
    const counts = sizes(so, members);
    if (Math.max(...counts) - Math.min(...counts) <= 1) yield so;
    return;
  }
  for (const { id } of members) yield* fairOnes(partitions, members, [...so, id]);
}

describe('Sharing partitions out', () => {
  test('gives every partition one owner, and nobody two more than another', () => {
    fc.assert(
      fc.property(group({ partitions: 40, members: 12 }), (question) => {
        const { owners } = assignPartitions(question);
        const counts = sizes(owners, question.members);
        expect(owners).toHaveLength(question.partitions);
        expect(counts.reduce((sum, count) => sum + count, 0)).toBe(question.partitions);
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
      }),
    );
  });

  test('moves the fewest partitions of all fair assignments, and of those has the most owners near the leader: tried against all there are', () => {
    fc.assert(
      fc.property(group({ partitions: 6, members: 3 }), (question) => {
        const { owners, moved } = assignPartitions(question);
        const mine = countOf(owners, question);
        expect(moved).toBe(mine.moved);
        let best: Count = { moved: Infinity, near: 0 };
        for (const other of fairOnes(question.partitions, question.members)) {
          const count = countOf(other, question);
          if (count.moved < best.moved || (count.moved === best.moved && count.near > best.near)) best = count;
        }
        expect(mine).toEqual(best);
      }),
      { numRuns: 300 },
    );
  });

  test('moves as few as counting says, also in large groups', () => {
    fc.assert(
      fc.property(group({ partitions: 60, members: 15 }), (question) => {
        const { partitions, members } = question;
        const held = members.map(
          ({ id }) =>
            Array.from({ length: partitions }, (_, partition) => holder(partition, members)).filter((owner) => owner === id).length,
        );
        const share = Math.floor(partitions / members.length);
        // Each keeps up to the share; as many keep one more as there are partitions left over.
        const keptOneMore = Math.min(partitions % members.length, held.filter((count) => count > share).length);
        const kept = held.reduce((sum, count) => sum + Math.min(count, share), 0) + keptOneMore;
        expect(assignPartitions(question).moved).toBe(partitions - kept);
      }),
    );
  });

  test('says the same to the same question, in whatever order the members stand', () => {
    fc.assert(
      fc.property(group({ partitions: 24, members: 8 }), fc.infiniteStream(fc.nat()), (question, draws) => {
        const shuffled = question.members
          .map((member) => ({ member, at: draws.next().value as number }))
          .toSorted((a, b) => a.at - b.at)
          .map(({ member }) => member);
        expect(assignPartitions({ ...question, members: shuffled })).toEqual(assignPartitions(question));
      }),
    );
  });

  test('asked again about its own answer it moves nothing', () => {
    fc.assert(
      fc.property(group({ partitions: 24, members: 8 }), (question) => {
        const { owners } = assignPartitions(question);
        const settled = question.members.map(({ id, rack }) => ({
          id,
          rack,
          owned: owners.flatMap((owner, partition) => (owner === id ? [partition] : [])),
          generation: 7,
        }));
        expect(assignPartitions({ ...question, members: settled })).toEqual({ owners, moved: 0 });
      }),
    );
  });

  test('believes the claim of the newest generation, whoever claims too', () => {
    const claim = (id: string, generation: number) => ({ id, owned: [0, 1], generation });
    expect(assignPartitions({ partitions: 2, members: [claim('zombie', 3), claim('owner', 4)] })).toMatchObject({ moved: 1 });
    // With something for everybody to keep, the newer one keeps it.
    const members = [claim('zombie', 3), claim('owner', 4), { id: 'other', owned: [2, 3], generation: 4 }];
    expect(assignPartitions({ partitions: 6, members }).owners.slice(0, 4)).toEqual(['owner', 'owner', 'other', 'other']);
  });

  test('a group without members owns nothing, and a log without partitions needs no owner', () => {
    expect(assignPartitions({ partitions: 4, members: [] })).toEqual({ owners: [], moved: 0 });
    expect(assignPartitions({ partitions: 0, members: [{ id: 'a', owned: [], generation: 0 }] })).toEqual({ owners: [], moved: 0 });
  });

  test('takes part of a moment for the largest log and a hundred processes', () => {
    const members = Array.from({ length: 100 }, (_, i) => ({
      id: `m${i}`,
      rack: `r${i % 3}`,
      owned: i < 60 ? Array.from({ length: 68 }, (_, j) => i * 68 + j) : [],
      generation: 1,
    }));
    const { owners, moved } = assignPartitions({ partitions: 4_096, members, rackOf: (partition) => `r${(partition * 7) % 3}` });
    expect(moved).toBe(4_096 - 60 * 40 - Math.min(96, 60));
    expect(Math.max(...sizes(owners, members))).toBe(41);
  });
});
