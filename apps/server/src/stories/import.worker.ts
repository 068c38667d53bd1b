import { parentPort } from 'node:worker_threads';
import { lintStory, uniqueProblems } from '#lib/story';
import { importStory } from '#lib/story-formats';
import type { ImportAnswer, ImportOrder } from './story-importer.js';

/** Reads and lints sources beside the event loop: a hostile one may take seconds, and readers must not wait for it. */
parentPort?.on('message', ({ id, source, format, storyId }: ImportOrder) => {
  const result = importStory(format, source, storyId === undefined ? {} : { id: storyId });
  const lint = result.story === undefined ? result.problems : uniqueProblems([...result.problems, ...lintStory(result.story)]);
  const answer: ImportAnswer = { id, result, lint };
  parentPort?.postMessage(answer);
});
