/** A subject's key. Destroying it makes everything sealed under it unreadable, and changes nothing else. */
export interface SubjectKey {
  /** Public name of the key; stands in every text sealed under it. */
  readonly kid: string;
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
  /** Forgets the key for ever; answers whether there was one. The subject never gets another, so no late writer brings it back. */
  destroy(subject: string): Promise<boolean>;
}

export const KEY_BYTES = 32;
export const KID_BYTES = 12;
