import { randomBytes } from 'node:crypto';
import { Client, type Pool } from 'pg';
import { errorCode } from '#lib/platform';
import type { Keyring } from './keyring.js';
import type { EarlierSubjects } from './pseudonyms.js';
import { KEY_BYTES, newKid, type EarlierKeys } from './subject-keys.js';
import { wrapContext } from './postgres-subject-keys.js';

/** What was brought over from the tables of releases before 0.3. */
export interface Converted {
  readonly subjects: number;
  readonly keys: number;
}

const NOTHING: Converted = { subjects: 0, keys: 0 };

interface PlainKey {
  readonly kid: string;
  readonly subject: string;
  readonly key: Buffer | null;
}

const BATCH = 500;
/** Any fixed number: one process at a time converts. */
export const CONVERSION_LOCK = '4701231823412331896';
const DUPLICATE_OBJECT = '42710';
const CHECK_VIOLATION = '23514';
/** What servers of those releases call their sessions; later ones have another name. */
const OLD_APPLICATION = 'fabula';

/**
 * Earlier releases kept issuer and subject of tokens in clear (`fabula.subjects`) and data keys unwrapped (`fabula.subject_keys`). As soon as no server
 * of such a release runs beside this one, they are brought into `fabula_keys` and the old tables emptied; the first is closed for good, so that an
 * old server that comes later rather refuses a reader that it does not know than writes a name down.
 *
 * Until then (a rolling upgrade, which may be taken back) the old tables say who is who and whose key is which: both kinds of servers must give a
 * reader one pseudonym, and seal under one key.
 */
export class LegacyKeys implements EarlierKeys, EarlierSubjects {
  private opened = false;

  constructor(
    private readonly mainUrl: string,
    private readonly main: Pool,
    private readonly keys: Pool,
    private readonly keyring: Keyring,
  ) {}

  /** Whether servers of an earlier release may still write to the old tables. */
  get open(): boolean {
    return this.opened;
  }

  /** Converts unless servers of an earlier release run; answers what was brought over. To be asked again while `open`. */
  async settle(): Promise<Converted> {
    const { rowCount } = await this.main.query(
      'select 1 from pg_stat_activity where datname = current_database() and application_name = $1 limit 1',
      [OLD_APPLICATION],
    );
    const done = await this.isDone();
    this.opened = !done;
    if (rowCount !== 0 || done) return NOTHING;
    // While it lasts the old tables still count: who is only there yet must not become somebody new.
    const converted = await this.convert();
    // A key may have been made there meanwhile: then it is done again.
    this.opened = !(await this.isDone());
    return converted;
  }

  /** The pseudonym that old servers give that person. */
  async find(issuer: string, sub: string): Promise<string | null> {
    const { rows } = await this.main.query<{ pseudonym: string }>('select pseudonym from fabula.subjects where issuer = $1 and sub = $2', [
      issuer,
      sub,
    ]);
    return rows[0]?.pseudonym ?? null;
  }

  /** The same, made when there is none: what they will find there counts. */
  async findOrAdd(issuer: string, sub: string, proposed: string): Promise<string> {
    const known = await this.find(issuer, sub);
    if (known !== null) return known;
    try {
      await this.main.query(
        'insert into fabula.subjects (issuer, sub, pseudonym) values ($1, $2, $3) on conflict (issuer, sub) do nothing',
        [issuer, sub, proposed],
      );
    } catch (error) {
      // Another process has closed the table since: no old server is left that could need it.
      if (errorCode(error) !== CHECK_VIOLATION) throw error;
      return (await this.find(issuer, sub)) ?? proposed;
    }
    return (await this.find(issuer, sub)) ?? proposed;
  }

  /** Can be repeated after a crash anywhere in it. */
  async convert(): Promise<Converted> {
    if (await this.isDone()) return NOTHING;
    const client = new Client({ connectionString: this.mainUrl, application_name: 'fabula-key-conversion' });
    await client.connect();
    try {
      await client.query('select pg_advisory_lock($1)', [CONVERSION_LOCK]);
      await client.query('alter table fabula.subjects add constraint subjects_closed check (false) not valid').catch((error: unknown) => {
        if (errorCode(error) !== DUPLICATE_OBJECT) throw error;
      });
      const subjects = await this.convertSubjects();
      // Truncating gives the file back; deleted rows would stay in it.
      if (subjects > 0) await client.query('truncate fabula.subjects');
      return { subjects, keys: await this.convertKeys(client) };
    } finally {
      // Ending the session releases the lock.
      await client.end();
    }
  }

  /** A key, or a subject's keys, that an old server made; answers whether there were any that are new here. */
  async takeOver(which: { readonly kid: string } | { readonly subject: string }): Promise<boolean> {
    const [column, value] = 'kid' in which ? ['kid', which.kid] : ['subject', which.subject];
    const { rows } = await this.main.query<PlainKey>(`select kid, subject, key from fabula.subject_keys where ${column} = $1`, [value]);
    return rows.length > 0 && (await this.wrapAll(rows)) > 0;
  }

