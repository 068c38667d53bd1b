import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The public feed: how far each partition has been published, and the key of the readers' marks. */
export class Feed1795000000900 implements MigrationInterface {
  readonly name = 'Feed1795000000900';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table fabula.feed_positions (
        topic text not null,
        partition integer not null,
        log_id text not null,
        next_offset bigint not null check (next_offset >= 0),
        primary key (topic, partition)
      ) with (fillfactor = 10)`);
    await runner.query(`
      create table fabula.feed_key (
        single boolean primary key default true check (single),
        key bytea not null check (octet_length(key) = 32)
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table fabula.feed_positions, fabula.feed_key');
  }
}
