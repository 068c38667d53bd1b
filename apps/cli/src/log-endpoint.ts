import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { Pool } from 'pg';
import { enginesOnKafka, enginesOnPostgres } from '#lib/engine';
import {
  createKafka,
  describeTopic,
  findEventStoreDbLog,
  findPostgresLog,
  kafkaConnection,
  openEventStoreDbLog,
  openKafkaLog,
  openPostgresLog,
  type EventLog,
  type KafkaConnection,
} from '#lib/log';
import { createPool, startEmbeddedPostgres, type Config } from '#lib/platform';
import { CliFailure, wrongUsage } from './exit-codes.js';

export const LOG_KINDS = ['postgres', 'kafka', 'eventstoredb'] as const;
export type LogKind = (typeof LOG_KINDS)[number];

/** One end of a copy as the command line names it. */
export interface EndOptions {
  readonly kind: LogKind;
  /** Connection string, or brokers; default: the server's own setting. */
  readonly url: string | undefined;
  /** Topic or prefix of streams; default: the server's own setting. */
  readonly name: string | undefined;
}

/** What was opened on the way, closed in reverse. */
export class Opened {
  private readonly closing: (() => Promise<unknown>)[] = [];

  keep<T>(thing: T, close: (thing: T) => Promise<unknown>): T {
    this.closing.push(() => close(thing));
    return thing;
  }
  async close(): Promise<void> {
    for (const close of this.closing.splice(0).toReversed()) await close();
  }
}

const CONNECTIONS = 6;
/** Long enough for a page on a slow disk; a copy is in no hurry. */
const STATEMENT_TIMEOUT_MS = 60_000;

/** Logs as servers with this environment would open them, and what else of their database a copy needs. */
export class LogEndpoints {
  private database: Promise<Pool | undefined> | undefined;

  constructor(
    private readonly config: Config,
    private readonly opened: Opened,
  ) {}

  /** The database that servers with this environment use: DATABASE_URL, or the embedded one of the data directory. */
  serverDatabase(): Promise<Pool | undefined> {
    return (this.database ??= this.openServerDatabase());
  }

  pool(url: string): Pool {
    const settings = { url, max: CONNECTIONS, statementTimeoutMs: STATEMENT_TIMEOUT_MS, applicationName: 'fabula-log-copy' };
    return this.opened.keep(createPool({ ...settings, onIdleError: () => undefined }), (pool) => pool.end());
  }

  async databaseOf({ url }: EndOptions): Promise<Pool> {
    const pool = url === undefined ? await this.serverDatabase() : this.pool(url);
    if (pool === undefined) throw wrongUsage('Where is the database? Give DATABASE_URL, FABULA_DATA_DIR or --from-url and --to-url.');
    return pool;
  }

  /** A log that is there. @throws CliFailure when it is not */
  async existing(end: EndOptions): Promise<EventLog> {
    const partitions = await this.partitionsOf(end);
    if (partitions === undefined) throw new CliFailure(`There is no log in ${this.placeOf(end)}.`);
    return this.open(end, partitions);
  }

  /** The log to copy into: created where there is none. */
  async target(end: EndOptions, wanted: number): Promise<EventLog> {
    if (end.kind === 'postgres') await migrated(end.url ?? this.config.databaseUrl);
    return this.open(end, wanted);
  }

  /** Engines at work on that log, as far as can be seen from here. */
  async enginesOn(end: EndOptions): Promise<readonly string[]> {
    if (end.kind === 'kafka') return enginesOnKafka(await this.kafka(end), this.topicOf(end));
    const pool = end.kind === 'postgres' ? await this.databaseOf(end) : await this.serverDatabase();
    return pool === undefined ? [] : enginesOnPostgres(pool);
  }

