import { importStory, type StoryFormat } from './index.js';

/** Line and column of each problem, found again by looking for the marked text. */
function expectAt(format: StoryFormat, marked: string, code: string): void {
  const at = marked.indexOf('⟦');
  const source = marked.replace('⟦', '');
  const before = source.slice(0, at).split('\n');
  const { problems } = importStory(format, source);
  const place = { code, line: before.length, column: (before.at(-1) ?? '').length + 1 };
  expect(problems.map(({ code: found, line, column }) => ({ code: found, line, column }))).toContainEqual(place);
}

const yaml = (passage: string): string =>
  `id: a\ntitle: A\nstart: s\nvariables:\n  gold: { type: int, max: 9 }\npassages:\n  s:\n${passage}`;

describe('Problems point at the offending node', () => {
  it.each<[string, StoryFormat, string, string]>([
    ['a plain guard', 'yaml', yaml('    text:\n      - { when: gold > ⟦), text: x }\n'), 'FAB-G010'],
    ['a guard in double quotes with escapes', 'yaml', yaml('    text:\n      - { when: "\\"a\\" == ⟦$", text: x }\n'), 'FAB-G010'],
    ['a guard in single quotes', 'yaml', yaml("    text:\n      - { when: '''a'' == ⟦$', text: x }\n"), 'FAB-G010'],
    [
      'a guard in a block',
      'yaml',
      yaml('    text:\n      - when: |\n          gold > 1 &&\n            ⟦$\n        text: x\n'),
      'FAB-G010',
    ],
    ['a missing target', 'yaml', yaml('    choices:\n      - { id: a, label: A, target: ⟦nowhere }\n'), 'FAB-G101'],
    ['a missing field, at its parent', 'yaml', yaml('    choices:\n      - ⟦{ id: a, target: s }\n'), 'FAB-G001'],
    [
      'a passage with slash and tilde in its path',
      'yaml',
      yaml('    tags: [a~b]\n  q~r:\n    choices: [{ id: a, label: A, target: ⟦"x~y" }]\n'),
      'FAB-G101',
    ],
    ['a key that stands twice', 'json', '{\n  "id": "a",\n  ⟦"id": "b"\n}', 'FAB-G903'],
    ['a broken JSON', 'json', '{\n  "id": ⟦}', 'FAB-G902'],
    ['a JSON that ends too early', 'json', '{\n  "id": [1, {"a": true}⟦', 'FAB-G902'],
    ['a JSON with a comma too many', 'json', '{"id": [1,⟦]}', 'FAB-G902'],
    ['a JSON key without quotes', 'json', '{"a": {}, ⟦id: 1}', 'FAB-G902'],
    ['a JSON string with a wrong escape', 'json', '{"a": "x⟦\\q"}', 'FAB-G902'],
    ['a fraction in JSON behind tabs', 'json', '{\n\t"id": ⟦1.5\n}', 'FAB-G907'],
    ['a guard in Twee', 'twee', ':: StoryVariables\ngold: int 0..9\n\n:: s\nA {% if gold > ⟦) %}b{% endif %}', 'FAB-G010'],
    [
      'a guard of a choice in Twee',
      'twee',
      ':: StoryVariables\ngold: int 0..9\n\n:: s\nA\n[[b->s]] {% once; need gold > ⟦$ else "no" %}',
      'FAB-G010',
    ],
    ['an effect of an unknown variable', 'twee', ':: s\nA {% set a = 1; ⟦add gold 1 %}', 'FAB-G013'],
    ['a value of the wrong type', 'twee', ':: StoryVariables\ngold: int 0..9\n\n:: s\n{% set gold = ⟦true %}', 'FAB-G012'],
    ['a missing target in Twee', 'twee', ':: s\r\nA\r\n  ⟦[[b->nowhere]]', 'FAB-G101'],
    ['a clause that nobody knows', 'twee', ':: s\nA {% once;\n  ⟦jump b %}', 'FAB-G909'],
    ['a declaration', 'twee', ':: StoryVariables\ngold: int 0..9\n ⟦lamp: lamp\n\n:: s\n', 'FAB-G909'],
  ])('%s', (_, format, source, code) => expectAt(format, source, code));
});

describe('Fabula tags in Twee', () => {
  it.each([
    ['{% if true %}x', 'not closed'],
    ['{% endif %}', 'not understood'],
    ['{% else %}', 'not understood'],
    ['{% set gold 3 %}', 'not understood'],
    ['{% draw die 1- %}', 'not understood'],
    ['{% hub a limit b %}', 'not understood'],
    ['{% ending %}', 'not understood'],
    ['{% text "a %}', 'not'],
    ['[[a->s]] {% timed soon %}', 'not understood'],
    ['[[a->s]] {% show gold %}', 'not understood'],
    ['{% choice %}', 'not understood'],
    ['{% ', 'not closed'],
  ])('%s is a problem with help', (body, message) => {
    const { problems } = importStory('twee', `:: StoryData\n{"format":"Fabula"}\n:: s\n${body}`);
    expect(problems).toContainEqual(
      expect.objectContaining({ code: 'FAB-G909', severity: 'error', line: 4, message: expect.stringContaining(message) }),
    );
    expect(problems.find((problem) => problem.code === 'FAB-G909')?.help).not.toBe('');
  });

  it('escaped characters and foreign macros are text', () => {
    const { story } = importStory(
      'twee',
      ':: StoryData\n{"format":"Fabula"}\n:: s\n\\[[a]] \\{% x \\\\ \\n <<set $a to 1>> (set: $b) <b>\n\\:: not a header',
    );
    expect(story?.passages['s']?.text).toEqual([{ text: '[[a]] {% x \\ \\n <<set $a to 1>> (set: $b) <b>\n:: not a header' }]);
    expect(story?.passages['s']?.choices).toEqual([]);
  });

  it('a choice within a sentence leaves its label there', () => {
    const { story } = importStory('twee', ':: s\nYou see a [[door->s]] and a [[window->s]].\n\n[[Leave->s]]\n');
    expect(story?.passages['s']?.text).toEqual([{ text: 'You see a door and a window.' }]);
    expect(story?.passages['s']?.choices.map((choice) => choice.id)).toEqual(['door', 'window', 'leave']);
  });
});
