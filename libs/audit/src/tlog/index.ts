export * from './strict.js';
export * from './hash.js';
export * from './proof.js';
export * from './frontier.js';
export * from './tile.js';
export * from './note.js';
export * from './checkpoint-note.js';
export * from './trusted-keys.js';
