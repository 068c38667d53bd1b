export * from './cold-source.js';
