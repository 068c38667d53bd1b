import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/**
 * Key-encryption keys (KEKs): what data keys are wrapped under, kept apart from the database that holds the wrapped keys. Without the KEK a copy
 * of the key tables is worth nothing. Which KEK is the current one is the database's word, so that all processes agree; this port only
 * uses the one that it is told.
 */
export interface KeyEncryption {
  /** Where the keys are, for messages. */
  readonly place: string;
  /** Names of the keys that can be used here, sorted. */
  ids(): Promise<readonly string[]>;
  /** Makes a key of that name, or of a new one; a key that is there already stays as it is. Answers its name. */
  create(id?: string): Promise<string>;
  /** @throws KekMissing */
  wrap(id: string, key: Buffer, context: string): Promise<Buffer>;
  /**
   * @param context what the key was wrapped for; another one is refused, so that wrapped keys cannot be exchanged in the table
   * @throws KekMissing, WrapBroken
   */
  unwrap(id: string, wrapped: Buffer, context: string): Promise<Buffer>;
  /** Destroys a key for ever; answers whether it was there. What is wrapped under it can never be read again. */
  destroy(id: string): Promise<boolean>;
}

/** The key-encryption key is not here, or not any more. */
export class KekMissing extends Error {
  override readonly name = 'KekMissing';
  constructor(id: string, place: string) {
    super(
      `The key-encryption key ${id} of this database is not in ${place}: copy that folder from the first node's data directory, or set FABULA_KEK_DIR to one that all nodes share. Without it nobody can be recognised and nothing sealed can be read.`,
    );
  }
}

/** The key-encryption keys cannot be used as they lie there. */
export class KekUnusable extends Error {
  override readonly name = 'KekUnusable';
}

/** The wrapped key was changed, belongs to somebody else, or another key-encryption key of the same name wrapped it. */
export class WrapBroken extends Error {
  override readonly name = 'WrapBroken';
}

/** Names of files and of keys in a KMS: no path can be made of them. */
export const KEK_ID = /^[a-z0-9][a-z0-9-]{0,62}$/;
export const KEK_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;

export function newKekId(): string {
  return `kek-${randomBytes(6).toString('hex')}`;
}

/** IV, ciphertext and tag of AES-256-GCM under a random 96-bit IV; name and context as associated data. */
export function wrapUnder(kek: Buffer, id: string, key: Buffer, context: string): Buffer {
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', kek, iv, { authTagLength: TAG_BYTES });
  cipher.setAAD(associated(id, context));
  return Buffer.concat([iv, cipher.update(key), cipher.final(), cipher.getAuthTag()]);
}

/** @throws WrapBroken */
export function unwrapUnder(kek: Buffer, id: string, wrapped: Buffer, context: string): Buffer {
  if (wrapped.length <= IV_BYTES + TAG_BYTES) throw new WrapBroken('the wrapped key is cut off');
  const decipher = createDecipheriv('aes-256-gcm', kek, wrapped.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(associated(id, context));
  decipher.setAuthTag(wrapped.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(wrapped.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch (error) {
    throw new WrapBroken(`a key that was wrapped under ${id} does not match its tag`, { cause: error });
  }
}

/** A key's name holds no NUL, so that the two parts cannot be cut differently. */
function associated(id: string, context: string): Buffer {
  return Buffer.from(`fabula-wrap-1\0${id}\0${context}`, 'utf8');
}
