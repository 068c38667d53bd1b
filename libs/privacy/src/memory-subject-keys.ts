import { randomBytes } from 'node:crypto';
import { KEY_BYTES, KID_BYTES, type SubjectKey, type SubjectKeyStore } from './subject-keys.js';

/** For tests and for servers that keep nothing. */
export class MemorySubjectKeys implements SubjectKeyStore {
  private readonly keys = new Map<string, SubjectKey>();
  private readonly destroyed = new Map<string, readonly string[]>();

  async keyOf(subject: string, { create }: { readonly create: boolean }): Promise<SubjectKey | null> {
    const known = this.keys.get(subject);
    if (known !== undefined || !create || this.destroyed.has(subject)) return known ?? null;
    const made = { kid: randomBytes(KID_BYTES).toString('base64url'), subject, key: randomBytes(KEY_BYTES) };
    this.keys.set(subject, made);
    return made;
  }

  async byKid(kid: string): Promise<SubjectKey | null> {
    return [...this.keys.values()].find((key) => key.kid === kid) ?? null;
  }

  async destroy(subject: string): Promise<readonly string[]> {
    const key = this.keys.get(subject);
    this.keys.delete(subject);
    const kids = [...(this.destroyed.get(subject) ?? []), ...(key === undefined ? [] : [key.kid])];
    this.destroyed.set(subject, kids);
    return kids;
  }
}
