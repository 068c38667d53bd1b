import { BadSubject, PSEUDONYM, type PseudonymTable } from './pseudonyms.js';
import type { SubjectKeyStore } from './subject-keys.js';

/** What an erasure destroyed: the same whenever it is asked again. */
export interface Erasure {
  readonly subject: string;
  /** Names of the keys that are gone; the texts sealed under them carry these names. */
  readonly keysDestroyed: readonly string[];
  /** Links between tokens' subjects and the pseudonym that were cut. */
  readonly linksCut: number;
}

/** Forgets a person: nothing sealed for it can be read, nothing leads from it to its playthroughs, and it comes back as somebody new. */
export class Eraser {
  constructor(
    private readonly keys: SubjectKeyStore,
    private readonly pseudonyms: PseudonymTable,
    /** Takes the pseudonym out of this process's memory; other processes hear of it from the table. */
    private readonly drop: (pseudonym: string) => void,
  ) {}

  /** Why nobody of that name can be forgotten; null: somebody may be. */
  refusal(subject: string): string | null {
    return PSEUDONYM.test(subject) ? null : 'the subject is no pseudonym: look it up first';
  }

  /**
   * Can be repeated after a crash anywhere in it.
   * @throws BadSubject for what is no pseudonym
   */
  async erase(subject: string): Promise<Erasure> {
    if (!PSEUDONYM.test(subject)) throw new BadSubject('a pseudonym is "r-" and 26 letters or digits 2 to 7');
    const keysDestroyed = await this.keys.destroy(subject);
    const linksCut = await this.pseudonyms.cut(subject);
    this.drop(subject);
    return { subject, keysDestroyed, linksCut };
  }
}
