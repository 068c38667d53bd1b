import 'reflect-metadata';
import { Client } from 'pg';
import { DataSource } from 'typeorm';
import { Log1795000000000 } from './1795000000000-log.js';
import { Ownership1795000000100 } from './1795000000100-ownership.js';
import { Privacy1795000000200 } from './1795000000200-privacy.js';
import { Content1795000000300 } from './1795000000300-content.js';
import { Audit1795000000500 } from './1795000000500-audit.js';
import { Projections1795000000400 } from './1795000000400-projections.js';
import { Cluster1795000000600 } from './1795000000600-cluster.js';
import { AuditKeys1795000000700 } from './1795000000700-audit-keys.js';
import { Feed1795000000900 } from './1795000000900-feed.js';
import { DeadLetters1795000000800 } from './1795000000800-dead-letters.js';
import { KnownLog1795000001000 } from './1795000001000-known-log.js';
import { Compliance1795000001100 } from './1795000001100-compliance.js';
import { Keys1795000001200 } from './1795000001200-keys.js';
import { AccessLog1795000001300 } from './1795000001300-access-log.js';
import { SigningKeys1795000001400 } from './1795000001400-signing-keys.js';
import { Witnesses1795000001500 } from './1795000001500-witnesses.js';
import { DatabaseRoles1795000001800 } from './1795000001800-database-roles.js';
import { applyGrants } from './apply-grants.js';
import { TermBlocks1795000001600 } from './1795000001600-term-blocks.js';
import { LogBegins1795000001900 } from './1795000001900-log-begins.js';
import { TermsOfEarlierNotes1795000002000 } from './1795000002000-terms-of-earlier-notes.js';
import { Retention1795000001700 } from './1795000001700-retention.js';
import { LogBases1795000002100 } from './1795000002100-log-bases.js';

/** Every migration, in order. A room adds its own file and its line here; what has been released is never edited. */
const migrations = [
  Log1795000000000,
  Ownership1795000000100,
  Privacy1795000000200,
  Content1795000000300,
  Audit1795000000500,
  Projections1795000000400,
  Cluster1795000000600,
  AuditKeys1795000000700,
  Feed1795000000900,
  DeadLetters1795000000800,
  KnownLog1795000001000,
  Compliance1795000001100,
  AccessLog1795000001300,
  SigningKeys1795000001400,
  Witnesses1795000001500,
  TermBlocks1795000001600,
  Retention1795000001700,
  DatabaseRoles1795000001800,
  LogBegins1795000001900,
  TermsOfEarlierNotes1795000002000,
  LogBases1795000002100,
];

/** Migrations of the tables of keys, which may lie in a database of their own. */
const keyMigrations = [Keys1795000001200];

/** The one schema of all tables but those of keys. Statements name it: `fabula.log_records`. */
export const SCHEMA = 'fabula';
/** The schema of keys and of links to people. */
export const KEYS_SCHEMA = 'fabula_keys';

/** TypeORM's view of a database, for migrations and by-key reads. */
export function createDataSource(url: string, schema: typeof SCHEMA | typeof KEYS_SCHEMA = SCHEMA): DataSource {
  return new DataSource({
    type: 'postgres',
    url,
    schema,
    entities: [],
    migrations: schema === SCHEMA ? migrations : keyMigrations,
    migrationsTableName: 'migrations',
    migrationsTransactionMode: 'each',
    installExtensions: false,
    logging: false,
    applicationName: 'fabula-migrations',
    extra: { max: 2 },
  });
}

/** Any fixed number: the lock that lets one process at a time migrate a database. */
const MIGRATION_LOCK = '4701231823412331893';

/**
 * Brings a database, and that of the keys, up to date and answers the names of the migrations that ran. Safe to call from many processes at
 * once: TypeORM's migrator takes no lock, so an advisory lock is held around it.
 */
export async function runMigrations(url: string, keysUrl = url): Promise<string[]> {
  return [...(await migrate(url, SCHEMA)), ...(await migrate(keysUrl, KEYS_SCHEMA))];
}

/** The database is not up to date, and this user may not bring it there. */
export class NotMigrated extends Error {
  override readonly name = 'NotMigrated';
}

async function migrate(url: string, schema: typeof SCHEMA | typeof KEYS_SCHEMA): Promise<string[]> {
  const guard = new Client({ connectionString: url, application_name: 'fabula-migrations' });
  await guard.connect();
  try {
    // A user with the rights of its role alone can only look.
    if (!(await mayMigrate(guard, schema))) {
      const pending = await pendingOf(guard, schema);
      if (pending.length === 0) return [];
      throw new NotMigrated(
        `The database lacks ${pending.join(', ')}, and this user may not migrate it: set FABULA_MIGRATION_DATABASE_URL to the user that owns the tables, or start one server as that user first.`,
      );
    }
    await guard.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    await guard.query(`create schema if not exists ${schema}`);
    const source = await createDataSource(url, schema).initialize();
    let ran: string[];
    try {
      ran = (await source.runMigrations()).map((migration) => migration.name);
    } finally {
      await source.destroy();
    }
    await applyGrants(guard, schema);
    return ran;
  } finally {
    // Ending the session releases the lock.
    await guard.end();
  }
}

/** Whether this user owns the schema, or may make it. */
async function mayMigrate(guard: Client, schema: string): Promise<boolean> {
  const { rows } = await guard.query<{ may: boolean }>(
    `select coalesce((select pg_has_role(nspowner, 'usage') from pg_namespace where nspname = $1),
       has_database_privilege(current_database(), 'create')) as may`,
    [schema],
  );
  return rows[0]?.may === true;
}

async function pendingOf(guard: Client, schema: typeof SCHEMA | typeof KEYS_SCHEMA): Promise<string[]> {
  const wanted = (schema === SCHEMA ? migrations : keyMigrations).map(({ name }) => name);
  const { rows: readable } = await guard
    .query<{ may: boolean }>(
      `select coalesce(has_table_privilege(to_regclass($1), 'select') and has_schema_privilege($2, 'usage'), false) as may`,
      [`${schema}.migrations`, schema],
    )
    .catch(() => ({ rows: [{ may: false }] }));
  if (readable[0]?.may !== true) return wanted;
  const { rows } = await guard.query<{ name: string }>(`select name from ${schema}.migrations`);
  return wanted.filter((name) => !rows.some((row) => row.name === name));
}
