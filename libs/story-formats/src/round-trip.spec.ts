import * as fc from 'fast-check';
import { normaliseStory, type Story } from '#lib/story';
import { exportStory, importStory } from './index.js';
import { anyStory } from './testing/any-story.js';

const storyOf = (form: object): Story => {
  const { story, problems } = normaliseStory(form);
  if (story === undefined) throw new Error(`the generated story is unsound: ${JSON.stringify(problems.slice(0, 2))}`);
  return story;
};

describe('Export and import', () => {
  const runs = process.env['FABULA_TEST_LONG'] === undefined ? 80 : 5_000;

  it.each(['json', 'yaml', 'twee'] as const)('a story exported to %s and imported again is the same story', (format) => {
    fc.assert(
      fc.property(anyStory(), (form) => {
        const story = storyOf(form);
        const text = exportStory(story, format);
        const back = importStory(format, text);
        expect(back.problems.filter((problem) => problem.code < 'FAB-G1' || problem.code >= 'FAB-G9')).toEqual([]);
        expect(back.notImported).toEqual([]);
        expect(back.story).toEqual(story);
      }),
      { numRuns: runs },
    );
  });
});
