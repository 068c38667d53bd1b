import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The key that signs a log's notes, as the first auditor brought it: no other may sign after it. */
export class AuditKeys1795000000700 implements MigrationInterface {
  readonly name = 'AuditKeys1795000000700';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('create table fabula.audit_keys (log_id text primary key, verifier_key text not null)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('drop table fabula.audit_keys');
  }
}
