import { randomBytes } from 'node:crypto';

/** A subject's key. Destroying it makes everything sealed under it unreadable, and changes nothing else. */
export interface SubjectKey {
  /** Public name of the key; stands in every text sealed under it. */
  readonly kid: string;
  /** Whose it is: a pseudonym. */
  readonly subject: string;
  /** 32 bytes. */
  readonly key: Buffer;
}

/** Where subjects' keys are kept: primary data, never in the log. A subject is a pseudonym. */
export interface SubjectKeyStore {
  /**
   * The subject's key. With `create`, the first asker makes it and all others get that one. Null when there is none, and for ever after it
   * was destroyed.
   */
  keyOf(subject: string, options: { readonly create: boolean }): Promise<SubjectKey | null>;
  /** The key of that name, whoever's it is; null when there is none, or none any more. */
  byKid(kid: string): Promise<SubjectKey | null>;
  /**
   * Forgets the subject's keys for ever; answers the names of all that were destroyed, now or earlier. The subject never gets another, so no
   * late writer brings it back.
   */
  destroy(subject: string): Promise<readonly string[]>;
}

/** Where servers of an earlier release keep keys, as long as they run. */
export interface EarlierKeys {
  readonly open: boolean;
  /** Brings such keys in; answers whether there were any that are new here. */
  takeOver(which: { readonly kid: string } | { readonly subject: string }): Promise<boolean>;
  /** Makes the subject's key there unless there is one. */
  make(subject: string): Promise<void>;
}

export const KEY_BYTES = 32;
export const KID_BYTES = 12;

export const newKid = (): string => randomBytes(KID_BYTES).toString('base64url');