  async make(subject: string): Promise<void> {
    await this.main.query('insert into fabula.subject_keys (subject, kid, key) values ($1, $2, $3) on conflict (subject) do nothing', [
      subject,
      newKid(),
      randomBytes(KEY_BYTES),
    ]);
  }

  private async isDone(): Promise<boolean> {
    const { rows } = await this.main.query<{ done: boolean }>(
      `select exists (select 1 from pg_constraint where conname = 'subjects_closed' and conrelid = 'fabula.subjects'::regclass)
         and not exists (select 1 from fabula.subjects) and not exists (select 1 from fabula.subject_keys) as done`,
    );
    return rows[0]?.done === true;
  }

  private async convertSubjects(): Promise<number> {
    const index = await this.keyring.open();
    let after: { readonly issuer: string; readonly sub: string } = { issuer: '', sub: '' };
    for (let converted = 0; ;) {
      const { rows } = await this.main.query<{ issuer: string; sub: string; pseudonym: string; created: Date }>(
        `select issuer, sub, pseudonym, created_at as created from fabula.subjects
         where (issuer, sub) > ($1, $2) order by issuer, sub limit ${BATCH}`,
        [after.issuer, after.sub],
      );
      const last = rows.at(-1);
      if (last === undefined) return converted;
      await this.keys.query(
        `insert into fabula_keys.subjects (blind_index, pseudonym, created_at)
         select * from unnest($1::bytea[], $2::text[], $3::timestamptz[]) on conflict do nothing`,
        [rows.map(({ issuer, sub }) => index(issuer, sub)), rows.map(({ pseudonym }) => pseudonym), rows.map(({ created }) => created)],
      );
      converted += rows.length;
      after = last;
    }
  }

  /** In batches first; then, under a lock that keeps old servers out, what came meanwhile, and the table is emptied. */
  private async convertKeys(client: Client): Promise<number> {
    let converted = 0;
    const take = async (read: Pick<Client, 'query'>): Promise<void> => {
      for (let after = ''; ;) {
        const { rows } = await read.query<PlainKey>(
          `select kid, subject, key from fabula.subject_keys where kid > $1 order by kid limit ${BATCH}`,
          [after],
        );
        const last = rows.at(-1);
        if (last === undefined) return;
        converted += await this.wrapAll(rows);
        after = last.kid;
      }
    };
    await take(client);
    await client.query('begin');
    await client.query('lock table fabula.subject_keys in access exclusive mode');
    await take(client);
    await client.query('truncate fabula.subject_keys');
    await client.query('commit');
    return converted;
  }

  /** Answers how many were not there yet. A subject that was forgotten gets no key back. */
  private async wrapAll(rows: readonly PlainKey[]): Promise<number> {
    const known = await this.keys.query<{ kid: string }>('select kid from fabula_keys.subject_keys where kid = any($1::text[])', [
      rows.map(({ kid }) => kid),
    ]);
    const there = new Set(known.rows.map(({ kid }) => kid));
    const fresh = rows.filter(({ kid }) => !there.has(kid));
    const { encryption } = this.keyring;
    const kekId = await this.keyring.currentId();
    const wrapped: (Buffer | null)[] = [];
    for (const { kid, subject, key } of fresh)
      wrapped.push(key === null ? null : await encryption.wrap(kekId, key, wrapContext(kid, subject)));
    const values = [fresh.map(({ kid }) => kid), fresh.map(({ subject }) => subject), wrapped, kekId];
    const offered = `(select n.kid, n.subject, n.wrapped, case when n.wrapped is null then now() end as gone
        from unnest($1::text[], $2::text[], $3::bytea[]) n(kid, subject, wrapped)) n
      cross join (select kek_id from fabula_keys.keks where kek_id = $4 and state = 'current' for share) k`;
    const insert = 'insert into fabula_keys.subject_keys (kid, subject, seals, wrapped_key, kek_id, destroyed_at)';
    await this.keys.query(
      `${insert} select n.kid, n.subject, true, n.wrapped, k.kek_id, n.gone from ${offered} on conflict do nothing`,
      values,
    );
    // The subject has another key by now: this one unseals what it sealed.
    await this.keys.query(
      `${insert} select n.kid, n.subject, false, n.wrapped, k.kek_id, n.gone from ${offered}
       where not exists (select 1 from fabula_keys.subject_keys s where s.subject = n.subject and s.wrapped_key is null) on conflict do nothing`,
      values,
    );
    const kept = await this.keys.query(
      `select 1 from unnest($1::text[], $2::text[]) n(kid, subject) where exists (select 1 from fabula_keys.subject_keys s
         where s.kid = n.kid or (s.subject = n.subject and s.wrapped_key is null))`,
      [values[0], values[1]],
    );
    // A rotation came between the question for the current key and the statements. Nothing was lost: the old table is emptied later.
    if (kept.rowCount !== fresh.length) throw new Error('the key-encryption key was rotated while keys were taken over: start again');
    return fresh.length;
  }
}
