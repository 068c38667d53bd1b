import { randomBytes } from 'node:crypto';
import type { Pool } from 'pg';
import { KEY_BYTES, KID_BYTES, type SubjectKey, type SubjectKeyStore } from './subject-keys.js';

type Row = { kid: string; key: Buffer | null };

/** Keys in `fabula.subject_keys`; a destroyed key leaves its row without the key. */
export class PostgresSubjectKeys implements SubjectKeyStore {
  constructor(private readonly pool: Pool) {}

  async keyOf(subject: string, { create }: { readonly create: boolean }): Promise<SubjectKey | null> {
    const known = await this.row(subject);
    if (known !== undefined || !create) return usable(known);
    await this.pool.query('insert into fabula.subject_keys (subject, kid, key) values ($1, $2, $3) on conflict (subject) do nothing', [
      subject,
      randomBytes(KID_BYTES).toString('base64url'),
      randomBytes(KEY_BYTES),
    ]);
    // Another process may have been first: what the table holds counts, not what was offered to it.
    return usable(await this.row(subject));
  }

  async destroy(subject: string): Promise<boolean> {
    for (let attempt = 0; attempt < 3; attempt++) {
      const destroyed = await this.pool.query(
        'update fabula.subject_keys set key = null, destroyed_at = now() where subject = $1 and key is not null',
        [subject],
      );
      if (destroyed.rowCount === 1) return true;
      // Without a row the subject could still get a key from a writer that is on its way: the row is the mark that it must not.
      await this.pool.query(
        'insert into fabula.subject_keys (subject, kid, key, destroyed_at) values ($1, $2, null, now()) on conflict (subject) do nothing',
        [subject, randomBytes(KID_BYTES).toString('base64url')],
      );
      if ((await this.row(subject))?.key === null) return false;
      // A key was made between the two statements; it is there to stay now, so the next round destroys it.
    }
    throw new Error('the key could not be destroyed');
  }

  private async row(subject: string): Promise<Row | undefined> {
    const { rows } = await this.pool.query<Row>({
      name: 'subject-key',
      text: 'select kid, key from fabula.subject_keys where subject = $1',
      values: [subject],
    });
    return rows[0];
  }
}

function usable(row: Row | undefined): SubjectKey | null {
  return row === undefined || row.key === null ? null : { kid: row.kid, key: row.key };
}
