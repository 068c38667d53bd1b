import { readFileSync } from 'node:fs';
import { importStory, type StoryFormat } from './index.js';

/** The first code block of that language in a page of the reference. */
function example(page: string, language: string): string {
  const text = readFileSync(`${process.cwd()}/docs/reference/${page}`, 'utf8');
  const found = new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(text)?.[1];
  if (found === undefined) throw new Error(`${page} has no ${language} example`);
  return found;
}

describe('The examples of the reference', () => {
  it.each<[StoryFormat, string]>([
    ['twee', 'twee.md'],
    ['yaml', 'native-format.md'],
  ])('the %s story of %s imports without a problem and without anything left out', (format, page) => {
    const { story, problems, notImported, warnings } = importStory(format, example(page, format));
    expect(problems).toEqual([]);
    expect(notImported).toEqual([]);
    expect(warnings).toEqual([]);
    expect(Object.keys(story?.passages ?? {})).toContain('The widow');
    expect(story?.passages['Quay']?.choices.map((choice) => choice.id)).toContain('pay');
  });

  it('the tags of the Twee example become guards, effects and kinds of choices', () => {
    const { story } = importStory('twee', example('twee.md', 'twee'));
    const quay = story?.passages['Quay'];
    expect(quay?.text.map((part) => part.text)).toEqual([
      'The quay lies still. You have {{gold}} coins.\n',
      'The ferryman glares at you.\n',
      'The ferryman eyes your rope.\n',
      'The ferryman yawns.',
    ]);
    expect(quay?.choices.map(({ kind, repeat, timeoutMs }) => [kind, repeat, timeoutMs])).toEqual([
      ['normal', 'sticky', undefined],
      ['normal', 'once', undefined],
      ['normal', 'sticky', undefined],
      ['fallback', 'sticky', undefined],
      ['timed', 'sticky', 90_000],
    ]);
    expect(story?.passages['The widow']).toMatchObject({ title: 'Sit with the widow', priority: 5, tags: ['gossip'] });
    expect(story?.passages['Boat']?.effects.map((effect) => effect.do)).toEqual(['draw', 'set']);
  });
});
