import { z } from 'zod';
import { LOG_LEVELS } from './logger.js';

export const PROCESS_ROLES = ['api', 'engine', 'projector', 'auditor', 'signer', 'publisher'] as const;
export type ProcessRole = (typeof PROCESS_ROLES)[number];

/** One environment variable: how it is read, and what its reader needs to know to change it. */
export interface Setting<T> {
  readonly name: string;
  /** As it would be written in the environment; absent = no value. */
  readonly default?: string;
  readonly read: z.ZodType<T, string>;
  readonly what: string;
  readonly raise?: string;
  readonly lower?: string;
  readonly off?: string;
  /** Never printed. */
  readonly secret?: true;
}

const whole = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/, 'a whole number')
    .transform(Number)
    .pipe(z.number().min(min, `at least ${min}`).max(max, `at most ${max}`));
const text = z.string().min(1, 'not empty').max(4096, 'at most 4,096 characters');
const url = (...protocols: string[]) =>
  text.refine(
    (value) => URL.canParse(value) && protocols.includes(new URL(value).protocol),
    `a URL starting with ${protocols.join(' or ')}`,
  );
const flag = z.enum(['on', 'off']).transform((value) => value === 'on');
const topicName = text.regex(/^[A-Za-z0-9._-]{1,200}$/, 'letters, digits, dots, dashes and underscores');
const list = text.transform((value) =>
  value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== ''),
);
const setting = <T, D extends string | undefined = undefined>(
  entry: Omit<Setting<T>, 'default'> & (D extends string ? { default: D } : { default?: undefined }),
) => entry as Omit<Setting<T>, 'default'> & { readonly default: D };

