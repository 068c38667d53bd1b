import { randomBytes } from 'node:crypto';
import { KEY_BYTES, KID_BYTES, type SubjectKey, type SubjectKeyStore } from './subject-keys.js';

/** For tests and for servers that keep nothing. */
export class MemorySubjectKeys implements SubjectKeyStore {
  private readonly keys = new Map<string, SubjectKey | null>();

  async keyOf(subject: string, { create }: { readonly create: boolean }): Promise<SubjectKey | null> {
    const known = this.keys.get(subject);
    if (known !== undefined || !create) return known ?? null;
    const made = { kid: randomBytes(KID_BYTES).toString('base64url'), key: randomBytes(KEY_BYTES) };
    this.keys.set(subject, made);
    return made;
  }

  async destroy(subject: string): Promise<boolean> {
    const had = (this.keys.get(subject) ?? null) !== null;
    this.keys.set(subject, null);
    return had;
  }
}
