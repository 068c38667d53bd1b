import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Story content under its hash. Primary data: events name it, nothing else holds it. */
export class Content1795000000300 implements MigrationInterface {
  readonly name = 'Content1795000000300';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table fabula.story_blobs (
        hash text primary key check (hash ~ '^[0-9a-f]{64}$'),
        content text not null,
        created_at timestamptz not null default now()
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table fabula.story_blobs');
  }
}
