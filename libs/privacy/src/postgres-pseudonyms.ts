import type { Pool } from 'pg';
import { withTransaction } from '#lib/platform';
import type { BlindIndex } from './keyring.js';
import type { EarlierSubjects, PseudonymTable } from './pseudonyms.js';

/** Who was forgotten is told here to every process; the payload says nothing, the table does. */
export const FORGOTTEN_CHANNEL = 'fabula_forgotten';

/** Pseudonyms in `fabula_keys.subjects`, by keyed hashes: issuer and subject are never stored. */
export class PostgresPseudonyms implements PseudonymTable {
  /** @param index asked for when it is first needed: not every process has the keys */
  constructor(
    private readonly pool: Pool,
    private readonly index: () => Promise<BlindIndex>,
    private readonly earlier?: EarlierSubjects,
  ) {}

  async findOrAdd(issuer: string, sub: string, proposed: string): Promise<string> {
    const blind = (await this.index())(issuer, sub);
    for (let attempt = 0; attempt < 3; attempt++) {
      const known = await this.known(blind);
      if (known !== null) return known;
      const added = await this.pool.query<{ pseudonym: string }>(
        'insert into fabula_keys.subjects (blind_index, pseudonym) values ($1, $2) on conflict (blind_index) do nothing returning pseudonym',
        [blind, this.earlier?.open === true ? await this.earlier.findOrAdd(issuer, sub, proposed) : proposed],
      );
      if (added.rows[0] !== undefined) return added.rows[0].pseudonym;
      // Somebody else was first: the next look finds theirs, unless it is removed in between.
    }
    throw new Error('the pseudonym was added and removed by others three times in a row');
  }

  async find(issuer: string, sub: string): Promise<string | null> {
    const known = await this.known((await this.index())(issuer, sub));
    return known === null && this.earlier?.open === true ? this.earlier.find(issuer, sub) : known;
  }

  async cut(pseudonym: string): Promise<number> {
    return withTransaction(this.pool, async (client) => {
      // Numbers in the order of commits: who follows them misses none.
      await client.query('lock table fabula_keys.forgotten in exclusive mode');
      const { rowCount } = await client.query('delete from fabula_keys.subjects where pseudonym = $1', [pseudonym]);
      const { rows } = await client.query<{ links: number }>(
        `insert into fabula_keys.forgotten (seq, subject, links)
         values ((select coalesce(max(seq), 0) + 1 from fabula_keys.forgotten), $1, $2)
         on conflict (subject) do update set links = forgotten.links + excluded.links returning links`,
        [pseudonym, rowCount ?? 0],
      );
      await client.query(`notify ${FORGOTTEN_CHANNEL}`);
      return rows[0]?.links ?? 0;
    });
  }

  private async known(blind: Buffer): Promise<string | null> {
    const { rows } = await this.pool.query<{ pseudonym: string }>({
      name: 'pseudonym',
      text: 'select pseudonym from fabula_keys.subjects where blind_index = $1',
      values: [blind],
    });
    return rows[0]?.pseudonym ?? null;
  }
}
