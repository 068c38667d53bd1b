import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The audit: one tree per partition (`log` = its number) and the root tree (-1), the signed notes, and the exports. */
export class Audit1795000000500 implements MigrationInterface {
  readonly name = 'Audit1795000000500';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table fabula.audit_heads (
        log smallint primary key check (log >= -1),
        log_id text not null,
        next_offset bigint not null default 0,
        size bigint not null default 0,
        frontier bytea not null default '',
        previous_leaf bytea
      ) with (fillfactor = 10)`);
    // Rolling a tree back is an attack or a restored backup: never an update.
    await runner.query(`
      create function fabula.audit_head_only_grows() returns trigger language plpgsql as $$
      begin
        if new.size < old.size or new.next_offset < old.next_offset or new.log <> old.log or new.log_id <> old.log_id then
          raise exception 'the head of an audit tree only grows: % of log % may not become % of log %', old.size, old.log_id, new.size, new.log_id
            using errcode = 'check_violation';
        end if;
        return new;
      end $$`);
    await runner.query(`
      create trigger audit_head_only_grows before update on fabula.audit_heads
      for each row execute function fabula.audit_head_only_grows()`);
    await runner.query(`
      create table fabula.audit_leaves (
        log smallint not null,
        leaf_index bigint not null,
        log_offset bigint not null,
        time bigint not null,
        accepted boolean not null,
        stream text,
        correlation_id text,
        actor text,
        leaf bytea not null check (octet_length(leaf) <= 65535),
        primary key (log, leaf_index),
        unique (log, log_offset)
      )`);
    // Leaves are hashed as they are read: their bytes are what counts, and compressing them costs more than it saves.
    await runner.query('alter table fabula.audit_leaves alter column leaf set storage external');
    await runner.query('create index audit_leaves_stream on fabula.audit_leaves (stream, log, leaf_index) where stream is not null');
    await runner.query(
      'create index audit_leaves_correlation on fabula.audit_leaves (correlation_id, time, log, leaf_index) where correlation_id is not null',
    );
    await runner.query('create index audit_leaves_actor on fabula.audit_leaves (actor, time, log, leaf_index) where actor is not null');
    await runner.query('create index audit_leaves_time on fabula.audit_leaves (time, log, leaf_index) where log >= 0');
    await runner.query(`
      create table fabula.audit_tiles (
        log smallint not null,
        level smallint not null,
        tile bigint not null,
        hashes bytea not null check (octet_length(hashes) between 32 and 8192 and octet_length(hashes) % 32 = 0),
        primary key (log, level, tile)
      ) with (fillfactor = 50)`);
    // Hashes do not compress.
    await runner.query('alter table fabula.audit_tiles alter column hashes set storage external');
    await runner.query(`
      create table fabula.audit_notes (
        log smallint not null,
        log_id text not null,
        size bigint not null,
        root bytea not null check (octet_length(root) = 32),
        note text not null,
        signed_at bigint not null,
        published_at bigint not null,
        root_index bigint,
        primary key (log_id, log, size),
        unique (log_id, root_index),
        check ((log = -1) = (root_index is null))
      )`);
    await runner.query(`
      create table fabula.audit_exports (
        id text primary key,
        requested_at bigint not null,
        job jsonb not null
      )`);
    await runner.query('create index audit_exports_newest on fabula.audit_exports (requested_at desc, id)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table fabula.audit_exports, fabula.audit_notes, fabula.audit_tiles, fabula.audit_leaves, fabula.audit_heads');
    await runner.query('drop function fabula.audit_head_only_grows()');
  }
}
