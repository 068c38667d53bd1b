import { createHmac, randomBytes } from 'node:crypto';
import type { Pool } from 'pg';
import { KekMissing, WrapBroken, type KeyEncryption } from './key-encryption.js';

/** Turns issuer and subject of a token into a keyed hash: the same person always gets the same, and nobody learns from it who that is. */
export type BlindIndex = (issuer: string, sub: string) => Buffer;

const CHECK = 'check';
const INDEX = 'subject-index';
const CHECKED = Buffer.alloc(32);
const INDEX_KEY_BYTES = 32;
const ATTEMPTS = 5;

/** What the database's key-encryption keys are, and what is wrapped under them once per database. */
export class Keyring {
  private blind: Promise<BlindIndex> | undefined;

  constructor(
    private readonly pool: Pool,
    readonly encryption: KeyEncryption,
  ) {}

  /**
   * Finds the database's current key-encryption key here, or makes the first one, and the key of the blind index. Opened once; after a failure
   * the next asker tries again.
   * @throws KekMissing, KekUnusable, WrapBroken (a key of the same name that is another one)
   */
  open(): Promise<BlindIndex> {
    this.blind ??= this.openOnce().catch((error: unknown) => {
      this.blind = undefined;
      throw error;
    });
    return this.blind;
  }

  /** The key-encryption key that new keys are wrapped under: the database's word, asked each time, since another process may rotate it. */
  async currentId(): Promise<string> {
    const { rows } = await this.pool.query<{ kekId: string }>(`select kek_id as "kekId" from fabula_keys.keks where state = 'current'`);
    const id = rows[0]?.kekId;
    if (id === undefined) throw new Error('the database has no current key-encryption key: the keyring was not opened');
    return id;
  }

  /** That `id` is here and is the very key that wrapped what lies in the database. */
  async check(id: string, checkValue: Buffer): Promise<void> {
    try {
      await this.encryption.unwrap(id, checkValue, CHECK);
    } catch (error) {
      if (!(error instanceof WrapBroken)) throw error;
      throw new WrapBroken(
        `${this.encryption.place} has another key under the name ${id} than the one that wrapped the keys of this database`,
        {
          cause: error,
        },
      );
    }
  }
  checkValue(id: string): Promise<Buffer> {
    return this.encryption.wrap(id, CHECKED, CHECK);
  }

  /** Wraps the key of the blind index anew, if it still lies under `from`. */
  async rewrapIndexKey(from: string, to: string): Promise<void> {
    const row = await this.indexRow();
    if (row?.kekId !== from) return;
    const wrapped = await this.encryption.wrap(to, await this.encryption.unwrap(from, row.wrapped, INDEX), INDEX);
    await this.pool.query('update fabula_keys.index_key set wrapped_key = $1, kek_id = $2 where kek_id = $3', [wrapped, to, from]);
  }

  private async openOnce(): Promise<BlindIndex> {
    await this.claim();
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const row = await this.indexRow();
      try {
        if (row !== undefined) return blindIndexOf(await this.encryption.unwrap(row.kekId, row.wrapped, INDEX));
      } catch (error) {
        // A rotation may have ended between the two reads; the next look finds the row under the new key.
        if (!(error instanceof KekMissing) || attempt + 1 === ATTEMPTS) throw error;
        continue;
      }
      const id = await this.currentId();
      const wrapped = await this.encryption.wrap(id, randomBytes(INDEX_KEY_BYTES), INDEX);
      await this.pool.query(
        `insert into fabula_keys.index_key (wrapped_key, kek_id)
         select $1, k.kek_id from (select kek_id from fabula_keys.keks where kek_id = $2 and state = 'current' for share) k on conflict do nothing`,
        [wrapped, id],
      );
    }
    throw new Error('the key of the blind index could not be made: the key-encryption key was changed again and again');
  }

  /** The first process makes the database's first key; every other one must have it. */
  private async claim(): Promise<void> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const { rows } = await this.pool.query<{ kekId: string; checkValue: Buffer }>(
        `select kek_id as "kekId", check_value as "checkValue" from fabula_keys.keks where state <> 'destroyed'`,
      );
      for (const { kekId, checkValue } of rows) await this.check(kekId, checkValue);
      if (rows.length > 0) return;
      // Before the row: a row without its key would close the database for ever, a key without a row can go.
      const [known] = await this.encryption.ids();
      const id = known ?? (await this.encryption.create());
      const { rowCount } = await this.pool.query(
        `insert into fabula_keys.keks (kek_id, state, check_value) values ($1, 'current', $2) on conflict do nothing`,
        [id, await this.checkValue(id)],
      );
      if (rowCount === 0 && known === undefined) await this.discardUnlessTaken(id);
    }
    throw new Error('no key-encryption key could be agreed upon');
  }

  /** Another process was first with another key; what was just made has wrapped nothing. */
  private async discardUnlessTaken(id: string): Promise<void> {
    const { rowCount } = await this.pool.query('select 1 from fabula_keys.keks where kek_id = $1', [id]);
    if (rowCount === 0) await this.encryption.destroy(id);
  }

  private async indexRow(): Promise<{ readonly wrapped: Buffer; readonly kekId: string } | undefined> {
    const { rows } = await this.pool.query<{ wrapped: Buffer; kekId: string }>(
      'select wrapped_key as wrapped, kek_id as "kekId" from fabula_keys.index_key',
    );
    return rows[0];
  }
}

/** Neither part holds control characters (see `Pseudonyms`), so that they cannot be cut differently. */
export function blindIndexOf(key: Buffer): BlindIndex {
  return (issuer, sub) => createHmac('sha256', key).update(`fabula-subject-1\0${issuer}\0${sub}`, 'utf8').digest();
}
