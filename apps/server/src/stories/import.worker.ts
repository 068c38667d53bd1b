import { parentPort } from 'node:worker_threads';
import { lintSource } from '#lib/story-formats';
import type { ImportAnswer, ImportOrder } from './story-importer.js';

/** Reads and lints sources beside the event loop: a hostile one may take seconds, and readers must not wait for it. */
parentPort?.on('message', ({ id, source, format, storyId }: ImportOrder) => {
  const { result, problems: lint } = lintSource(format, source, storyId === undefined ? {} : { id: storyId });
  const answer: ImportAnswer = { id, result, lint };
  parentPort?.postMessage(answer);
});
