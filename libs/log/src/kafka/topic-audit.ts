/** What the brokers say about a topic, as far as the audit needs it. */
export interface TopicFacts {
  readonly name: string;
  /** Bootstrap list for the commands that mend it. */
  readonly brokers: string;
  readonly nodeIds: readonly number[];
  readonly partitions: readonly { readonly partition: number; readonly replicas: readonly number[] }[];
  /** Effective values; `inherited` when the topic has none of its own and the brokers' default holds. */
  readonly settings: ReadonlyMap<string, { readonly value: string; readonly inherited: boolean }>;
}

/** A setting with which acknowledged records can be lost, cannot be written or read, or have no order in time. */
export interface Finding {
  readonly setting: string;
  readonly value: string;
  readonly wanted: string;
  readonly why: string;
  /** Command of Kafka's tools that mends it. */
  readonly fix: string;
}

export interface AuditRules {
  /** Finite retention is meant (the public feed): only "less than this many ms" is a finding. Absent: records stay for ever. */
  readonly retentionMs?: number;
}

export const LEAST_REPLICATION = 3;
export const LEAST_IN_SYNC = 2;
export const LEAST_MESSAGE_BYTES = 1024 * 1024;

/** Everything about a topic that can lose what was acknowledged, worst first. Pure. */
export function auditTopic(facts: TopicFacts, rules: AuditRules = {}): Finding[] {
  const findings: Finding[] = [];
  const replication = Math.min(...facts.partitions.map(({ replicas }) => replicas.length));
  if (replication < LEAST_REPLICATION)
    findings.push({
      setting: 'replication factor',
      value: String(replication),
      wanted: `${LEAST_REPLICATION} or more`,
      why: 'a broker that loses its disk loses records',
      fix: reassignment(facts),
    });
  const finding = (setting: string, wanted: string, good: (value: string) => boolean, why: string, set: string): void => {
    const known = facts.settings.get(setting);
    if (known !== undefined && good(known.value)) return;
    const value = known === undefined ? 'unknown' : `${known.value}${known.inherited ? " (the brokers' default)" : ''}`;
    findings.push({ setting, value, wanted, why, fix: alteration(facts, `${setting}=${set}`) });
  };
  finding(
    'min.insync.replicas',
    `${LEAST_IN_SYNC} or more`,
    (value) => Number(value) >= LEAST_IN_SYNC,
    'a record is acknowledged that only one broker has',
    String(LEAST_IN_SYNC),
  );
  finding(
    'unclean.leader.election.enable',
    'false',
    (value) => value === 'false',
    'a broker that lacks records may become leader',
    'false',
  );
  finding('cleanup.policy', 'delete', (value) => value === 'delete', 'compaction removes records from the middle', 'delete');
  const { retentionMs } = rules;
  finding(
    'retention.ms',
    retentionMs === undefined ? '-1 (for ever)' : `-1 or at least ${retentionMs}`,
    (value) => value === '-1' || (retentionMs !== undefined && Number(value) >= retentionMs),
    'old records are deleted',
    retentionMs === undefined ? '-1' : String(retentionMs),
  );
  finding('retention.bytes', '-1 (no limit)', (value) => value === '-1', 'old records are deleted when there are many', '-1');
  finding(
    'max.message.bytes',
    `${LEAST_MESSAGE_BYTES} or more`,
    (value) => Number(value) >= LEAST_MESSAGE_BYTES,
    'batches are refused that Fabula must be able to write',
    String(LEAST_MESSAGE_BYTES),
  );
  finding(
    'message.timestamp.type',
    'LogAppendTime',
    (value) => value === 'LogAppendTime',
    'the time of a record is the clock of whoever wrote it and may go back',
    'LogAppendTime',
  );
  // Other writers may use codecs that kafkajs cannot read, or a megabyte that unpacks to gigabytes. Nobody here reads the feed.
  if (retentionMs === undefined)
    finding(
      'compression.type',
      'uncompressed',
      (value) => value === 'uncompressed',
      'a batch that somebody else compressed may stop the readers of its partition',
      'uncompressed',
    );
  return findings;
}

/** Settings of a topic that is created here: they hold even when the brokers' defaults are changed later. */
export function safeSettings(brokers: number, rules: AuditRules = {}): { readonly name: string; readonly value: string }[] {
  return [
    { name: 'min.insync.replicas', value: String(brokers >= LEAST_REPLICATION ? LEAST_IN_SYNC : 1) },
    { name: 'unclean.leader.election.enable', value: 'false' },
    { name: 'cleanup.policy', value: 'delete' },
    { name: 'retention.ms', value: String(rules.retentionMs ?? -1) },
    { name: 'retention.bytes', value: '-1' },
    { name: 'max.message.bytes', value: String(LEAST_MESSAGE_BYTES) },
    { name: 'message.timestamp.type', value: 'LogAppendTime' },
    ...(rules.retentionMs === undefined ? [{ name: 'compression.type', value: 'uncompressed' }] : []),
  ];
}

export function describeFindings(topic: string, findings: readonly Finding[]): string {
  const lines = findings.map(({ setting, value, wanted, why, fix }) => `  - ${setting} is ${value}, wanted ${wanted}: ${why}.\n    ${fix}`);
  return `Topic ${topic} can lose what was acknowledged:\n${lines.join('\n')}`;
}

function alteration({ name, brokers }: TopicFacts, setting: string): string {
  return `kafka-configs.sh --bootstrap-server ${brokers} --alter --entity-type topics --entity-name ${name} --add-config ${setting}`;
}

/** Kafka wants the whole plan as a file: each partition keeps its replicas and gets the next brokers. */
function reassignment({ name, brokers, nodeIds, partitions }: TopicFacts): string {
  if (nodeIds.length < LEAST_REPLICATION)
    return `the cluster has ${nodeIds.length === 1 ? 'one broker' : `${nodeIds.length} brokers`}: add brokers until there are ${LEAST_REPLICATION}, then start again for the next command`;
  const plan = partitions.map(({ partition, replicas }) => {
    const others = nodeIds.filter((node) => !replicas.includes(node));
    const missing = Math.max(0, LEAST_REPLICATION - replicas.length);
    const added = Array.from({ length: missing }, (_, index) => others[(partition + index) % others.length] ?? -1);
    return { topic: name, partition, replicas: [...replicas, ...added] };
  });
  const json = JSON.stringify({ version: 1, partitions: plan });
  return `echo '${json}' > replicas.json && kafka-reassign-partitions.sh --bootstrap-server ${brokers} --execute --reassignment-json-file replicas.json`;
}
