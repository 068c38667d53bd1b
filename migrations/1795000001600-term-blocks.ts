import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Per full block of 256 leaves of an audit tree: which of them have which terms, and the tree over these summaries up to there. */
export class TermBlocks1795000001600 implements MigrationInterface {
  readonly name = 'TermBlocks1795000001600';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      create table fabula.audit_term_blocks (
        log smallint not null,
        block bigint not null check (block >= 0),
        summary bytea not null check (octet_length(summary) between 41 and 172581),
        frontier bytea not null check (octet_length(frontier) % 32 = 0),
        primary key (log, block)
      )`);
    // Hashes do not compress.
    await runner.query('alter table fabula.audit_term_blocks alter column summary set storage external');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table fabula.audit_term_blocks');
  }
}
