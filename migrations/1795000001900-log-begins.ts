import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Where partitions of the Postgres log begin whose first records were forgotten; no row is 0. Apart from the head rows, which every append locks. */
export class LogBegins1795000001900 implements MigrationInterface {
  readonly name = 'LogBegins1795000001900';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table fabula.log_begins (
        log_id text not null,
        partition integer not null,
        first_offset bigint not null check (first_offset > 0),
        primary key (log_id, partition)
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    // Refused while something is forgotten: without this table it would look like damage.
    await runner.query('alter table fabula.log_begins add constraint nothing_forgotten check (first_offset is null)');
    await runner.query('drop table fabula.log_begins');
  }
}
