export * from './story.js';
export * from './expression.js';
export * from './compiled-story.js';
