import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Who is behind a pseudonym, and the keys of what readers wrote. Primary data, kept out of the log so that it can be destroyed. */
export class Privacy1795000000200 implements MigrationInterface {
  readonly name = 'Privacy1795000000200';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table fabula.subjects (
        issuer text not null,
        sub text not null,
        pseudonym text not null unique,
        created_at timestamptz not null default now(),
        primary key (issuer, sub)
      )`);
    // A destroyed key leaves its row: the subject must never get another.
    await runner.query(`
      create table fabula.subject_keys (
        subject text primary key,
        kid text not null unique,
        key bytea check (octet_length(key) = 32),
        created_at timestamptz not null default now(),
        destroyed_at timestamptz,
        check ((key is null) = (destroyed_at is not null))
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table fabula.subject_keys, fabula.subjects');
  }
}
