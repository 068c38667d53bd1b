import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Records that could not be used, whichever generation met them (derived), and what operators decided about them (primary). */
export class DeadLetters1795000000800 implements MigrationInterface {
  readonly name = 'DeadLetters1795000000800';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table fabula.dead_letters (
        log_id text not null,
        partition integer not null,
        "offset" bigint not null,
        kind text not null,
        stream text,
        reason text not null,
        key text not null,
        bytes bytea not null,
        size bigint not null,
        digest text not null,
        headers text,
        time bigint not null,
        first_seen timestamptz not null default now(),
        attempts integer not null default 0,
        last_error text,
        status text not null default 'open' check (status in ('open', 'retried')),
        changed_at timestamptz not null default now(),
        primary key (log_id, partition, "offset")
      )`);
    await runner.query(`create index dead_letters_oldest on fabula.dead_letters (log_id, time, partition, "offset")`);
    await runner.query(`create index dead_letters_of_stream on fabula.dead_letters (log_id, stream) where stream is not null`);
    await runner.query(`
      create table fabula.releases (
        log_id text not null,
        partition integer not null,
        "offset" bigint not null,
        digest text not null,
        kind text not null,
        reason text not null,
        released_by text not null,
        released_at timestamptz not null default now(),
        primary key (log_id, partition, "offset")
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table fabula.releases, fabula.dead_letters');
  }
}
