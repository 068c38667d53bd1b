import type { BrokerFactory } from './kafkajs-internals.js';
import { METADATA_API, METADATA_VERSION, type TopicMetadata } from './topic-metadata.js';
import { Topology } from './topology.js';

/** Three brokers, each with its own idea of who leads the only partition since when. */
function cluster(ideas: Record<number, { leader: number; leaderEpoch: number }>) {
  const asked: number[] = [];
  const brokers = [1, 2, 3].map((nodeId) => ({ nodeId, host: 'h', port: nodeId }));
  const tell = (port: number): TopicMetadata => {
    asked.push(port);
    const idea = ideas[port] ?? { leader: -1, leaderEpoch: 0 };
    return { brokers, errorCode: 0, topicId: 'id', partitions: [{ errorCode: 0, partition: 0, ...idea, replicas: [], inSync: [] }] };
  };
  const factory = {
    broker: async ({ port }: { port: number } = { port: 1 }) => {
      const connection = {
        host: 'h',
        port,
        isConnected: () => true,
        send: async () => tell(port),
        rejectRequests: () => undefined,
        disconnect: async () => true,
      };
      const connectionPool = { getConnection: async () => connection, pool: [connection] };
      return { versions: { [METADATA_API]: { maxVersion: METADATA_VERSION } }, connect: async () => undefined, connectionPool };
    },
  };
  const topology = new Topology(factory as unknown as BrokerFactory, 't', 1);
  return { topology, asked, ideas };
}

describe('who leads', () => {
  let now = 1_000_000;
  beforeEach(() => void jest.spyOn(Date, 'now').mockImplementation(() => (now += 200)));
  afterEach(() => void jest.restoreAllMocks());

  test('is asked of another broker when one that nobody gets on with tells the same again and again', async () => {
    const old = { leader: 1, leaderEpoch: 4 };
    const { topology, asked } = cluster({ 1: old, 2: { leader: 2, leaderEpoch: 5 }, 3: old });
    await topology.refresh();
    expect(topology.leader(0)).toMatchObject({ nodeId: 1, epoch: 4 });
    for (let tries = 0; tries < 20 && topology.leader(0)?.nodeId === 1; tries++) await topology.refresh();
    expect(topology.leader(0)).toMatchObject({ nodeId: 2, epoch: 5 });
    expect(new Set(asked).size).toBeGreaterThan(1);
    topology.close();
  });

  test('is not unlearnt from a broker that has not heard of the last election', async () => {
    const { topology, ideas } = cluster({});
    const all = (idea: { leader: number; leaderEpoch: number }): void => void Object.assign(ideas, { 1: idea, 2: idea, 3: idea });
    const seen: unknown[] = [];
    for (const idea of [
      { leader: 2, leaderEpoch: 5 },
      { leader: 1, leaderEpoch: 4 },
      { leader: 3, leaderEpoch: 6 },
    ]) {
      all(idea);
      await topology.refresh();
      seen.push(topology.leader(0)?.nodeId);
    }
    expect(seen).toEqual([2, 2, 3]);
    topology.close();
  });
});
