import { randomBytes } from 'node:crypto';

/** Keeps which pseudonym stands for which subject of which issuer: the one place that links a person to the log. */
export interface PseudonymTable {
  /** The pseudonym of that subject; when there is none yet, `proposed` becomes it. All concurrent askers get the same. */
  findOrAdd(issuer: string, sub: string, proposed: string): Promise<string>;
  /** The pseudonym of that subject, if there is one. */
  find(issuer: string, sub: string): Promise<string | null>;
  /** Cuts every link to a pseudonym for ever; the same person gets a new one next time. Answers how many there were, also when asked again. */
  cut(pseudonym: string): Promise<number>;
}

/** Where servers of an earlier release keep pseudonyms: as long as they run, theirs count. */
export interface EarlierSubjects {
  readonly open: boolean;
  find(issuer: string, sub: string): Promise<string | null>;
  findOrAdd(issuer: string, sub: string, proposed: string): Promise<string>;
}

/** A token's issuer or subject that cannot be a key: empty, too long, with control characters. */
export class BadSubject extends RangeError {
  override readonly name = 'BadSubject';
}

export const MAX_SUBJECT_LENGTH = 512;
/** What `newPseudonym` makes. */
export const PSEUDONYM = /^r-[a-z2-7]{26}$/;
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

  /** The pseudonym of that subject if it has one: looking makes none. @throws BadSubject */
  async find(issuer: string, sub: string): Promise<string | null> {
    check('issuer', issuer);
    check('sub', sub);
    return this.table.find(issuer, sub);
  }

  /** Takes a pseudonym whose link was cut out of memory, and answers that are on their way with it. */
  drop(pseudonym: string): void {
    // Erasures are rare: no second map is kept for them.
    for (const [key, known] of this.recent) if (known === pseudonym) this.recent.delete(key);
    this.asking.clear();
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
  private readonly links = new Map<string, number>();

  async findOrAdd(issuer: string, sub: string, proposed: string): Promise<string> {
    const key = `${issuer}\0${sub}`;
    const known = this.pseudonyms.get(key) ?? proposed;
    this.pseudonyms.set(key, known);
    return known;
  }

  async find(issuer: string, sub: string): Promise<string | null> {
    return this.pseudonyms.get(`${issuer}\0${sub}`) ?? null;
  }

  async cut(pseudonym: string): Promise<number> {
    let links = this.links.get(pseudonym) ?? 0;
    for (const [key, known] of this.pseudonyms) if (known === pseudonym && this.pseudonyms.delete(key)) links += 1;
    this.links.set(pseudonym, links);
    return links;
  }
}
