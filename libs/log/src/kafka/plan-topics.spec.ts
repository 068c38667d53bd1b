import * as fc from 'fast-check';
import { planTopics } from './plan-topics.js';

const load = fc.record({ readers: fc.integer({ min: 1, max: 100_000_000 }), turnsPerSecond: fc.integer({ min: 1, max: 100_000 }) });

describe('the plan of the topics', () => {
  test('for a small installation is three brokers, twelve partitions and a process to spare', () => {
    const plan = planTopics({ readers: 1_000, turnsPerSecond: 50 });
    expect(plan).toMatchObject({ processes: 2, brokers: 3, topic: { partitions: 12, replication: 3, minInSync: 2 } });
    // 50 turns of 970 bytes, three copies, 86,400 seconds
    expect(plan.diskPerDay.total).toBe(50 * 970 * 3 * 86_400);
    expect(plan.diskPerDay.perBroker).toBe((50 * 970 * 3 * 86_400) / 3);
  });

  test('for a hundred thousand turns a second is many of each, and says why', () => {
    const plan = planTopics({ readers: 2_000_000, turnsPerSecond: 100_000 });
    expect(plan).toMatchObject({ processes: 101, brokers: 21, topic: { partitions: 1_536 } });
    expect(plan.because.join()).toMatch(/1536 partitions: at least 4 for each of 201 processes.*21 brokers/s);
  });

  test('counts the readers too, and the size of a record', () => {
    expect(planTopics({ readers: 1_000_000, turnsPerSecond: 10 }).processes).toBe(21);
    const [usual, large] = [900, 9_000].map((recordBytes) => planTopics({ readers: 1, turnsPerSecond: 5_000, recordBytes }));
    expect(large?.brokers).toBeGreaterThan(usual?.brokers ?? 0);
  });

  test('never shrinks when the load grows, and always divides evenly by 2, 3, 4 and 6', () => {
    fc.assert(
      fc.property(load, load, (one, other) => {
        const more = { readers: one.readers + other.readers, turnsPerSecond: one.turnsPerSecond + other.turnsPerSecond };
        const [before, after] = [planTopics(one), planTopics(more)];
        expect(after.topic.partitions).toBeGreaterThanOrEqual(before.topic.partitions);
        expect(after.brokers).toBeGreaterThanOrEqual(before.brokers);
        expect(after.processes).toBeGreaterThanOrEqual(before.processes);
        expect(before.topic.partitions % 12).toBe(0);
        expect(before.topic.partitions).toBeGreaterThanOrEqual(4 * before.processes);
      }),
    );
  });
});
