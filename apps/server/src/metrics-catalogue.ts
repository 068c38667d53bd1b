/** Every metric of Fabula's own: what is registered, and what docs/reference/metrics.md says, come from here. */
export interface MetricEntry {
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly labels: readonly string[];
  readonly help: string;
  /** What an operator reads from it. */
  readonly reading: string;
}

export const METRICS = {
  fabula_commands_total: {
    kind: 'counter',
    labels: ['command', 'outcome'],
    help: 'Commands by what became of them',
    reading: '`accepted`, `duplicate`, or the code of the refusal; `failed` is a defect',
  },
  fabula_command_seconds: {
    kind: 'histogram',
    labels: ['command'],
    help: 'Time from a command to its verdict',
    reading: 'what a reader waits for; forwarding to the owner of the partition is in it',
  },
  fabula_engine_total: {
    kind: 'counter',
    labels: ['what'],
    help: 'What happened in the partition writers',
    reading:
      '`conflict` (another writer was there), `append_unknown`, `read_back_failed`, `cold_load_failed`, `position_unknown`, `sweep_failed`, `time_out_failed`: all survived, none should go on rising',
  },
  fabula_append_batch_records: {
    kind: 'histogram',
    labels: [],
    help: 'Records per append',
    reading: 'grows with the load: that is group commit at work',
  },
  fabula_append_seconds: {
    kind: 'histogram',
    labels: ['outcome'],
    help: 'Time that one try to append a batch took',
    reading:
      '`stored`; `unavailable` (nothing left this process), `unknown` (sent again, the same bytes, until a verdict is read), `refused` (never taken)',
  },
  fabula_breaker_state: {
    kind: 'gauge',
    labels: ['partition'],
    help: 'Circuit breaker of a partition: 0 closed, 1 half open, 2 open',
    reading: 'not 0: the log takes nothing there, and commands are `LOG_UNAVAILABLE` at once',
  },
  fabula_busy_stream_commands: {
    kind: 'gauge',
    labels: ['stream'],
    help: 'Commands in the last minute of the busiest streams of this process',
    reading:
      'at most five, each with 60 or more; refused commands are counted. A stream that takes its share of a queue is `RATE_LIMITED` alone',
  },
  fabula_rebalances_total: {
    kind: 'counter',
    labels: ['group'],
    help: 'Times that the partitions of a role were shared out anew, as this process saw it',
    reading: 'each costs its partitions a moment; when it keeps rising, processes come and go, or cannot keep up their heartbeats',
  },
  fabula_log_partitions: {
    kind: 'gauge',
    labels: [],
    help: 'Partitions of the log',
    reading: 'never changes',
  },
  fabula_owned_partitions: {
    kind: 'gauge',
    labels: ['role'],
    help: 'Partitions that this process has in a role: engine, projector, auditor, publisher',
    reading: 'summed over all processes they are `fabula_log_partitions`; less: somebody is missing',
  },
  fabula_log_end_offset: {
    kind: 'gauge',
    labels: ['partition'],
    help: 'Offset that the next record of a partition will get',
    reading: 'its rate is the rate of records; take the largest over processes',
  },
  fabula_projected_records_total: {
    kind: 'counter',
    labels: ['verdict'],
    help: 'Records that the projector of this process folded, by verdict',
    reading:
      '`accepted` took effect; `duplicate` and `conflict` come from retries and from two writers; `reused` and `invalid` should not occur',
  },
  fabula_alarms_total: {
    kind: 'counter',
    labels: [],
    help: 'Things an operator must look at; the log says what',
    reading: 'alert on any increase',
  },
  fabula_subscriptions: {
    kind: 'gauge',
    labels: [],
    help: 'Playthroughs that readers follow here now',
    reading: 'open GraphQL subscriptions',
  },
  fabula_pending_commands: {
    kind: 'gauge',
    labels: ['partition'],
    help: 'Commands that wait for their verdict',
    reading: 'near `FABULA_QUEUE_LIMIT`, callers get `OVERLOADED`',
  },
  fabula_hot_streams: {
    kind: 'gauge',
    labels: ['partition'],
    help: 'Streams that the partition writer holds in memory',
    reading: 'the working set',
  },
  fabula_hot_bytes: {
    kind: 'gauge',
    labels: ['partition'],
    help: 'Bytes of the streams in memory, as estimated for their cap',
    reading: 'at its share of `FABULA_HOT_BYTES` the least used streams go',
  },
  fabula_tail_bytes: {
    kind: 'gauge',
    labels: ['partition'],
    help: 'Bytes of records that the projector has not folded yet, held for cold loads',
    reading: 'at its share of `FABULA_TAIL_BYTES` cold playthroughs get `OVERLOADED`: the projector is too far behind',
  },
  fabula_projector_next_offset: {
    kind: 'gauge',
    labels: ['partition'],
    help: 'Offset that the projector of this process takes next',
    reading: 'stands still while `fabula_projector_lag_records` is above 0: look at the log output',
  },
  fabula_projector_lag_records: {
    kind: 'gauge',
    labels: ['partition'],
    help: 'Records between the position of the projector and the end of the log',
    reading: 'how far the read models are behind; alert when it keeps rising',
  },
  fabula_projector_lag_seconds: {
    kind: 'gauge',
    labels: ['partition'],
    help: 'Age of the oldest record that the projector has not folded; 0 when none waits',
    reading: 'how late the read models are; at least so much while the log does not show that record',
  },
  fabula_auditor_next_offset: {
    kind: 'gauge',
    labels: ['partition'],
    help: 'Offset that the auditor of this process takes next',
    reading: 'stands still while `fabula_auditor_lag_records` is above 0: `GET /audit/logs` says why',
  },
  fabula_auditor_lag_records: {
    kind: 'gauge',
    labels: ['partition'],
    help: 'Records between the position of the auditor and the end of the log',
    reading: 'commands do not wait for it; alert when it keeps rising',
  },
  fabula_auditor_lag_seconds: {
    kind: 'gauge',
    labels: ['partition'],
    help: 'Age of the oldest record that the auditor has not put into its tree; 0 when none waits',
    reading: 'how late the evidence is; at least so much while the log does not show that record',
  },
  fabula_auditor_stopped: {
    kind: 'gauge',
    labels: ['partition'],
    help: '1 when the auditor has stopped and a person must look, else 0',
    reading: 'alert on 1; `GET /audit/logs` names the command that mends it',
  },
  fabula_publisher_next_offset: {
    kind: 'gauge',
    labels: ['partition'],
    help: 'Offset that the publisher of this process takes next',
    reading: 'stands still while `fabula_publisher_lag_records` is above 0: `GET /admin/feed` says why. None without `KAFKA_BROKERS`',
  },
  fabula_publisher_lag_records: {
    kind: 'gauge',
    labels: ['partition'],
    help: 'Records between the position of the publisher and the end of the log',
    reading: 'how far the public feed is behind; it goes no further than the auditor. Alert when it keeps rising',
  },
  fabula_publisher_lag_seconds: {
    kind: 'gauge',
    labels: ['partition'],
    help: 'Age of the oldest record that the publisher has not published; 0 when none waits',
    reading: 'how late the public feed is; at least so much while the log does not show that record',
  },
  fabula_publisher_stopped: {
    kind: 'gauge',
    labels: ['partition'],
    help: '1 when the publisher has stopped because its position is not of this log, else 0',
    reading: 'alert on 1; `fabula feed reset` says from where to go on',
  },
  fabula_audit_note_age_seconds: {
    kind: 'gauge',
    labels: ['tree'],
    help: 'Age of the newest signed note of a tree, as the notary of this process knows it',
    reading: 'grows while nothing happens in the tree; alert when it grows while `fabula_commands_total` does',
  },
  fabula_witness_cosignature_age_seconds: {
    kind: 'gauge',
    labels: ['witness'],
    help: "Age of each witness's newest cosignature of the root tree, as this process knows it",
    reading: 'at most about five minutes; a witness that never cosigned has none',
  },
  fabula_witness_quorum: {
    kind: 'gauge',
    labels: [],
    help: 'Whether the cosignatures of the last fifteen minutes make the quorum of the policy',
    reading: '0: too few witnesses answer; none without `FABULA_AUDIT_POLICY`',
  },
  fabula_audit_forks: {
    kind: 'gauge',
    labels: [],
    help: 'Contradictions between this audit and what witnesses cosigned',
    reading: 'must be 0; `GET /audit/forks` has both notes and the proof',
  },
  fabula_audit_copies_failing: {
    kind: 'gauge',
    labels: [],
    help: 'Whether signed notes cannot be copied to `FABULA_AUDIT_NOTES_DIR`',
    reading: '1: the mount is missing or full; caught up with later',
  },
  fabula_audit_timestamp_age_seconds: {
    kind: 'gauge',
    labels: [],
    help: 'Age of the newest timestamp (RFC 3161) on the root tree',
    reading: 'below twice `FABULA_TSA_INTERVAL_MS`',
  },
  fabula_missing_contents: {
    kind: 'gauge',
    labels: [],
    help: 'Story versions that records speak of and whose content is not in the database',
    reading: 'alert above 0: primary data was lost, or somebody else wrote into the log',
  },
  fabula_parked_streams: {
    kind: 'gauge',
    labels: [],
    help: 'Streams held back because one of their records cannot be applied',
    reading: 'alert above 0; `fabula projection parked` lists them',
  },
  fabula_dead_letters: {
    kind: 'gauge',
    labels: ['kind', 'status'],
    help: 'Records that could not be used, by what became of them',
    reading: 'alert on `open` above 0; `fabula log dead-letters list` shows them',
  },
  fabula_dead_letters_total: {
    kind: 'counter',
    labels: ['kind'],
    help: 'Records that could not be used, as the projector of this process met them',
    reading: '`unknown-envelope` stops a partition; a rise means that something writes to the log that should not',
  },
  fabula_drift_total: {
    kind: 'counter',
    labels: ['what', 'type'],
    help: 'What accepted records hold beyond the schemas of this build: `unknown_field`, `unknown_header`, `unknown_type`, `unknown_version`',
    reading: 'rises while a newer version writes, or something else than Fabula; `type` is the event type, `record` or `other`',
  },
  fabula_compliance_actions: {
    kind: 'gauge',
    labels: ['stage'],
    help: 'Open actions of two persons: `proposed`, `approved`, `begun`',
    reading: '`begun` for long: it cannot be carried out; `fabula compliance actions` says why',
  },
  fabula_compliance_holds: {
    kind: 'gauge',
    labels: [],
    help: 'Legal holds that stand',
    reading: 'at most 500',
  },
  fabula_break_glass_open: {
    kind: 'gauge',
    labels: [],
    help: 'Persons who may read bodies just now, which their role alone does not let them',
    reading: 'alert above 0; `fabula compliance break-glass` says who and why',
  },
  fabula_database_connections: {
    kind: 'gauge',
    labels: ['state'],
    help: 'Database connections of the pool of this process',
    reading: '`in_use` or `idle`; at most `FABULA_DATABASE_CONNECTIONS` together',
  },
  fabula_database_waiting: {
    kind: 'gauge',
    labels: [],
    help: 'Askers that wait for a database connection',
    reading: 'above 0 for long: raise `FABULA_DATABASE_CONNECTIONS`, or look for slow statements',
  },
} as const satisfies Readonly<Record<`fabula_${string}`, MetricEntry>>;

