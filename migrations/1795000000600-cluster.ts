import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What the processes on one database share: the secret with which they forward commands to each other. */
export class Cluster1795000000600 implements MigrationInterface {
  readonly name = 'Cluster1795000000600';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table fabula.cluster (
        one boolean primary key default true check (one),
        secret text not null
      )`);
    // Two version 4 UUIDs from the server's strong random source: 244 random bits.
    await runner.query(`insert into fabula.cluster (secret) values (replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''))`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table fabula.cluster');
  }
}
