import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Tries to carry out approved actions that failed: when they may be tried again, and why not yet. */
export class Compliance1795000001100 implements MigrationInterface {
  readonly name = 'Compliance1795000001100';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table fabula.compliance_work (
        action text primary key,
        attempts integer not null,
        last_error text not null,
        last_at bigint not null,
        next_at bigint not null
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table fabula.compliance_work');
  }
}
