export * from './playthrough-commands.js';
export * from './playthrough-events.js';
export * from './playthrough-state.js';
