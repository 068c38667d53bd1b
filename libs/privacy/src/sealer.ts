import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import type { SubjectKey, SubjectKeyStore } from './subject-keys.js';

/** Text readable only while the subject's key exists. Fields are base64url. The same shape as the playthrough's `SealedText`. */
export type Sealed = {
  readonly alg: 'A256GCM';
  readonly kid: string;
  readonly iv: string;
  readonly ct: string;
  readonly tag: string;
};

/** The subject's key was destroyed: nothing more is sealed for this subject. */
export class SubjectForgotten extends Error {
  override readonly name = 'SubjectForgotten';
  constructor() {
    super('this subject was forgotten; nothing more can be sealed for it');
  }
}

/** The sealed text was changed, or belongs to another subject. */
export class SealBroken extends Error {
  override readonly name = 'SealBroken';
}

/** Longest text that can be sealed, in bytes of UTF-8. */
export const MAX_SEALED_BYTES = 4_096;

const IV_BYTES = 12;
const TAG_BYTES = 16;
const MARK_BYTES = 16;

/** Seals free text of readers: AES-256-GCM under the subject's key, a random 96-bit IV, subject and key id as associated data. */
export class Sealer {
  constructor(private readonly keys: SubjectKeyStore) {}

  /**
   * `mark` is a keyed hash of the text: equal texts of one subject have equal marks, which say nothing without the key.
   * @throws SubjectForgotten after erasure; RangeError over 4,096 bytes.
   */
  async seal(subject: string, text: string): Promise<{ readonly sealed: Sealed; readonly mark: string }> {
    const bytes = Buffer.from(text, 'utf8');
    if (bytes.length > MAX_SEALED_BYTES) throw new RangeError(`at most ${MAX_SEALED_BYTES} bytes can be sealed, not ${bytes.length}`);
    const key = await this.keys.keyOf(subject, { create: true });
    if (key === null) throw new SubjectForgotten();
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv('aes-256-gcm', key.key, iv, { authTagLength: TAG_BYTES });
    cipher.setAAD(associated(subject, key));
    const ct = Buffer.concat([cipher.update(bytes), cipher.final()]);
    const sealed: Sealed = {
      alg: 'A256GCM',
      kid: key.kid,
      iv: iv.toString('base64url'),
      ct: ct.toString('base64url'),
      tag: cipher.getAuthTag().toString('base64url'),
    };
    return { sealed, mark: markOf(key, bytes) };
  }

  /**
   * The text, or null when the key it was sealed under is gone.
   * @throws SealBroken when the sealed text was tampered with or belongs to another subject.
   */
  async unseal(subject: string, sealed: Sealed): Promise<string | null> {
    const opened = await this.open(sealed);
    if (opened !== null && opened.subject !== subject) throw new SealBroken('the sealed text belongs to another subject');
    return opened?.text ?? null;
  }

  /**
   * The text and whose it is, by the key's name alone: an event may hold sealed fields of several subjects, and erasing one leaves the others.
   * Null when the key is gone.
   * @throws SealBroken when the sealed text was tampered with
   */
  async open(sealed: Sealed): Promise<{ readonly subject: string; readonly text: string } | null> {
    const key = await this.keys.byKid(sealed.kid);
    if (key === null) return null;
    const iv = Buffer.from(sealed.iv, 'base64url');
    const tag = Buffer.from(sealed.tag, 'base64url');
    if (iv.length !== IV_BYTES || tag.length !== TAG_BYTES) throw new SealBroken('IV or tag has the wrong length');
    const decipher = createDecipheriv('aes-256-gcm', key.key, iv, { authTagLength: TAG_BYTES });
    decipher.setAAD(associated(key.subject, key));
    decipher.setAuthTag(tag);
    try {
      const text = Buffer.concat([decipher.update(Buffer.from(sealed.ct, 'base64url')), decipher.final()]).toString('utf8');
      return { subject: key.subject, text };
    } catch (error) {
      throw new SealBroken('the sealed text does not match its tag', { cause: error });
    }
  }
}

/** The kid has a fixed alphabet without NUL, so that the two parts cannot be cut differently. */
function associated(subject: string, key: SubjectKey): Buffer {
  return Buffer.from(`fabula-seal-1\0${key.kid}\0${subject}`, 'utf8');
}

function markOf(key: SubjectKey, text: Buffer): string {
  const markKey = Buffer.from(hkdfSync('sha256', key.key, '', 'fabula-mark-1', 32));
  return createHmac('sha256', markKey).update(text).digest().subarray(0, MARK_BYTES).toString('base64url');
}
