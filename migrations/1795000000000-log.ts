import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The Postgres log: its identity, one head row per partition, the records. `"offset"` order is commit order (docs: the append statement). */
export class Log1795000000000 implements MigrationInterface {
  readonly name = 'Log1795000000000';

  async up(runner: QueryRunner): Promise<void> {
    // One row at most: id and partition count are written once, when the log is created.
    await runner.query(`
      create table fabula.log_identity (
        singleton boolean primary key default true check (singleton),
        id text not null,
        partitions integer not null check (partitions between 1 and 4096),
        created_at timestamptz not null default now()
      )`);
    // Many updates of few rows: room on the page keeps them on it (HOT), so the head row stays one look-up away.
    await runner.query(`
      create table fabula.log_partitions (
        partition integer primary key,
        next_offset bigint not null default 0,
        last_time bigint not null default 0
      ) with (fillfactor = 10)`);
    await runner.query(`
      create table fabula.log_records (
        partition integer not null,
        "offset" bigint not null,
        key text not null,
        value bytea not null,
        headers text,
        time bigint not null,
        primary key (partition, "offset")
      )`);
    // Decision records are read back whole and at once: compressing them costs more than it saves.
    await runner.query('alter table fabula.log_records alter column value set storage external');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table fabula.log_records, fabula.log_partitions, fabula.log_identity');
  }
}
