import 'reflect-metadata';
import fs from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { KekMissing, KekUnusable, WrapBroken } from '#lib/privacy';
import { AuditKeyDiffers, SigningKeyUnusable } from '#lib/audit';
import { CopyUnfinished, KafkaFileUnreadable, LogDamaged, NotDurable, PartitionCountDiffers, TopicMissing, UnsafeTopic } from '#lib/log';
import {
  ConfigError,
  createLogger,
  DataDirectoryLocked,
  DevelopmentIssuerRefused,
  errorText,
  loadConfig,
  lockDataDirectory,
  startEmbeddedPostgres,
  type Config,
  type EmbeddedPostgres,
  type Logger,
} from '#lib/platform';
import { NotMigrated, runMigrations } from '../../../migrations/index.js';
import { banner } from './banner.js';
import { LogBaseDamaged } from '#lib/projections';
import { LogDiffers } from './known-log.js';
import { publishSampleStories } from './sample-stories.js';
import { startServer, type RunningServer } from './server.js';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../..');
const DATABASE = 'fabula';
/** What is wrong with how it was set up, and says by itself what to do. */
const EXPECTED = [
  DataDirectoryLocked,
  DevelopmentIssuerRefused,
  AuditKeyDiffers,
  CopyUnfinished,
  LogDamaged,
  SigningKeyUnusable,
  KekMissing,
  KekUnusable,
  WrapBroken,
  LogDiffers,
  LogBaseDamaged,
  KafkaFileUnreadable,
  NotDurable,
  NotMigrated,
  PartitionCountDiffers,
  TopicMissing,
  UnsafeTopic,
];
/** Stopping must end even if something hangs. */
const STOP_WITHIN_MS = 20_000;

/** Exit codes: 0 stopped as asked, 1 could not start or broke, 2 wrong configuration or data directory in use. */
async function main(): Promise<void> {
  let config: Config;
  try {
    config = loadConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(2);
  }
  const logger = createLogger({ level: config.logLevel });
  let database: ReturnType<typeof openDatabase> | undefined;
  let server: RunningServer | undefined;
  let stopping: Promise<void> | undefined;
  const stop = (code: number): Promise<void> =>
    (stopping ??= (async () => {
      let at = 'start';
      setTimeout(() => {
        logger.error({ at }, `stopping did not end within ${STOP_WITHIN_MS} ms`);
        process.exit(code === 0 ? 1 : code);
      }, STOP_WITHIN_MS).unref();
      await server?.stop((what) => (at = what));
      at = 'embedded database';
      // Only our own: a start that found the folder in use must leave the running server's.
      if (server !== undefined) await fs.rm(path.join(config.dataDir, 'server.json'), { force: true });
      // Asked to stop while Postgres is still starting: it is waited for, or it would run on without us.
      const opened = await database?.catch(() => undefined);
      await opened?.close();
      process.exit(code);
    })().catch((error: unknown) => {
      logger.error({ error }, 'stopping failed');
      process.exit(1);
    }));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void stop(0));

  try {
    database = openDatabase(config, logger);
    const { url: databaseUrl } = await database;
    // A stop that came meanwhile ends the process; nothing more is begun.
    if (stopping !== undefined) return await stopping;
    await runMigrations(config.migrationDatabaseUrl ?? databaseUrl, config.keysDatabaseUrl ?? config.migrationDatabaseUrl ?? databaseUrl);
    server = await startServer(config, logger, databaseUrl, root);
    await writeServerFile(config, server.url);
    const samples =
      config.sampleStories && server.node.has('api') && server.node.has('engine') ? await publishSampleStories(server.node, root) : [];
    if (samples.length > 0) process.stdout.write(`Published the sample stories: ${samples.join(', ')}\n`);
    process.stdout.write(`${await banner(server.url, server.node.developmentIssuer, process.uptime().toFixed(1))}\n`);
  } catch (error) {
    // What was being started is broken off on purpose.
    if (stopping !== undefined) return await stopping;
    const expected = EXPECTED.some((kind) => error instanceof kind);
    process.stderr.write(`${expected ? errorText(error) : `Fabula could not start: ${errorText(error)}`}\n`);
    if (!expected) logger.error({ error }, 'start failed');
    await stop(expected ? 2 : 1);
  }
}

async function openDatabase(config: Config, logger: Logger): Promise<{ url: string; close: () => Promise<void> }> {
  if (config.databaseUrl !== undefined) {
    // Also beside somebody else's Postgres: two processes in one directory would overwrite each other's notes, exports and address.
    const lock = await lockDataDirectory(path.resolve(config.dataDir));
    return { url: config.databaseUrl, close: () => lock.release() };
  }
  process.stdout.write('Starting the embedded Postgres …\n');
  const postgres = await startEmbeddedPostgres({ dir: config.dataDir, log: (line) => logger.debug({ from: 'postgres' }, line) });
  try {
    return { url: await ensureDatabase(postgres), close: () => postgres.stop() };
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}

async function ensureDatabase(postgres: EmbeddedPostgres): Promise<string> {
  const { Client } = await import('pg');
  const administrator = new Client({ connectionString: postgres.url('postgres') });
  await administrator.connect();
  try {
    const { rowCount } = await administrator.query('select 1 from pg_database where datname = $1', [DATABASE]);
    if (rowCount === 0) await administrator.query(`create database ${DATABASE}`);
  } finally {
    await administrator.end();
  }
  return postgres.url(DATABASE);
}

/** Where the command line finds the server of a data directory. */
async function writeServerFile(config: Config, url: string): Promise<void> {
  await fs.mkdir(config.dataDir, { recursive: true });
  await fs.writeFile(path.join(config.dataDir, 'server.json'), `${JSON.stringify({ url, pid: process.pid })}\n`, { mode: 0o600 });
}

void main();
