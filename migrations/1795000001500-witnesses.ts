import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What others say of the audit's signed trees: witnesses' cosignatures, contradictions that they found, and timestamps. Primary data. */
export class Witnesses1795000001500 implements MigrationInterface {
  readonly name = 'Witnesses1795000001500';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table fabula.audit_cosignatures (
        log_id text not null,
        log smallint not null,
        witness text not null,
        size bigint not null check (size >= 0),
        line text not null,
        cosigned_at bigint not null,
        primary key (log_id, log, witness, size)
      )`);
    await runner.query(`
      create table fabula.audit_forks (
        log_id text not null,
        log smallint not null,
        witness text not null,
        kind text not null,
        digest bytea not null check (octet_length(digest) = 32),
        found_at bigint not null,
        ours text not null,
        theirs text not null,
        old_size bigint not null,
        proof jsonb not null,
        primary key (log_id, log, witness, kind, digest)
      )`);
    await runner.query(`
      create table fabula.audit_timestamps (
        log_id text not null,
        log smallint not null,
        stamped_at bigint not null,
        size bigint not null check (size >= 0),
        note text not null,
        authority text not null,
        response bytea not null check (octet_length(response) <= 262144),
        primary key (log_id, log, stamped_at)
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const table of ['audit_timestamps', 'audit_forks', 'audit_cosignatures']) await runner.query(`drop table fabula.${table}`);
  }
}