/** Every variable that the server reads. docs/reference/configuration.md is made from this table. */
export const settings = {
  port: setting<number, string>({
    name: 'PORT',
    default: '8080',
    read: whole(0, 65_535),
    what: 'Port of HTTP, GraphQL and the pages; 0 takes a free one.',
  }),
  host: setting<string, string>({
    name: 'HOST',
    default: '127.0.0.1',
    read: text,
    what: 'Address to listen on. The default is reachable from this machine only; `0.0.0.0` serves every interface.',
  }),
  address: setting<string>({
    name: 'FABULA_ADDRESS',
    read: url('http:', 'https:'),
    what: 'Where other Fabula processes on the same log reach this one, to hand commands to the owner of a partition. Absent: made from HOST and PORT.',
  }),
  dataDir: setting<string, string>({
    name: 'FABULA_DATA_DIR',
    default: './.fabula',
    read: text,
    what: 'Folder of the embedded database, the audit key and the development issuer. One server at a time uses an embedded database.',
  }),
  kekDir: setting<string>({
    name: 'FABULA_KEK_DIR',
    read: text,
    what: 'Folder of the key-encryption keys, one file each; the first is made at the first start. One folder for all processes of one database, of no other database, and never in the same backup as the keys that it opens. Absent: `keks` in the data directory.',
  }),
  keysDatabaseUrl: setting<string>({
    name: 'FABULA_KEYS_DATABASE_URL',
    read: url('postgres:', 'postgresql:'),
    what: 'Postgres that holds the wrapped keys and the links to people (schema `fabula_keys`), so that it can be backed up, and its backups deleted, apart from everything else. Absent: the same database.',
    secret: true,
  }),
  roles: setting<readonly ProcessRole[], string>({
    name: 'FABULA_ROLES',
    default: PROCESS_ROLES.join(','),
    read: list.pipe(z.array(z.enum(PROCESS_ROLES)).min(1)).transform((roles) => [...new Set(roles)]),
    what: `What this process does, separated by commas: ${PROCESS_ROLES.join(', ')}.`,
    off: 'Leave a role out; another process must have it.',
  }),
  log: setting<'postgres' | 'kafka' | 'eventstoredb' | 'memory', string>({
    name: 'FABULA_LOG',
    default: 'postgres',
    read: z.enum(['postgres', 'kafka', 'eventstoredb', 'memory']),
    what: 'Where decision records are kept. `memory` forgets everything at the end of the process.',
  }),
  adoptLog: setting<string>({
    name: 'FABULA_ADOPT_LOG',
    read: text.regex(/^[\w-]{1,64}$/, 'the id of a log, or `new`'),
    what: 'Id of the log that this database follows from now on, although it was derived from another one, or `new` for an empty log. The read models are forgotten and built anew. Needed once, with every other server stopped; without it such a start is refused.',
  }),
  partitions: setting<number, string>({
    name: 'FABULA_PARTITIONS',
    default: '4',
    read: whole(1, 4_096),
    what: 'Partitions of a log that is created now. Written once: an existing log with another count is refused.',
    raise: 'More processes are to share the writing; each partition has one writer.',
    lower: 'A small installation wants fewer audit trees to look after.',
  }),
  databaseUrl: setting<string>({
    name: 'DATABASE_URL',
    read: url('postgres:', 'postgresql:'),
    what: 'Postgres of your own. Absent: an embedded Postgres in the data directory.',
    secret: true,
  }),
  migrationDatabaseUrl: setting<string>({
    name: 'FABULA_MIGRATION_DATABASE_URL',
    read: url('postgres:', 'postgresql:'),
    what: 'The database as the user that owns its tables, to bring it up to date at start. Absent: `DATABASE_URL`, which then must be that user at the first start of a release that changes tables.',
    secret: true,
  }),
  signerDatabaseUrl: setting<string>({
    name: 'FABULA_SIGNER_DATABASE_URL',
    read: url('postgres:', 'postgresql:'),
    what: 'The database as the user that the role `signer` writes notes as, so that no other user has to be able to. Absent: `DATABASE_URL`.',
    secret: true,
  }),
  databaseConnections: setting<number, string>({
    name: 'FABULA_DATABASE_CONNECTIONS',
    default: '16',
    read: whole(2, 1_000),
    what: 'Most database connections of this process (four more are held for listening and ownership).',
    raise: 'Commands wait for connections while the database is not busy.',
    lower: 'Many processes share a database with few connections.',
  }),
  statementTimeoutMs: setting<number, string>({
    name: 'FABULA_STATEMENT_TIMEOUT_MS',
    default: '10000',
    read: whole(100, 600_000),
    what: 'After this the database breaks a statement off.',
    raise: 'Honest statements are broken off on a slow database.',
    lower: 'Callers should get `LOG_UNAVAILABLE` earlier.',
  }),
  kafkaBrokers: setting<readonly string[]>({ name: 'KAFKA_BROKERS', read: list, what: 'host:port of brokers, separated by commas.' }),
  kafkaTopic: setting<string, string>({
    name: 'FABULA_KAFKA_TOPIC',
    default: 'fabula.decisions',
    read: topicName,
    what: 'Topic of the decision records. Created at first start, with settings that lose nothing, when it is not there.',
  }),
  kafkaFeedTopic: setting<string, string>({
    name: 'FABULA_KAFKA_FEED_TOPIC',
    default: 'fabula.events',
    read: topicName,
    what: 'Topic of the public feed: what was accepted, as CloudEvents without personal data. Written by the role `publisher` when `KAFKA_BROKERS` is set, whatever the log is.',
  }),
  kafkaAllowUnsafe: setting<boolean, string>({
    name: 'FABULA_KAFKA_ALLOW_UNSAFE',
    default: 'off',
    read: flag,
    what: '`on` accepts topics and brokers that may lose what was acknowledged (one replica, unclean elections, retention), and says so loudly at every start. Off: such settings are refused, each with its fix.',
  }),
  rack: setting<string>({
    name: 'FABULA_RACK',
    read: text.regex(/^[\w.-]{1,64}$/, 'letters, digits, dots, dashes'),
    what: 'Zone or rack that this process runs in, named as the brokers name theirs (`broker.rack`): partitions whose leader is near are preferred.',
  }),
  kafkaTls: setting<boolean, string>({ name: 'KAFKA_TLS', default: 'off', read: flag, what: '`on` speaks TLS to the brokers.' }),
  kafkaTlsCa: setting<string>({
    name: 'KAFKA_TLS_CA',
    read: text,
    what: 'File (PEM) with the certificate authority of the brokers. Absent: the authorities that Node trusts.',
  }),
  kafkaTlsCert: setting<string>({
    name: 'KAFKA_TLS_CERT',
    read: text,
    what: "File (PEM) with this client's certificate. Goes with `KAFKA_TLS_KEY`.",
  }),
  kafkaTlsKey: setting<string>({ name: 'KAFKA_TLS_KEY', read: text, what: "File (PEM) with the key of this client's certificate." }),
  kafkaSaslMechanism: setting<'plain' | 'scram-sha-256' | 'scram-sha-512'>({
    name: 'KAFKA_SASL_MECHANISM',
    read: z.enum(['plain', 'scram-sha-256', 'scram-sha-512']),
    what: 'How to log in to the brokers. Absent: no login.',
  }),
  kafkaSaslUsername: setting<string>({ name: 'KAFKA_SASL_USERNAME', read: text, what: 'Name for the login to the brokers.' }),
  kafkaSaslPassword: setting<string>({
    name: 'KAFKA_SASL_PASSWORD',
    read: text,
    what: 'Password for the login to the brokers.',
    secret: true,
  }),
  eventStoreDbUrl: setting<string>({
    name: 'EVENTSTOREDB_URL',
    read: url('esdb:', 'esdb+discover:', 'kurrentdb:', 'kurrentdb+discover:'),
    what: 'Connection string of EventStoreDB.',
    secret: true,
  }),
  eventStoreDbPrefix: setting<string, string>({
    name: 'FABULA_EVENTSTOREDB_PREFIX',
    default: 'fabula',
    read: text.regex(/^[A-Za-z0-9][A-Za-z0-9._]{0,63}$/, 'letters, digits, dots and underscores, no dash'),
    what: 'First part of the names of the streams of decision records in EventStoreDB: `<prefix>-log` and `<prefix>-decisions-<n>`. Another prefix is another log.',
  }),
  authIssuer: setting<string>({
    name: 'AUTH_ISSUER',
    read: url('http:', 'https:'),
    what: 'The `iss` that tokens must have. Absent: a local development issuer, which is refused when `NODE_ENV=production`.',
  }),
  authAudience: setting<string>({ name: 'AUTH_AUDIENCE', read: text, what: 'The `aud` that tokens must have. Goes with `AUTH_ISSUER`.' }),
  authJwksUri: setting<string>({
    name: 'AUTH_JWKS_URI',
    read: url('http:', 'https:'),
    what: "Where the issuer's keys are. Absent: where `<AUTH_ISSUER>/.well-known/openid-configuration` says; that must be https, or on this machine.",
  }),
  authClockToleranceSeconds: setting<number, string>({
    name: 'AUTH_CLOCK_TOLERANCE_SECONDS',
    default: '30',
    read: whole(0, 600),
    what: "How far the issuer's clock may differ from ours.",
    raise: 'Fresh tokens are refused as not yet valid.',
    lower: 'Expired tokens must end at once.',
    off: '0',
  }),
  otlpEndpoint: setting<string>({
    name: 'OTEL_EXPORTER_OTLP_ENDPOINT',
    read: url('http:', 'https:'),
    what: 'Where traces go. Absent: tracing is not even loaded.',
  }),
  logLevel: setting<(typeof LOG_LEVELS)[number], string>({
    name: 'LOG_LEVEL',
    default: 'info',
    read: z.enum(LOG_LEVELS),
    what: `How much the process writes about itself: ${LOG_LEVELS.join(', ')}.`,
    off: '`silent`',
  }),
  production: setting<boolean, string>({
    name: 'NODE_ENV',
    default: 'development',
    read: text.transform((value) => value === 'production'),
    what: '`production` refuses the development issuer and switches GraphiQL off.',
  }),
  maxBodyBytes: setting<number, string>({
    name: 'FABULA_MAX_BODY_BYTES',
    default: '4194304',
    read: whole(1_024, 64 * 1024 * 1024),
    what: 'Largest request body; more is `TOO_LARGE`.',
    raise: 'Larger stories are to be imported.',
    lower: 'Only readers use this process.',
  }),
  requestsPerMinute: setting<number, string>({
    name: 'FABULA_REQUESTS_PER_MINUTE',
    default: '1200',
    read: whole(0, 10_000_000),
    what: 'Requests of one caller per minute; more are `RATE_LIMITED`.',
    raise: 'A front end plays for many readers under one token.',
    lower: 'Single callers take too large a share.',
    off: '0',
  }),
  queryDepth: setting<number, string>({
    name: 'FABULA_QUERY_DEPTH',
    default: '12',
    read: whole(7, 50),
    what: 'Deepest GraphQL document; more is `QUERY_TOO_COMPLEX`. GraphiQL needs 7.',
    raise: 'A client honestly nests deeper.',
    lower: 'All clients are known.',
  }),
  queryComplexity: setting<number, string>({
    name: 'FABULA_QUERY_COMPLEXITY',
    default: '2000',
    read: whole(10, 1_000_000),
    what: 'Fields that a GraphQL document may ask for, page sizes multiplied in.',
    raise: 'A client honestly asks for longer pages.',
    lower: 'All clients are known.',
  }),
  queueLimit: setting<number, string>({
    name: 'FABULA_QUEUE_LIMIT',
    default: '1024',
    read: whole(1, 100_000),
    what: 'Commands that may wait for one partition; more are `OVERLOADED` at once.',
    raise: 'Short bursts are refused although the queue drains quickly.',
    lower: 'Waiting callers should be turned away earlier.',
  }),
  commandTimeoutMs: setting<number, string>({
    name: 'FABULA_COMMAND_TIMEOUT_MS',
    default: '5000',
    read: whole(100, 60_000),
    what: 'After this a caller gets `OUTCOME_UNKNOWN`; what was decided may still be recorded.',
    raise: 'The log is far away.',
    lower: 'Clients give up earlier than that.',
  }),
  hotBytes: setting<number, string>({
    name: 'FABULA_HOT_BYTES',
    default: '134217728',
    read: whole(1024 * 1024, 2 ** 37),
    what: 'Memory for states of playthroughs under way, over all partitions of this process.',
    raise: 'Many playthroughs are loaded from the database again and again.',
    lower: 'The process has little memory.',
  }),
  tailBytes: setting<number, string>({
    name: 'FABULA_TAIL_BYTES',
    default: '67108864',
    read: whole(1024 * 1024, 2 ** 37),
    what: 'Memory for records that the projector has not reached yet. At the cap cold playthroughs are `OVERLOADED`, hot ones go on.',
    raise: 'The projector may be down for long under load.',
    lower: 'The process has little memory.',
  }),
  auditOrigin: setting<string, string>({
    name: 'FABULA_AUDIT_ORIGIN',
    default: 'fabula.local',
    read: text.regex(/^[^\s+]+$/, 'no spaces and no plus sign'),
    what: 'First part of the name in signed checkpoint notes: a domain or path that is yours. Written once per log.',
  }),
  checkpointIntervalMs: setting<number, string>({
    name: 'FABULA_CHECKPOINT_INTERVAL_MS',
    default: '2000',
    read: whole(100, 3_600_000),
    what: 'How often the auditor signs its trees.',
    raise: 'Fewer signatures and notes are wanted.',
    lower: 'Records should be covered by a signature sooner.',
  }),
  exportDays: setting<number, string>({
    name: 'FABULA_EXPORT_DAYS',
    default: '14',
    read: whole(1, 3_650),
    what: 'So many days a finished audit export lies in the data directory for its download; then it is removed, which the access log tells.',
    raise: 'Whoever downloads comes later. An export with records then outlives what is pruned or erased meanwhile for longer.',
    lower: 'Copies of records should not outlive what is pruned.',
  }),
  exportsMaxMb: setting<number, string>({
    name: 'FABULA_EXPORTS_MAX_MB',
    default: '20480',
    read: whole(1, 100_000_000),
    what: 'Most that audit exports may take in the data directory, in MB of a million bytes. The oldest finished ones go first; an export that is larger alone fails.',
    raise: 'Exports fail, or go before they are downloaded, and the disk is larger.',
    lower: 'The disk is small. An export is begun only where it is expected to fit.',
  }),
  auditPolicy: setting<string>({
    name: 'FABULA_AUDIT_POLICY',
    read: text,
    what: "File with the witnesses of the audit's signed trees and how many of them a note needs (C2SP tlog-policy: `log`, `witness`, `group`, `quorum`). Witnesses with a URL are asked for cosignatures. Absent: nobody is asked.",
  }),
  witnessIntervalMs: setting<number, string>({
    name: 'FABULA_WITNESS_INTERVAL_MS',
    default: '10000',
    read: whole(100, 3_600_000),
    what: 'How often witnesses are asked to cosign trees that grew; a quorum that is missing for fifteen minutes raises an alarm.',
    raise: 'Witnesses answer 429, or belong to somebody who pays for requests.',
    lower: 'A rewritten history should be noticed sooner.',
  }),
  auditNotesDir: setting<string>({
    name: 'FABULA_AUDIT_NOTES_DIR',
    read: text,
    what: 'Folder that is there already, best a write-once mount of another owner: every signed note is written there once, and never overwritten. Absent: no copies but those in the database and the newest ones in the data directory.',
  }),
  tsaUrl: setting<string>({
    name: 'FABULA_TSA_URL',
    read: url('http:', 'https:'),
    what: 'A timestamp authority (RFC 3161) that stamps the newest note of the root tree. Absent: none.',
  }),
  tsaIntervalMs: setting<number, string>({
    name: 'FABULA_TSA_INTERVAL_MS',
    default: '86400000',
    read: whole(1_000, 2_000_000_000),
    what: 'How often a timestamp is asked for.',
    raise: 'The authority charges for each.',
    lower: 'It must be shown more exactly when a note was there.',
  }),
  sampleStories: setting<boolean, string>({
    name: 'FABULA_SAMPLE_STORIES',
    default: 'on',
    read: flag,
    what: 'Publish the sample stories at start when they are not there.',
    off: '`off`',
  }),
};

/** Known names that servers ignore: tests read them. */
export const TEST_SETTINGS: Readonly<Record<string, string>> = {
  FABULA_STORIES_DIR: 'Where tests find stories (default `../shared/stories`).',
};

/** Known names that servers ignore: the command line reads them. */
export const COMMAND_LINE_SETTINGS: Readonly<Record<string, string>> = {
  FABULA_URL: 'The server that `fabula` talks to.',
  FABULA_TOKEN: 'The bearer token that `fabula` sends.',
};