export type MetricName = keyof typeof METRICS;
export type CounterName = { [Name in MetricName]: (typeof METRICS)[Name]['kind'] extends 'counter' ? Name : never }[MetricName];
export type GaugeName = { [Name in MetricName]: (typeof METRICS)[Name]['kind'] extends 'gauge' ? Name : never }[MetricName];

/** docs/reference/metrics.md */
export function metricsReference(): string {
  const rows = Object.entries<MetricEntry>(METRICS).map(([name, { kind, labels, help, reading }]) =>
    [`\`${name}\``, kind, labels.map((label) => `\`${label}\``).join(', '), help, reading].join(' | '),
  );
  return `# Metrics

Generated from the program (\`npm run generate\`). \`GET /metrics\` gives them in Prometheus' text format to everybody who can reach the port: they
are counts, and say nothing about persons. Beside them stand the process metrics of \`prom-client\` (\`process_*\`, \`nodejs_*\`: memory, CPU,
event loop, garbage collection).

Each process tells of itself. Values by partition are there for the partitions that it follows now: sum over processes, and take the
largest lag. The end of the log and the number of parked streams are asked for at most every 5 seconds; while the database does not
answer, what depends on them is left out and the rest is given.

| metric | kind | labels | meaning | read it as |
|---|---|---|---|---|
${rows.map((row) => `| ${row} |`).join('\n')}
`;
}
