import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The access log's entries are the leaves of tree -2: found by event and time, and never changed or taken away. */
export class AccessLog1795000001300 implements MigrationInterface {
  readonly name = 'AccessLog1795000001300';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('create index access_log_time on fabula.audit_leaves (time, leaf_index) where log = -2');
    // Entries are UTF-8 whatever the database's encoding is: what `convert_from` alone cannot promise, and an index needs.
    await runner.query(`
      create function fabula.access_event(leaf bytea) returns text language sql immutable strict parallel safe as
      $$ select convert_from(leaf, 'UTF8')::jsonb ->> 'event' $$`);
    await runner.query(`
      create index access_log_event on fabula.audit_leaves (fabula.access_event(leaf), time, leaf_index) where log = -2`);
    // Nothing else holds these entries: trees of the event log are built again, this one cannot be.
    await runner.query(`
      create function fabula.access_log_only_grows() returns trigger language plpgsql as $$
      begin
        raise exception 'entries of the access log are never changed or deleted' using errcode = 'check_violation';
      end $$`);
    await runner.query(`
      create trigger access_log_only_grows before update or delete on fabula.audit_leaves
      for each row when (old.log = -2) execute function fabula.access_log_only_grows()`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop trigger access_log_only_grows on fabula.audit_leaves');
    await runner.query('drop function fabula.access_log_only_grows()');
    await runner.query('drop index fabula.access_log_time, fabula.access_log_event');
    await runner.query('drop function fabula.access_event(bytea)');
  }
}
