import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What partitions of the log begin with whose first records were forgotten: the rows themselves lie in a schema `log_base_<id>` each. Primary
 * data: nothing else says what those records led to.
 */
export class LogBases1795000002100 implements MigrationInterface {
  readonly name = 'LogBases1795000002100';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table fabula.log_bases (
        id integer generated always as identity primary key,
        log_id text not null,
        partition integer not null check (partition >= 0),
        "offset" bigint not null check ("offset" > 0),
        layout integer not null,
        action text not null,
        state text not null check (state in ('building', 'folded', 'current', 'former')),
        digest text check (digest ~ '^[0-9a-f]{64}$'),
        created_at timestamptz not null default now(),
        check ((digest is null) = (state = 'building'))
      )`);
    await runner.query(`create unique index log_bases_current on fabula.log_bases (log_id, partition) where state = 'current'`);
    await runner.query(`create unique index log_bases_next on fabula.log_bases (log_id, partition) where state in ('building', 'folded')`);
  }

  async down(runner: QueryRunner): Promise<void> {
    const bases = (await runner.query(`select id, state from fabula.log_bases`)) as { id: number; state: string }[];
    if (bases.some(({ state }) => state === 'current'))
      throw new Error('records of the log were forgotten: without its bases nothing could be derived from it again');
    for (const { id } of bases) await runner.query(`drop schema if exists log_base_${id} cascade`);
    await runner.query('drop table fabula.log_bases');
  }
}
