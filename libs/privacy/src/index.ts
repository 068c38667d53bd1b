export { MemorySubjectKeys } from './memory-subject-keys.js';
export { PostgresSubjectKeys } from './postgres-subject-keys.js';
export {
  BadSubject,
  MAX_SUBJECT_LENGTH,
  MemoryPseudonyms,
  newPseudonym,
  PostgresPseudonyms,
  Pseudonyms,
  type PseudonymTable,
} from './pseudonyms.js';
export { MAX_SEALED_BYTES, SealBroken, Sealer, SubjectForgotten, type Sealed } from './sealer.js';
export type { SubjectKey, SubjectKeyStore } from './subject-keys.js';
