import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Where trees begin whose first leaves were pruned, and what those leaves said of each stream. Primary data: whoever builds such a tree again
 * begins here. Summaries of pruned blocks become empty; their hashes stay.
 */
export class Retention1795000001700 implements MigrationInterface {
  readonly name = 'Retention1795000001700';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table fabula.audit_bases (
        log_id text not null,
        log smallint not null check (log >= 0),
        size bigint not null check (size > 0 and size % 256 = 0),
        next_offset bigint not null,
        frontier bytea not null check (octet_length(frontier) > 0 and octet_length(frontier) % 32 = 0),
        previous_leaf bytea not null check (octet_length(previous_leaf) = 32),
        primary key (log_id, log)
      )`);
    await runner.query(`
      create table fabula.audit_stream_bases (
        log_id text not null,
        log smallint not null,
        stream text not null,
        version bigint not null,
        previous text,
        accepted jsonb not null,
        first_offset bigint not null,
        version_hash text,
        primary key (log_id, log, stream)
      )`);
    await runner.query(`
      create table fabula.audit_pruned (
        log_id text not null,
        log smallint not null,
        retention text not null,
        below bigint not null check (below % 256 = 0),
        leaves bigint not null,
        action text not null,
        primary key (log_id, log, retention)
      )`);
    await runner.query('alter table fabula.audit_term_blocks drop constraint audit_term_blocks_summary_check');
    await runner.query(`
      alter table fabula.audit_term_blocks add constraint audit_term_blocks_summary_check
      check (octet_length(summary) = 0 or octet_length(summary) between 41 and 172581)`);
  }

  async down(runner: QueryRunner): Promise<void> {
    // Refused while something is pruned: without the bases its trees could not be built again.
    await runner.query('alter table fabula.audit_term_blocks drop constraint audit_term_blocks_summary_check');
    await runner.query(`
      alter table fabula.audit_term_blocks add constraint audit_term_blocks_summary_check
      check (octet_length(summary) between 41 and 172581)`);
    await runner.query('drop table fabula.audit_pruned, fabula.audit_stream_bases, fabula.audit_bases');
  }
}
