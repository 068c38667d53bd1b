import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Wrapped keys and the links to people, in a schema of their own and by default in the same database: backed up apart from everything else, or
 * kept in another database. Nothing here can be read without a key-encryption key, which is never in a database.
 */
export class Keys1795000001200 implements MigrationInterface {
  readonly name = 'Keys1795000001200';

  async up(runner: QueryRunner): Promise<void> {
    // Which key-encryption key is current is one row's word: all processes wrap under the same, and none under one that is on its way out.
    await runner.query(`
      create table fabula_keys.keks (
        kek_id text primary key,
        state text not null check (state in ('current', 'retiring', 'destroyed')),
        check_value bytea not null,
        created_at timestamptz not null default now(),
        destroyed_at timestamptz
      )`);
    await runner.query(`create unique index one_current_kek on fabula_keys.keks (state) where state = 'current'`);
    await runner.query(`
      create table fabula_keys.index_key (
        one boolean primary key default true check (one),
        wrapped_key bytea not null,
        kek_id text not null references fabula_keys.keks
      )`);
    // Keyed hash of issuer and subject in place of both: nobody's name or address is stored.
    await runner.query(`
      create table fabula_keys.subjects (
        blind_index bytea primary key check (octet_length(blind_index) = 32),
        pseudonym text not null unique,
        created_at timestamptz not null default now()
      )`);
    // A destroyed key leaves its row: the subject must never get another. One of a subject's keys seals, all of them unseal.
    await runner.query(`
      create table fabula_keys.subject_keys (
        kid text primary key,
        subject text not null,
        seals boolean not null,
        wrapped_key bytea,
        kek_id text references fabula_keys.keks,
        created_at timestamptz not null default now(),
        destroyed_at timestamptz,
        check ((wrapped_key is null) = (destroyed_at is not null)),
        check (wrapped_key is null or kek_id is not null)
      )`);
    await runner.query('create unique index one_sealing_key on fabula_keys.subject_keys (subject) where seals');
    await runner.query('create index subject_keys_of on fabula_keys.subject_keys (subject)');
    await runner.query('create index subject_keys_under on fabula_keys.subject_keys (kek_id, kid) where wrapped_key is not null');
    // In the order of commits (writers lock the table), so that who read up to a number has missed nobody.
    await runner.query(`
      create table fabula_keys.forgotten (
        seq bigint primary key,
        subject text not null unique,
        links integer not null,
        at timestamptz not null default now()
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      'drop table fabula_keys.forgotten, fabula_keys.subject_keys, fabula_keys.subjects, fabula_keys.index_key, fabula_keys.keks',
    );
  }
}
