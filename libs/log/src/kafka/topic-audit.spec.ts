import { auditTopic, describeFindings, safeSettings, type TopicFacts } from './topic-audit.js';

const facts = (changes: Record<string, string> = {}, more: Partial<TopicFacts> = {}): TopicFacts => ({
  name: 'fabula.decisions',
  brokers: 'a:9092,b:9092',
  nodeIds: [1, 2, 3],
  partitions: [
    { partition: 0, replicas: [1, 2, 3] },
    { partition: 1, replicas: [2, 3, 1] },
  ],
  settings: new Map(
    [...safeSettings(3).map(({ name, value }) => [name, value] as const), ...Object.entries(changes)].map(([name, value]) => [
      name,
      { value, inherited: false },
    ]),
  ),
  ...more,
});

describe('the audit of a topic', () => {
  test('finds nothing in what Fabula creates on three brokers', () => {
    expect(auditTopic(facts())).toEqual([]);
  });

  test.each([
    ['min.insync.replicas', '1', 'min.insync.replicas=2'],
    ['unclean.leader.election.enable', 'true', 'unclean.leader.election.enable=false'],
    ['cleanup.policy', 'compact', 'cleanup.policy=delete'],
    ['cleanup.policy', 'compact,delete', 'cleanup.policy=delete'],
    ['retention.ms', '604800000', 'retention.ms=-1'],
    ['retention.bytes', '1073741824', 'retention.bytes=-1'],
    ['max.message.bytes', '524288', 'max.message.bytes=1048576'],
    ['message.timestamp.type', 'CreateTime', 'message.timestamp.type=LogAppendTime'],
    ['compression.type', 'producer', 'compression.type=uncompressed'],
  ])('refuses %s=%s and gives the command that mends it', (setting, value, set) => {
    const findings = auditTopic(facts({ [setting]: value }));
    expect(findings).toHaveLength(1);
    expect(findings[0]).toMatchObject({ setting, value });
    expect(findings[0]?.fix).toBe(
      `kafka-configs.sh --bootstrap-server a:9092,b:9092 --alter --entity-type topics --entity-name fabula.decisions --add-config ${set}`,
    );
  });

  test('says when an unsafe value is the default of the brokers, and finds a setting that nobody told', () => {
    const settings = new Map(facts().settings);
    settings.set('retention.ms', { value: '604800000', inherited: true });
    settings.delete('cleanup.policy');
    const text = describeFindings('fabula.decisions', auditTopic(facts({}, { settings })));
    expect(text).toContain("retention.ms is 604800000 (the brokers' default), wanted -1");
    expect(text).toContain('cleanup.policy is unknown, wanted delete');
  });

  test('mends too few replicas with a plan that keeps those there are', () => {
    const partitions = [
      { partition: 0, replicas: [1] },
      { partition: 1, replicas: [3, 2] },
    ];
    const [finding] = auditTopic(facts({}, { partitions }));
    expect(finding).toMatchObject({ setting: 'replication factor', value: '1' });
    const plan = JSON.parse(/'(\{.*\})'/.exec(finding?.fix ?? '')?.[1] ?? '') as { partitions: { replicas: number[] }[] };
    for (const { replicas } of plan.partitions) expect([...replicas].sort()).toEqual([1, 2, 3]);
    expect(plan.partitions[0]?.replicas[0]).toBe(1);
    expect(plan.partitions[1]?.replicas.slice(0, 2)).toEqual([3, 2]);
    expect(finding?.fix).toContain('kafka-reassign-partitions.sh --bootstrap-server a:9092,b:9092 --execute');
  });

  test('says that brokers are missing where three replicas have no place', () => {
    const partitions = [{ partition: 0, replicas: [1] }];
    const [finding] = auditTopic(facts({}, { partitions, nodeIds: [1] }));
    expect(finding?.fix).toMatch(/one broker: add brokers until there are 3/);
  });

  test('lets the public feed forget, but not earlier than was meant', () => {
    expect(auditTopic(facts({ 'retention.ms': '1000' }), { retentionMs: 1000 })).toEqual([]);
    expect(auditTopic(facts({ 'retention.ms': '-1' }), { retentionMs: 1000 })).toEqual([]);
    expect(auditTopic(facts({ 'retention.ms': '999' }), { retentionMs: 1000 })[0]?.fix).toContain('retention.ms=1000');
    expect(auditTopic(facts({ 'retention.ms': '1000', 'compression.type': 'zstd' }), { retentionMs: 1000 })).toEqual([]);
  });
});
