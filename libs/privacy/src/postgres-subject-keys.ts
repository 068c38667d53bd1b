import { randomBytes } from 'node:crypto';
import type { Pool } from 'pg';
import { KekMissing } from './key-encryption.js';
import type { Keyring } from './keyring.js';
import { KEY_BYTES, newKid, type EarlierKeys, type SubjectKey, type SubjectKeyStore } from './subject-keys.js';

interface Row {
  readonly kid: string;
  readonly subject: string;
  readonly wrapped: Buffer | null;
  readonly kekId: string | null;
}

const COLUMNS = 'kid, subject, wrapped_key as wrapped, kek_id as "kekId"';
const ATTEMPTS = 5;

/** Keys in `fabula_keys.subject_keys`, wrapped; a destroyed key leaves its row without the key. */
export class PostgresSubjectKeys implements SubjectKeyStore {
  /** @param earlier where keys may lie that a server of an earlier release made */
  constructor(
    private readonly pool: Pool,
    private readonly keyring: Keyring,
    private readonly earlier?: EarlierKeys,
  ) {}

  async keyOf(subject: string, { create }: { readonly create: boolean }): Promise<SubjectKey | null> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const known = await this.unwrapped(() => this.row('subject = $1 and seals', subject));
      if (known !== undefined) return known;
      if (this.earlier?.open === true) {
        if (await this.earlier.takeOver({ subject })) continue;
        // Under two keys a retry on the other kind of server would have another mark, and be refused as another command.
        if (!create) return null;
        await this.earlier.make(subject);
        continue;
      }
      if (!create) return null;
      const kid = newKid();
      const made = await this.newKey(kid, subject);
      // A rotation ended between the two questions: the next round asks for the key that is current now.
      if (made === undefined) continue;
      // Another process may have been first: what the table holds counts, not what was offered to it. Nothing is ever added under a
      // key-encryption key that a rotation is about to destroy: the shared lock on its row makes the rotation wait.
      await this.pool.query(
        `insert into fabula_keys.subject_keys (kid, subject, seals, wrapped_key, kek_id)
         select $1, $2, true, $3, k.kek_id from (select kek_id from fabula_keys.keks where kek_id = $4 and state = 'current' for share) k
         on conflict do nothing`,
        [kid, subject, made.wrapped, made.kekId],
      );
    }
    throw new Error('no key could be made: the key-encryption key was changed again and again');
  }

  async byKid(kid: string): Promise<SubjectKey | null> {
    const read = (): Promise<Row | undefined> => this.row('kid = $1', kid);
    const known = await this.unwrapped(read);
    if (known !== undefined || this.earlier === undefined || !(await this.earlier.takeOver({ kid }))) return known ?? null;
    return (await this.unwrapped(read)) ?? null;
  }

  async destroy(subject: string): Promise<readonly string[]> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      await this.pool.query(
        'update fabula_keys.subject_keys set wrapped_key = null, destroyed_at = now() where subject = $1 and wrapped_key is not null',
        [subject],
      );
      // Without a row the subject could still get a key from a writer that is on its way: the row is the mark that it must not.
      await this.pool.query(
        'insert into fabula_keys.subject_keys (kid, subject, seals, destroyed_at) values ($1, $2, true, now()) on conflict do nothing',
        [newKid(), subject],
      );
      const { rows } = await this.pool.query<{ kid: string; kekId: string | null; there: boolean }>(
        'select kid, kek_id as "kekId", wrapped_key is not null as there from fabula_keys.subject_keys where subject = $1 order by created_at, kid',
        [subject],
      );
      // A key was made between the two statements; it is there to stay now, so the next round destroys it.
      if (rows.some(({ there }) => there)) continue;
      return rows.flatMap(({ kid, kekId }) => (kekId === null ? [] : [kid]));
    }
    throw new Error('the key could not be destroyed');
  }

  private async newKey(kid: string, subject: string): Promise<{ readonly kekId: string; readonly wrapped: Buffer } | undefined> {
    const kekId = await this.keyring.currentId();
    try {
      return { kekId, wrapped: await this.keyring.encryption.wrap(kekId, randomBytes(KEY_BYTES), wrapContext(kid, subject)) };
    } catch (error) {
      if (!(error instanceof KekMissing) || (await this.keyring.currentId()) === kekId) throw error;
      return undefined;
    }
  }

  /** Undefined: no row. Null: its key was destroyed. */
  private async unwrapped(read: () => Promise<Row | undefined>): Promise<SubjectKey | null | undefined> {
    for (let attempt = 1; ; attempt++) {
      const row = await read();
      if (row === undefined) return undefined;
      if (row.wrapped === null || row.kekId === null) return null;
      const { kid, subject, kekId, wrapped } = row;
      try {
        return { kid, subject, key: await this.keyring.encryption.unwrap(kekId, wrapped, wrapContext(kid, subject)) };
      } catch (error) {
        // A rotation may have wrapped it anew and destroyed the old key since it was read.
        if (!(error instanceof KekMissing) || attempt === ATTEMPTS) throw error;
      }
    }
  }

  private async row(where: 'subject = $1 and seals' | 'kid = $1', value: string): Promise<Row | undefined> {
    const name = where === 'kid = $1' ? 'key-by-kid' : 'key-of-subject';
    const { rows } = await this.pool.query<Row>({
      name,
      text: `select ${COLUMNS} from fabula_keys.subject_keys where ${where}`,
      values: [value],
    });
    return rows[0];
  }
}

/** Binds a wrapped key to its row. The kid has a fixed alphabet without NUL. */
export const wrapContext = (kid: string, subject: string): string => `subject-key\0${kid}\0${subject}`;
