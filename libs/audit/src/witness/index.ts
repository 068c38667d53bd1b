export * from './policy.js';
export * from './add-checkpoint.js';
export { Witness, type WitnessAnswer, type WitnessedLog, type WitnessOptions, type WitnessState } from './witness.js';
export { openWitnessKey, originHash, WitnessDirectory, WitnessKeyUnusable } from './witness-directory.js';
export { WitnessServer, type WitnessServerOptions } from './witness-server.js';
