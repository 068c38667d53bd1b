import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Notes that were signed before terms were: a tree that does not grow any more keeps such a one for ever. The root tree then holds it a second
 * time, with its terms, at `terms_index`.
 */
export class TermsOfEarlierNotes1795000002000 implements MigrationInterface {
  readonly name = 'TermsOfEarlierNotes1795000002000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      alter table fabula.audit_notes add column terms_index bigint
        check (terms_index is null or (terms is not null and terms_index > root_index))`);
    await runner.query(
      'create unique index audit_notes_terms_index on fabula.audit_notes (log_id, terms_index) where terms_index is not null',
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    // Refused once there are any: the root tree could not be built again without them.
    await runner.query('alter table fabula.audit_notes add constraint none_held_twice check (terms_index is null)');
    await runner.query('alter table fabula.audit_notes drop column terms_index');
  }
}
