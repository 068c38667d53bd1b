export { Eraser, type Erasure } from './eraser.js';
export { FileKeyEncryption } from './file-key-encryption.js';
export { ForgottenFollower } from './forgotten-follower.js';
export { KEK_ID, KekMissing, KekUnusable, newKekId, WrapBroken, type KeyEncryption } from './key-encryption.js';
export { KekRotation, KekRotationRefused, type KekRotated, type KekState, type KekStatus } from './kek-rotation.js';
export { Keyring, type BlindIndex } from './keyring.js';
export { LegacyKeys, type Converted } from './legacy-keys.js';
export { MemoryKeyEncryption } from './memory-key-encryption.js';
export { MemorySubjectKeys } from './memory-subject-keys.js';
export { PostgresPseudonyms } from './postgres-pseudonyms.js';
export { PostgresSubjectKeys } from './postgres-subject-keys.js';
export {
  BadSubject,
  MAX_SUBJECT_LENGTH,
  MemoryPseudonyms,
  newPseudonym,
  PSEUDONYM,
  Pseudonyms,
  type PseudonymTable,
} from './pseudonyms.js';
export { MAX_SEALED_BYTES, SealBroken, Sealer, SubjectForgotten, type Sealed } from './sealer.js';
export type { SubjectKey, SubjectKeyStore } from './subject-keys.js';
