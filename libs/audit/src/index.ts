export * from './tlog/index.js';
export { leafBytes, leafTerms, MAX_LEAF_BYTES, type Leaf, type LeafEvent, type LeafInput, type LeafTerms } from './leaf.js';
export {
  AuditStopped,
  type AuditHead,
  type AuditStopCode,
  type AuditStore,
  type AuditTransaction,
  type Growth,
  type KeptNote,
  type LeafPage,
  type StoredLeaf,
  type StoredTile,
} from './audit-store.js';
export { parseLogName, partitionLog, partitionOfLog, type LogName } from './log-name.js';
export { MemoryAuditStore } from './memory/memory-audit-store.js';
export { PostgresAuditStore } from './postgres/postgres-audit-store.js';
export { Auditor, type AuditorOptions, type PartitionAudit } from './auditor.js';
export {
  formatSearchKey,
  MAX_SEARCH_LIMIT,
  parseSearchKey,
  type SearchHit,
  type SearchKey,
  type SearchPage,
  type SearchQuery,
} from './search.js';
export type { ExportJob, ExportRange, ExportState } from './export-job.js';
export { openSigningKey, SigningKeyUnusable } from './signing-key.js';
export { DirectoryNoteKeeper, type NoteKeeper } from './note-keeper.js';
export { DEFAULT_INTERVAL_MS, DEFAULT_REPUBLISH_MS, Notary, originOf, type NotaryOptions, type NotaryStatus } from './notary.js';
export type { RootLeaf } from './root-leaf.js';
export { ProofRefused, Proofs, type ConsistencyProof, type InclusionProof } from './proofs.js';
