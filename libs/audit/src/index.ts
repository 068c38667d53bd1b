export * from './tlog/index.js';
export * from './access/index.js';
export * from './monitor/index.js';
export * from './timestamp/index.js';
export * from './witness/index.js';
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
export { agreeOnKey, AuditKeyDiffers, keptVerifierKey } from './postgres/verifier-key.js';
export { AuditVerdicts } from './postgres/audit-verdicts.js';
export { PostgresAuditStore } from './postgres/postgres-audit-store.js';
export { Auditor, type AuditorOptions, type PartitionAudit } from './auditor.js';
export {
  formatSearchKey,
  MAX_SEARCH_LIMIT,
  parseSearchKey,
  playthroughStream,
  type SearchHit,
  type SearchKey,
  type SearchPage,
  type SearchQuery,
} from './search.js';
export type { ExportJob, ExportKeeper, ExportRange, ExportState, ExportWish } from './export-job.js';
export { termsOfLeaf, type Term, type TermType } from './terms/index.js';
export { makeNextKey, nextKeyFile, openSigningKey, openSigningKeys, settleSigningKeys, SigningKeyUnusable } from './keys/signing-key.js';
export { announceKey, KeyRefused } from './keys/announce-key.js';
export { trustOf, type KeptKey, type TreeSizes } from './keys/kept-keys.js';
export { DEFAULT_OVERLAP_MS, signersAt, type SigningKeys } from './keys/notary-keys.js';
export { DirectoryNoteKeeper, type NoteKeeper } from './note-keeper.js';
export { DEFAULT_INTERVAL_MS, DEFAULT_REPUBLISH_MS, Notary, originOf, type NotaryOptions, type NotaryStatus } from './notary.js';
export type { RootLeaf } from './root-leaf.js';
export { ProofRefused, Proofs, TreeBehind, type ConsistencyProof, type InclusionProof } from './proofs.js';
export { BUNDLE_FORMAT, plainPolicy, type ExportDescription, type ExportedTree, type ExportFilter } from './bundle/bundle-format.js';
export { bodiesOf, type RecordBodies } from './bundle/bodies.js';
export { writeViews } from './views/write-views.js';
export { OCSF_VERSION } from './views/ocsf-view.js';
export { EXIT_CODES, type Finding, type FindingKind, type Place } from './bundle/findings.js';
export {
  verifyBundle,
  type Acceptance,
  type BundleReport,
  type BundleSource,
  type CosignatureReport,
  type CoverageReport,
  type SealedReport,
  type TimestampReport,
  type TreeReport,
  type VerifyOptions,
  type WitnessReport,
} from './bundle/verify-bundle.js';
export { ExportRefused, planExport, writeBundle, type BundleOptions, type ExportPlan, type PlanOptions } from './bundle/write-bundle.js';
export { NoRoom, type ExportLimits, type RemovalReason } from './finished-exports.js';
export { Exporter, KeptElsewhere, MAX_WAITING_EXPORTS, TooManyExports, type ExporterOptions } from './exporter.js';
export { verifyStore, type LogBaseCheck, type StoreReport, type VerifyStoreOptions } from './verify-store.js';
export { rebuildTrees, type TreeRebuild } from './rebuild.js';
export { Tiles } from './tiles/tiles.js';
export { MirrorRefused, mirrorTiles, type MirrorOptions } from './tiles/mirror.js';
export type { BeginTerms, TermsReading } from './rederive.js';
export { keepingTerms } from './terms/keep-terms.js';
export { LeavesPruned, PRUNE_BLOCK, type PrunedClass, type TreeBase } from './retention/tree-base.js';
export { newestInRoot } from './bundle/plan-export.js';
export { pruneLeaves, signedBlocks, type LeafPruned, type LeafPruning } from './retention/prune-leaves.js';
