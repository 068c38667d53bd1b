import type { Pool } from 'pg';

/** Tries of one action that failed. */
export interface FailedTries {
  readonly attempts: number;
  readonly lastError: string;
  readonly lastAt: number;
  readonly nextAt: number;
}

const MAX_ERROR = 500;

/** What became of tries to carry actions out: about this installation's work, not derived from the log. In `fabula.compliance_work`. */
export class WorkLedger {
  constructor(private readonly pool: Pool) {}

  /** Those of them that may be tried now. */
  async due(ids: readonly string[], now: number): Promise<ReadonlySet<string>> {
    if (ids.length === 0) return new Set();
    const { rows } = await this.pool.query<{ id: string }>(
      `select i.id from unnest($1::text[]) i(id) where not exists
        (select 1 from fabula.compliance_work w where w.action = i.id and w.next_at > $2::bigint)`,
      [ids, now],
    );
    return new Set(rows.map(({ id }) => id));
  }

  /** Answers which try it was. */
  async failed(id: string, error: string, now: number, [first, last]: readonly [number, number]): Promise<number> {
    const { rows } = await this.pool.query<{ attempts: number }>(
      `insert into fabula.compliance_work as w (action, attempts, last_error, last_at, next_at) values ($1, 1, $2, $3::bigint, $3::bigint + $4::bigint)
       on conflict (action) do update set attempts = w.attempts + 1, last_error = excluded.last_error, last_at = excluded.last_at,
         next_at = excluded.last_at + least($5::bigint, ($4::bigint * (2 ^ least(w.attempts, 30)))::bigint)
       returning attempts`,
      [id, error.slice(0, MAX_ERROR).toWellFormed().replaceAll('\0', ''), now, first, last],
    );
    return rows[0]?.attempts ?? 1;
  }

  async forget(id: string): Promise<void> {
    await this.pool.query('delete from fabula.compliance_work where action = $1', [id]);
  }

  async of(ids: readonly string[]): Promise<ReadonlyMap<string, FailedTries>> {
    if (ids.length === 0) return new Map();
    const { rows } = await this.pool.query<{ action: string; attempts: number; last_error: string; last_at: string; next_at: string }>(
      'select action, attempts, last_error, last_at, next_at from fabula.compliance_work where action = any($1::text[])',
      [ids],
    );
    return new Map(
      rows.map(({ action, attempts, last_error: lastError, last_at, next_at }) => [
        action,
        { attempts, lastError, lastAt: Number(last_at), nextAt: Number(next_at) },
      ]),
    );
  }
}
