import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The generations of read models: each a schema `projection_<n>` that the projector itself creates; one of them is live. */
export class Projections1795000000400 implements MigrationInterface {
  readonly name = 'Projections1795000000400';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table fabula.projection_generations (
        n integer primary key check (n > 0),
        state text not null check (state in ('building', 'live', 'retired')),
        layout integer not null,
        log_id text not null,
        created_at timestamptz not null default now(),
        switched_at timestamptz,
        retired_at timestamptz
      )`);
    await runner.query(`create unique index projection_generations_one_live on fabula.projection_generations (state) where state = 'live'`);
    await runner.query(
      `create unique index projection_generations_one_building on fabula.projection_generations (state) where state = 'building'`,
    );
    // How often an operator tried to take up a parked stream again: about people's acts, not derived from the log, so outside generations.
    await runner.query(`
      create table fabula.parked_retries (
        stream text primary key,
        attempts integer not null,
        last_error text,
        last_at timestamptz not null default now()
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table fabula.parked_retries');
    const generations = (await runner.query('select n from fabula.projection_generations')) as { n: number }[];
    for (const { n } of generations) await runner.query(`drop schema if exists projection_${n} cascade`);
    await runner.query('drop table fabula.projection_generations');
  }
}