  /** Settings that lead a server to that log; those of the environment that are right already are left out, and so are passwords. */
  settingsOf(end: EndOptions): Readonly<Record<string, string>> {
    const { kind, url } = end;
    const place = (setting: string): Readonly<Record<string, string>> => (url === undefined ? {} : { [setting]: withoutPassword(url) });
    switch (kind) {
      case 'postgres':
        return { FABULA_LOG: kind, ...place('DATABASE_URL') };
      case 'kafka':
        return { FABULA_LOG: kind, ...place('KAFKA_BROKERS'), FABULA_KAFKA_TOPIC: this.topicOf(end) };
      case 'eventstoredb':
        return { FABULA_LOG: kind, ...place('EVENTSTOREDB_URL'), FABULA_EVENTSTOREDB_PREFIX: this.prefixOf(end) };
    }
  }

  placeOf(end: EndOptions): string {
    switch (end.kind) {
      case 'postgres':
        return 'the database';
      case 'kafka':
        return `the topic ${this.topicOf(end)}`;
      case 'eventstoredb':
        return `the streams ${this.prefixOf(end)}-…`;
    }
  }

  private async partitionsOf(end: EndOptions): Promise<number | undefined> {
    switch (end.kind) {
      case 'postgres':
        return (await findPostgresLog(await this.databaseOf(end)))?.partitions;
      case 'kafka':
        return (await describeTopic(await createKafka(await this.kafka(end)), { name: this.topicOf(end) }))?.partitions;
      case 'eventstoredb':
        return (await findEventStoreDbLog({ url: this.eventStoreOf(end), prefix: this.prefixOf(end) }))?.partitions;
    }
  }

  private async open(end: EndOptions, partitions: number): Promise<EventLog> {
    const { config, opened } = this;
    const close = (log: EventLog): Promise<void> => log.close();
    switch (end.kind) {
      case 'postgres':
        return opened.keep(await openPostgresLog({ pool: await this.databaseOf(end), partitions }), close);
      case 'kafka': {
        const connection = await this.kafka(end);
        const allowUnsafe = config.kafkaAllowUnsafe;
        return opened.keep(await openKafkaLog({ connection, topic: this.topicOf(end), partitions, allowUnsafe }), close);
      }
      case 'eventstoredb':
        return opened.keep(await openEventStoreDbLog({ url: this.eventStoreOf(end), prefix: this.prefixOf(end), partitions }), close);
    }
  }

  private async kafka({ url }: EndOptions): Promise<KafkaConnection> {
    const brokers = url === undefined ? this.config.kafkaBrokers : url.split(',').map((broker) => broker.trim());
    if (brokers === undefined) throw wrongUsage('Where are the brokers? Give KAFKA_BROKERS, or --from-url or --to-url host:port,….');
    return kafkaConnection({ ...this.config, kafkaBrokers: brokers }, 'fabula-log-copy');
  }
  private topicOf({ name }: EndOptions): string {
    return name ?? this.config.kafkaTopic;
  }
  private prefixOf({ name }: EndOptions): string {
    return name ?? this.config.eventStoreDbPrefix;
  }
  private eventStoreOf({ url }: EndOptions): string {
    const given = url ?? this.config.eventStoreDbUrl;
    if (given === undefined) throw wrongUsage('Where is EventStoreDB? Give EVENTSTOREDB_URL, or --from-url or --to-url esdb://….');
    return given;
  }

  private async openServerDatabase(): Promise<Pool | undefined> {
    const { databaseUrl, dataDir } = this.config;
    if (databaseUrl !== undefined) return this.pool(databaseUrl);
    const isThere = await stat(path.join(dataDir, 'postgres.password')).then(
      () => true,
      () => false,
    );
    if (!isThere) return undefined;
    const postgres = await startEmbeddedPostgres({ dir: dataDir });
    this.opened.keep(postgres, (server) => server.stop());
    return this.pool(postgres.url('fabula'));
  }
}

const withoutPassword = (url: string): string => url.replace(/(\/\/[^/:@]*:)[^/@]*@/, '$1…@');

/** The tables of a database that is to hold a log. */
async function migrated(url: string | undefined): Promise<void> {
  if (url === undefined) return;
  // TypeORM takes long to load, and no other command needs it.
  const { runMigrations } = await import('../../../migrations/index.js');
  await runMigrations(url);
}
