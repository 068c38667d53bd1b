import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Which log everything derived in this database comes from: another one is refused until somebody says that it is meant. */
export class KnownLog1795000001000 implements MigrationInterface {
  readonly name = 'KnownLog1795000001000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table fabula.known_log (
        one boolean primary key default true check (one),
        kind text not null,
        place text not null,
        log_id text not null,
        partitions integer not null,
        since timestamptz not null default now()
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table fabula.known_log');
  }
}
