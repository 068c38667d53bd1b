import { createHash } from 'node:crypto';
import { DatabaseError, type Client } from 'pg';
import { DATABASE_ROLES, GRANTS, KEY_GRANTS, POLICIES, SHARE_GENERATION } from './grants.js';

const DEADLOCK = '40P01';
const ATTEMPTS = 5;

/**
 * Gives the group roles what grants.ts says, if this user owns the schema, the roles are there, and it was not done already. Said by a
 * mark on the schema. Safe to repeat; the caller holds the migration lock.
 */
export async function applyGrants(client: Client, schema: 'fabula' | 'fabula_keys'): Promise<void> {
  const { rows } = await client.query<{ owned: boolean; mark: string | null; roles: string[]; database: string; made: string[] }>(
    `select pg_has_role(nspowner, 'usage') as owned, obj_description(n.oid, 'pg_namespace') as mark, current_database() as database,
       array(select rolname::text from pg_roles where rolname = any($2) order by 1) as roles,
       array(select relname::text from pg_class where relnamespace = n.oid and relkind in ('r', 'p') order by 1) as made
     from pg_namespace n where nspname = $1`,
    [schema, DATABASE_ROLES],
  );
  const [found] = rows;
  if (found === undefined || !found.owned || found.roles.length < DATABASE_ROLES.length) return;
  const statements =
    schema === 'fabula'
      ? [...statementsFor(schema, GRANTS, found.made), ...policyStatements()]
      : statementsFor(schema, KEY_GRANTS, found.made);
  statements.push(MEMBERSHIPS, createSchemas(found.database));
  if (schema === 'fabula') statements.push(SHARE_GENERATION, SHARED_GENERATIONS);
  const mark = `grants ${createHash('sha256').update(statements.join(';')).digest('hex')}`;
  if (found.mark === mark) return;
  await inTransaction(client, `${statements.join('; ')}; comment on schema ${schema} is '${mark}'`);
}

/** Vacuum, which looks after a table by itself once much was written, may stand in the way of its locks: then once more. */
async function inTransaction(client: Client, statements: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await client.query(`begin; ${statements}; commit`);
      return;
    } catch (error) {
      await client.query('rollback');
      if (!(error instanceof DatabaseError) || error.code !== DEADLOCK || attempt === ATTEMPTS) throw error;
    }
  }
}

function statementsFor(schema: string, grants: typeof GRANTS, made: readonly string[]): string[] {
  const statements = [`grant usage on schema ${schema} to fabula_base`];
  for (const role of DATABASE_ROLES) {
    statements.push(`revoke all on all tables in schema ${schema} from ${role}`);
  }
  for (const [table, privileges] of Object.entries(grants)) {
    if (!made.includes(table)) continue;
    for (const [role, what] of Object.entries(privileges)) statements.push(`grant ${what} on ${schema}.${table} to ${role}`);
  }
  return statements;
}

/**
 * Names stood in these tables once. Where they are empty nothing of an earlier release is to be converted, and they are closed: a server
 * that is not their owner could not do it.
 */
const CLOSE_EMPTY = `do $$ begin
  if not exists (select from fabula.subjects) and not exists (select from fabula.subject_keys)
    and not exists (select from pg_stat_activity where datname = current_database() and application_name = 'fabula')
    and not exists (select from pg_constraint where conname = 'subjects_closed' and conrelid = 'fabula.subjects'::regclass) then
    alter table fabula.subjects add constraint subjects_closed check (false) not valid;
  end if;
end $$`;

function policyStatements(): string[] {
  const statements: string[] = [CLOSE_EMPTY];
  for (const table of new Set(POLICIES.map((policy) => policy.table)))
    statements.push(`alter table fabula.${table} enable row level security`);
  for (const { table, name, command, role, using, check } of POLICIES) {
    statements.push(`drop policy if exists ${name} on fabula.${table}`);
    statements.push(
      `create policy ${name} on fabula.${table} for ${command} to ${role}` +
        `${using === undefined ? '' : ` using (${using})`}${check === undefined ? '' : ` with check (${check})`}`,
    );
  }
  return statements;
}

/** Whoever owns the tables need not be allowed to say who is in a role; the how-to has the statement. */
const MEMBERSHIPS = `do $$ declare one text; begin
  foreach one in array array[${DATABASE_ROLES.map((role) => `'${role}'`).join(', ')}] loop
    if one <> 'fabula_base' and not pg_has_role(one, 'fabula_base', 'member') then
      begin
        execute format('grant fabula_base to %I', one);
      exception when insufficient_privilege then raise notice 'fabula_base could not be granted to %', one;
      end;
    end if;
  end loop;
end $$`;

/** A generation of read models is a schema. */
const createSchemas = (database: string): string => `do $$ begin
  grant create on database ${quoted(database)} to fabula_projector;
exception when insufficient_privilege then
  raise notice 'fabula_projector could not be allowed to make schemas';
end $$`;

/** Those that were made before there were these roles. */
const SHARED_GENERATIONS = `do $$ begin
  perform fabula.share_generation(nspname::text) from pg_namespace where nspname ~ '^(projection|log_base)_[0-9]+$' and pg_has_role(nspowner, 'usage');
end $$`;

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
