import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Room for the access log's tree (-2) and for the root over a tree's term blocks; the keys that signed, each with its limits. */
export class SigningKeys1795000001400 implements MigrationInterface {
  readonly name = 'SigningKeys1795000001400';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table fabula.audit_heads
        drop constraint audit_heads_log_check, add constraint audit_heads_log_check check (log >= -2)`);
    // The access log's tree is never built again: after a move to another log it goes on under that one.
    await runner.query(`
      create or replace function fabula.audit_head_only_grows() returns trigger language plpgsql as $$
      begin
        if new.size < old.size or new.next_offset < old.next_offset or new.log <> old.log
          or (new.log_id <> old.log_id and (old.log <> -2 or new.size <> old.size)) then
          raise exception 'the head of an audit tree only grows: % of log % may not become % of log %', old.size, old.log_id, new.size, new.log_id
            using errcode = 'check_violation';
        end if;
        return new;
      end $$`);
    await runner.query('alter table fabula.audit_notes add column terms bytea check (octet_length(terms) = 32)');
    await runner.query(`
      create table fabula.audit_signing_keys (
        log_id text not null,
        position smallint not null check (position >= 0),
        verifier_key text not null,
        -- Sizes by tree, as {"p0": "12"}: signed by the key before this one up to there, and by this one up to there.
        since jsonb not null,
        until jsonb,
        announced_at bigint not null,
        primary key (log_id, position),
        unique (log_id, verifier_key)
      )`);
    await runner.query(`
      insert into fabula.audit_signing_keys (log_id, position, verifier_key, since, announced_at)
      select log_id, 0, verifier_key, '{}', 0 from fabula.audit_keys`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table fabula.audit_signing_keys');
    await runner.query('alter table fabula.audit_notes drop column terms');
    await runner.query(`
      create or replace function fabula.audit_head_only_grows() returns trigger language plpgsql as $$
      begin
        if new.size < old.size or new.next_offset < old.next_offset or new.log <> old.log or new.log_id <> old.log_id then
          raise exception 'the head of an audit tree only grows: % of log % may not become % of log %', old.size, old.log_id, new.size, new.log_id
            using errcode = 'check_violation';
        end if;
        return new;
      end $$`);
    // Refused while there is an access log: an older program would not know what it is.
    await runner.query(`
      alter table fabula.audit_heads
        drop constraint audit_heads_log_check, add constraint audit_heads_log_check check (log >= -1)`);
  }
}
