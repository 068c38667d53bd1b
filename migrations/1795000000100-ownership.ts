import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Who writes which partition, and which processes are there. Hints for forwarding only: the truth of ownership is an advisory lock. */
export class Ownership1795000000100 implements MigrationInterface {
  readonly name = 'Ownership1795000000100';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create unlogged table fabula.partition_owners (
        partition integer primary key,
        address text not null,
        since timestamptz not null default now()
      )`);
    await runner.query(`
      create unlogged table fabula.processes (
        address text primary key,
        seen_at timestamptz not null
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table fabula.processes, fabula.partition_owners');
  }
}
