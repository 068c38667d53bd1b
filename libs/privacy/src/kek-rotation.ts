import type { Pool } from 'pg';
import { errorText, withTransaction } from '#lib/platform';
import { KEK_ID, KekMissing } from './key-encryption.js';
import type { Keyring } from './keyring.js';
import { wrapContext } from './postgres-subject-keys.js';

export type KekState = 'current' | 'retiring' | 'destroyed';

/** A key-encryption key and what lies under it. */
export interface KekStatus {
  readonly id: string;
  readonly state: KekState;
  readonly createdAt: number;
  readonly destroyedAt: number | null;
  /** Subject keys wrapped under it. */
  readonly keys: number;
  /** Whether this process can use it. */
  readonly here: boolean;
}

export interface KekRotated {
  readonly from: string;
  readonly to: string;
  /** Subject keys that are under the new key now. */
  readonly keys: number;
  /** False: the old key must be removed by hand; `why` says what was in the way. */
  readonly oldKeyDestroyed: boolean;
  readonly why?: string;
}

/** The rotation cannot be done: its keys are not what the database says. */
export class KekRotationRefused extends Error {
  override readonly name = 'KekRotationRefused';
}

/** Keys wrapped anew between two looks at the signal; each batch is one statement. */
const BATCH = 200;

/** Wraps every key anew under another key-encryption key while sealing and unsealing go on, and destroys the old one at the end. */
export class KekRotation {
  constructor(
    private readonly pool: Pool,
    private readonly keyring: Keyring,
  ) {}

  async status(): Promise<readonly KekStatus[]> {
    const here = new Set(await this.keyring.encryption.ids());
    const { rows } = await this.pool.query<Omit<KekStatus, 'here'>>(
      `select k.kek_id as id, k.state, (extract(epoch from k.created_at) * 1000)::float8 as "createdAt",
         (extract(epoch from k.destroyed_at) * 1000)::float8 as "destroyedAt",
         (select count(*) from fabula_keys.subject_keys s where s.kek_id = k.kek_id and s.wrapped_key is not null)::int as keys
       from fabula_keys.keks k order by k.created_at, k.kek_id`,
    );
    return rows.map((row) => ({ ...row, here: here.has(row.id) }));
  }

  /** Why such a rotation cannot begin; null: nothing stands in its way. */
  async refusal({ from, to }: { readonly from: string; readonly to: string }): Promise<string | null> {
    if (from === to || !KEK_ID.test(to)) return `"${to.slice(0, 80)}" cannot be the name of the new key-encryption key`;
    const states = new Map((await this.status()).map(({ id, state }) => [id, state]));
    if (states.get(to) === 'destroyed') return `${to} was destroyed: give the new key another name`;
    // What is under way, or done and not recorded yet, goes on.
    if (states.get(to) === 'current' && states.has(from)) return null;
    const unfinished = [...states].find(([, state]) => state === 'retiring')?.[0];
    // What lies under that one would be wrapped by no rotation any more.
    if (unfinished !== undefined) return `the rotation away from ${unfinished} has not ended yet`;
    return states.get(from) === 'current' ? null : `${from} is not the current key-encryption key`;
  }

  /**
   * From `from`, which is the current key, to `to`, which is made when it is not there. Resumes where an earlier attempt ended; repeated after the
   * end it changes nothing.
   * @throws KekRotationRefused; what the signal was aborted with, between two batches
   */
  async rotate({ from, to }: { readonly from: string; readonly to: string }, signal: AbortSignal): Promise<KekRotated> {
    await this.begin(from, to);
    while (await this.rewrapBatch(from, to)) signal.throwIfAborted();
    await this.keyring.rewrapIndexKey(from, to);
    await this.end(from);
    const keys = (await this.status()).find(({ id }) => id === to)?.keys ?? 0;
    try {
      await this.keyring.encryption.destroy(from);
      return { from, to, keys, oldKeyDestroyed: true };
    } catch (error) {
      // A folder that is mounted read-only, or a KMS that keeps keys: nothing needs the old key any more, but it is still somewhere.
      return { from, to, keys, oldKeyDestroyed: false, why: errorText(error) };
    }
  }

  /** From here on nothing more is wrapped under the old key: who is adding a key holds a lock on its row. */
  private async begin(from: string, to: string): Promise<void> {
    const { encryption } = this.keyring;
    const refusal = await this.refusal({ from, to });
    if (refusal !== null) throw new KekRotationRefused(refusal);
    if ((await this.keyring.currentId()) === to) {
      if (!(await encryption.ids()).includes(to)) throw new KekMissing(to, encryption.place);
      return;
    }
    await encryption.create(to);
    const checkValue = await this.keyring.checkValue(to);
    await withTransaction(this.pool, async (client) => {
      const retired = await client.query(`update fabula_keys.keks set state = 'retiring' where kek_id = $1 and state = 'current'`, [from]);
      if (retired.rowCount !== 1) throw new KekRotationRefused(`${from} is not the current key-encryption key any more`);
      await client.query(`insert into fabula_keys.keks (kek_id, state, check_value) values ($1, 'current', $2)`, [to, checkValue]);
    });
  }

  /** Answers whether there was anything left to do. */
  private async rewrapBatch(from: string, to: string): Promise<boolean> {
    const { encryption } = this.keyring;
    const { rows } = await this.pool.query<{ kid: string; subject: string; wrapped: Buffer }>(
      `select kid, subject, wrapped_key as wrapped from fabula_keys.subject_keys
       where kek_id = $1 and wrapped_key is not null order by kid limit ${BATCH}`,
      [from],
    );
    if (rows.length === 0) return false;
    const anew: Buffer[] = [];
    for (const { kid, subject, wrapped } of rows) {
      const context = wrapContext(kid, subject);
      anew.push(await encryption.wrap(to, await encryption.unwrap(from, wrapped, context), context));
    }
    // A key that was destroyed meanwhile stays destroyed.
    await this.pool.query(
      `update fabula_keys.subject_keys s set wrapped_key = n.wrapped, kek_id = $3
       from unnest($1::text[], $2::bytea[]) n(kid, wrapped) where s.kid = n.kid and s.kek_id = $4 and s.wrapped_key is not null`,
      [rows.map(({ kid }) => kid), anew, to, from],
    );
    return true;
  }

  private async end(from: string): Promise<void> {
    const { rowCount } = await this.pool.query(
      `update fabula_keys.keks k set state = 'destroyed', destroyed_at = now()
       where kek_id = $1 and state <> 'current'
         and not exists (select 1 from fabula_keys.subject_keys s where s.kek_id = k.kek_id and s.wrapped_key is not null)
         and not exists (select 1 from fabula_keys.index_key i where i.kek_id = k.kek_id)`,
      [from],
    );
    if (rowCount !== 1) throw new KekRotationRefused(`something still lies under ${from}: it is kept`);
  }
}
