import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Where the owner of each partition is reached. A hint for forwarding: the truth of ownership is an advisory lock. */
export class Ownership1795000000100 implements MigrationInterface {
  readonly name = 'Ownership1795000000100';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create unlogged table fabula.partition_owners (
        partition integer primary key,
        address text not null,
        since timestamptz not null default now()
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table fabula.partition_owners');
  }
}
