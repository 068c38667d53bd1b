import type { MigrationInterface, QueryRunner } from 'typeorm';
import { DATABASE_ROLES, SHARE_GENERATION } from './grants.js';

/**
 * A group role per role of a process: what each may do in the database. They are of the whole cluster, so another database may have made
 * them; whoever migrates a managed database may not be allowed to make them, and is told. What they may do is in grants.ts.
 */
export class DatabaseRoles1795000001800 implements MigrationInterface {
  readonly name = 'DatabaseRoles1795000001800';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      do $$
      declare
        wanted text;
      begin
        foreach wanted in array array[${DATABASE_ROLES.map((role) => `'${role}'`).join(', ')}] loop
          if exists (select from pg_roles where rolname = wanted) then continue; end if;
          begin
            execute format('create role %I nologin', wanted);
          exception
            -- Another database's migration was quicker.
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
              raise notice 'role % could not be made: this user may not make roles; docs/how-to/separate-database-users.md has the statements', wanted;
          end;
        end loop;
      end $$`);
    await runner.query(SHARE_GENERATION);
  }

  /** The roles stay: other databases of the cluster may use them. */
  async down(runner: QueryRunner): Promise<void> {
    for (const table of ['audit_heads', 'audit_leaves', 'audit_tiles']) {
      await runner.query(`alter table fabula.${table} disable row level security`);
      await runner.query(`
        do $$ declare one record; begin
          for one in select policyname from pg_policies where schemaname = 'fabula' and tablename = '${table}' loop
            execute format('drop policy %I on fabula.${table}', one.policyname);
          end loop;
        end $$`);
    }
    await runner.query('drop function fabula.share_generation(text)');
    await runner.query('comment on schema fabula is null');
  }
}
