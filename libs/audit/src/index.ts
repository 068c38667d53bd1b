export * from './tlog/index.js';
