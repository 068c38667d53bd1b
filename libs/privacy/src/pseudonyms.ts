import { randomBytes } from 'node:crypto';
import type { Pool } from 'pg';

/** Keeps which pseudonym stands for which subject of which issuer: the one place that links a person to the log. */
export interface PseudonymTable {
  /** The pseudonym of that subject; when there is none yet, `proposed` becomes it. All concurrent askers get the same. */
  findOrAdd(issuer: string, sub: string, proposed: string): Promise<string>;
  /** Cuts the link; the same person gets a new pseudonym next time. Answers the old one. */
  remove(issuer: string, sub: string): Promise<string | null>;
}

/** A token's issuer or subject that cannot be a key: empty, too long, with control characters. */
export class BadSubject extends RangeError {
  override readonly name = 'BadSubject';
}

export const MAX_SUBJECT_LENGTH = 512;
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';
const LETTERS = 26;

/** `r-` and 26 letters of base32: 130 random bits. */
export function newPseudonym(): string {
  let letters = '';
  // 256 is a multiple of 32: no letter is likelier than another.
  for (const byte of randomBytes(LETTERS)) letters += ALPHABET.charAt(byte % 32);
  return `r-${letters}`;
}

/**
 * Pseudonyms of token subjects, with the most recent kept in memory.
 * `limit` (10,000, some 2 MB): raise it when more readers than that are active at once, lower it to save memory.
 */
export class Pseudonyms {
  private readonly recent = new Map<string, string>();
  private readonly asking = new Map<string, Promise<string>>();

  constructor(
    private readonly table: PseudonymTable,
    private readonly limit = 10_000,
  ) {}

  /** @throws BadSubject when issuer or sub is empty, over 512 characters, ill-formed or holds control characters. */
  async of(issuer: string, sub: string): Promise<string> {
    check('issuer', issuer);
    check('sub', sub);
    const key = `${issuer}\0${sub}`;
    const known = this.recent.get(key);
    if (known !== undefined) {
      this.keep(key, known);
      return known;
    }
    const asked = this.asking.get(key);
    if (asked !== undefined) return asked;
    const asking = this.table.findOrAdd(issuer, sub, newPseudonym());
    this.asking.set(key, asking);
    try {
      const pseudonym = await asking;
      if (this.asking.get(key) === asking) this.keep(key, pseudonym);
      return pseudonym;
    } finally {
      if (this.asking.get(key) === asking) this.asking.delete(key);
    }
  }

  /** Cuts the link between that subject and its pseudonym, which it answers. Other processes must be told to `drop` it. */
  async forget(issuer: string, sub: string): Promise<string | null> {
    const removed = await this.table.remove(issuer, sub);
    this.drop(issuer, sub);
    return removed;
  }

  /** Takes it out of memory. */
  drop(issuer: string, sub: string): void {
    this.recent.delete(`${issuer}\0${sub}`);
    this.asking.delete(`${issuer}\0${sub}`);
  }

  private keep(key: string, pseudonym: string): void {
    // A map keeps the order of insertion: what is used goes to its end, what leaves is at its beginning.
    this.recent.delete(key);
    this.recent.set(key, pseudonym);
    if (this.recent.size <= this.limit) return;
    for (const oldest of this.recent.keys()) {
      this.recent.delete(oldest);
      return;
    }
  }
}

function check(what: string, text: string): void {
  if (text.length < 1 || text.length > MAX_SUBJECT_LENGTH) throw new BadSubject(`${what} has 1 to ${MAX_SUBJECT_LENGTH} characters`);
  if (!text.isWellFormed() || /\p{Cc}/u.test(text)) throw new BadSubject(`${what} holds control characters or half characters`);
}

export class MemoryPseudonyms implements PseudonymTable {
  private readonly pseudonyms = new Map<string, string>();

  async findOrAdd(issuer: string, sub: string, proposed: string): Promise<string> {
    const key = `${issuer}\0${sub}`;
    const known = this.pseudonyms.get(key) ?? proposed;
    this.pseudonyms.set(key, known);
    return known;
  }

  async remove(issuer: string, sub: string): Promise<string | null> {
    const key = `${issuer}\0${sub}`;
    const known = this.pseudonyms.get(key) ?? null;
    this.pseudonyms.delete(key);
    return known;
  }
}

/** Pseudonyms in `fabula.subjects`. */
export class PostgresPseudonyms implements PseudonymTable {
  constructor(private readonly pool: Pool) {}

  async findOrAdd(issuer: string, sub: string, proposed: string): Promise<string> {
    for (let attempt = 0; attempt < 3; attempt++) {
      const known = await this.pool.query<{ pseudonym: string }>({
        name: 'pseudonym',
        text: 'select pseudonym from fabula.subjects where issuer = $1 and sub = $2',
        values: [issuer, sub],
      });
      if (known.rows[0] !== undefined) return known.rows[0].pseudonym;
      const added = await this.pool.query<{ pseudonym: string }>(
        'insert into fabula.subjects (issuer, sub, pseudonym) values ($1, $2, $3) on conflict (issuer, sub) do nothing returning pseudonym',
        [issuer, sub, proposed],
      );
      if (added.rows[0] !== undefined) return added.rows[0].pseudonym;
      // Somebody else was first: the next look finds theirs, unless it is removed in between.
    }
    throw new Error('the pseudonym was added and removed by others three times in a row');
  }

  async remove(issuer: string, sub: string): Promise<string | null> {
    const { rows } = await this.pool.query<{ pseudonym: string }>(
      'delete from fabula.subjects where issuer = $1 and sub = $2 returning pseudonym',
      [issuer, sub],
    );
    return rows[0]?.pseudonym ?? null;
  }
}
