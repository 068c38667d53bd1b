export * from './policy.js';
export * from './add-checkpoint.js';
export { Witness, type WitnessAnswer, type WitnessedLog, type WitnessOptions, type WitnessState } from './witness.js';
export { openWitnessKey, originHash, WitnessDirectory, WitnessKeyUnusable } from './witness-directory.js';
export { WitnessServer, type WitnessServerOptions } from './witness-server.js';
export { MemoryWitnessRecords, type Cosignature, type ForkKind, type ForkReport, type WitnessRecords } from './witness-records.js';
export { WitnessClient, WitnessUnavailable } from './witness-client.js';
export {
  cosigned,
  CosignatureCollector,
  newestWitnessed,
  type CollectorOptions,
  type QuorumStatus,
  type WitnessStatus,
} from './collector.js';
export { PostgresWitnessRecords } from '../postgres/postgres-witness-records.js';
export { CopyRefused, NoteCopies, type NoteCopiesOptions } from './note-copies.js';
