import { printExpression, type Effect, type Passage } from '#lib/story';
import { importStory, type ImportResult } from './index.js';

const importAs = (format: 'SugarCube' | 'Harlowe', body: string, more = ''): ImportResult =>
  importStory('twee', `:: StoryData\n{"format":"${format}"}\n:: Start\n${body}\n:: b\nB\n:: c\nC\n${more}`);

const start = (result: ImportResult): Passage => {
  const passage = result.story?.passages['Start'];
  if (passage === undefined) throw new Error(JSON.stringify(result.problems));
  return passage;
};
const guard = (passage: Passage, i = 0): string | undefined => {
  const when = passage.text[i]?.when;
  return when && printExpression(when);
};
const shown = (effect: Effect | undefined): string => {
  if (effect === undefined) return 'none';
  const when = effect.when === undefined ? '' : ` if ${printExpression(effect.when)}`;
  if (effect.do === 'set') return `${effect.variable} = ${printExpression(effect.to)}${when}`;
  if (effect.do === 'add') return `${effect.variable} += ${printExpression(effect.by)}${when}`;
  return effect.do === 'draw' ? `draw ${effect.variable} ${effect.min ?? ''}..${effect.max ?? ''}${when}` : effect.do;
};

describe('Conditions of other formats become guards', () => {
  const known = '<<set $gold to 3>><<set $key to true>><<set $mood to "calm">>';
  it.each([
    ['$gold gte 2 and not $key', 'gold >= 2 && !key'],
    ['$gold == 2 || $key', 'gold == 2 || key'],
    ['$gold is 2 and ($key or $gold lt 9)', 'gold == 2 && (key || gold < 9)'],
    ['$gold', 'gold != 0'],
    ['!$gold', '!(gold != 0)'],
    ['$mood is "calm"', "mood == 'calm'"],
    ['$mood neq "angry"', "mood != 'angry'"],
    ['$key === true', 'key == true'],
    ['$gold % 2 eq 0', 'gold % 2 == 0'],
    ['$key ? $gold > 1 : $gold > 2', 'key ? gold > 1 : gold > 2'],
    ['visited("b") gt 1', "visits('b') > 1"],
    ['visited() gt 1', "visits('Start') > 1"],
    ['hasVisited("b")', "visits('b') > 0"],
    ['turns() > 3', 'turn + 1 > 3'],
  ])('SugarCube: %s', (condition, expected) => {
    const result = importAs('SugarCube', `${known}<<if ${condition}>>yes<</if>>`);
    expect(result.notImported).toEqual([]);
    expect(guard(start(result))).toBe(expected);
  });

  it.each([
    ['$gold >= 2 and not $key', 'gold >= 2 && !key'],
    ['$mood is "calm"', "mood == 'calm'"],
    ['$mood is not "angry"', "mood != 'angry'"],
    ['$gold is >= 2', 'gold >= 2'],
    ['visits > 1', "visits('Start') > 1"],
    ['(history:) contains "b"', "visits('b') > 0"],
    ['(history: ) contains "Start"', "visits('Start') - 1 > 0"],
    ['(turns:) > 2', 'turn + 1 > 2'],
  ])('Harlowe: %s', (condition, expected) => {
    const result = importAs('Harlowe', `(set: $gold to 3)(set: $key to true)(set: $mood to "calm")(if: ${condition})[yes]`);
    expect(result.notImported).toEqual([]);
    expect(guard(start(result))).toBe(expected);
  });

  it('branches exclude one another, and links inside them take the condition as visibleWhen', () => {
    for (const result of [
      importAs('SugarCube', '<<set $n to 1>>\n<<if $n is 1>>\n[[One->b]]\n<<elseif $n is 2>>\ntwo\n<<else>>\nmany\n<</if>>'),
      importAs('Harlowe', '(set: $n to 1)\n(if: $n is 1)[[[One->b]]]\n(else-if: $n is 2)[two\n](else:)[many\n]'),
    ]) {
      const passage = start(result);
      expect(passage.choices.map((choice) => [choice.id, choice.visibleWhen && printExpression(choice.visibleWhen)])).toEqual([
        ['one', 'n == 1'],
      ]);
      expect(passage.text.map((part, i) => [part.text.trim(), guard(passage, i)])).toEqual([
        ['two', '!(n == 1) && n == 2'],
        ['many', '!(n == 1) && !(n == 2)'],
      ]);
      expect(result.notImported).toEqual([]);
    }
  });

  it.each([
    ['$a.b gte 1', /property/],
    ['$list.includes("x")', /property/],
    ['$x gte 0.5', /fractions/],
    ['$x / 2 gt 1', /fractions/],
    ['previous() is "b"', /previous/],
    ['random(1, 6) is 3', /random/],
    ['$x is "one" + "two"', /different kinds|enum/],
    ['def $x', /def/],
    ['$nothing is $nowhere', /not known/],
  ])('what does not fit, as %s, is listed with its line and reason, and its text stays', (condition, reason) => {
    const result = importAs('SugarCube', `<<set $x to 1>>\nA\n<<if ${condition}>>[[Go->b]] B<</if>>`);
    const passage = start(result);
    expect(passage.text.map((part) => part.text).join('')).toContain('B');
    expect(passage.choices[0]).toMatchObject({ id: 'go', target: { passage: 'b' } });
    expect(passage.choices[0]?.visibleWhen).toBeUndefined();
    expect(result.notImported).toContainEqual(
      expect.objectContaining({ kind: 'condition', line: 6, passage: 'Start', reason: expect.stringMatching(reason) }),
    );
  });
});

describe('Assignments of other formats become effects', () => {
  it.each([
    ['<<set $n to 5>>', 'n = 5'],
    ['<<set $n = 5>>', 'n = 5'],
    ['<<set $n += 2>>', 'n += 2'],
    ['<<set $n -= 2>>', 'n += -2'],
    ['<<set $n *= 2>>', 'n = n * 2'],
    ['<<set $n++>>', 'n += 1'],
    ['<<set $n to $n - 1>>', 'n += -1'],
    ['<<set $n to random(1, 6)>>', 'draw n 1..6'],
    ['<<set $n to either(2, 1, 3)>>', 'draw n 1..3'],
    ['<<set $b to not $b>>', 'b = !b'],
    ['<<run $n to 5>>', 'n = 5'],
    ['<<if $b>><<set $n to 1>><</if>>', 'n = 1 if b'],
  ])('SugarCube: %s', (source, expected) => {
    const result = importAs('SugarCube', `${source}\n[[x->b][$b to true]]\nText`);
    expect(result.notImported).toEqual([]);
    expect(shown(start(result).effects.at(-1))).toBe(expected);
    expect(shown(start(result).choices[0]?.effects[0])).toBe('b = true');
  });

  it.each([
    ['(set: $n to 5)', 'n = 5'],
    ['(set: $n to it + 2)', 'n += 2'],
    ['(put: 5 into $n)', 'n = 5'],
    ['(set: $n to (random: 1, 6))', 'draw n 1..6'],
    ['(set: $n to (either: 1, 2))', 'draw n 1..2'],
  ])('Harlowe: %s', (source, expected) => {
    const result = importAs('Harlowe', `${source}\nText`);
    expect(result.notImported).toEqual([]);
    expect(shown(start(result).effects.at(-1))).toBe(expected);
  });

  it('types come from all uses; StoryInit gives the first values', () => {
    const result = importAs(
      'SugarCube',
      '<<set $calc += 1>><<set $mood to "angry">><<if $flag>>x<</if>><<set $flag to true>><<set $level to 3>>$calc',
      ':: StoryInit\n<<set $calc to 10, $mood to "calm">>\n',
    );
    expect(result.story?.variables).toEqual({
      calc: { type: 'int', min: -1_000_000, max: 1_000_000, default: 10, public: false },
      mood: { type: 'enum', values: ['calm', 'angry'], default: 'calm', public: false },
      flag: { type: 'bool', default: false, public: false },
      level: { type: 'int', min: 0, max: 3, default: 0, public: false },
    });
    expect(
      start(result)
        .text.map((part) => part.text)
        .join(''),
    ).toContain('{{calc}}');
  });

  it.each([
    ['<<set $list to []>>', /arrays/],
    ['<<set $o to {a: 1}>>', /arrays|objects/],
    ['<<set $o.a to 1>>', /property/],
    ['<<set $x to 1>><<set $x to "a">>', /different kinds/],
    ['<<set $x to Math.floor(3)>>', /Math|counterpart/],
    [
      '<<set $name to "A long name with 🐉 that nobody would take for one word of a few, as it goes on and on for more than a hundred and twenty characters">>',
      /free text/,
    ],
    ['<<for _i to 0; _i lt 3; _i++>><<set $x += 1>><</for>>', /inside/],
  ])('%s is listed with line and reason', (source, reason) => {
    const result = importAs('SugarCube', source);
    expect(result.story).toBeDefined();
    expect(start(result).effects).toEqual([]);
    expect(result.notImported).toContainEqual(
      expect.objectContaining({ kind: 'assignment', line: 4, reason: expect.stringMatching(reason) }),
    );
  });
});

describe('Links and macros of other formats', () => {
  it.each([
    ['<<link "Go" "b">><<set $n to 1>><</link>>'],
    ['<<button "Go" "b">><<set $n to 1>><</button>>'],
    ['<<link "Go">><<set $n to 1>><<goto "b">><</link>>'],
    ['[[Go->b][$n to 1]]'],
    ['[[b<-Go][$n to 1]]'],
    ['[[Go|b][$n = 1]]'],
  ])('SugarCube: %s is a choice with an effect', (source) => {
    const result = importAs('SugarCube', source);
    expect(result.notImported).toEqual([]);
    expect(start(result).choices).toMatchObject([
      { id: 'go', label: 'Go', target: { passage: 'b' }, effects: [{ do: 'set', variable: 'n' }] },
    ]);
  });

  it.each([['(link-goto: "Go", "b")'], ['(link: "Go")[(goto: "b")]'], ['[[Go->b]]']])('Harlowe: %s is a choice', (source) => {
    const result = importAs('Harlowe', source);
    expect(result.notImported).toEqual([]);
    expect(start(result).choices).toMatchObject([{ label: 'Go', target: { passage: 'b' } }]);
  });

  it('broken links are problems of a draft, with their place', () => {
    const result = importAs('SugarCube', 'Text\n  [[Nowhere]]');
    expect(result.story).toBeDefined();
    expect(result.problems).toMatchObject([{ code: 'FAB-G101', line: 5, column: 3 }]);
  });

  it('code, styles, includes, jumps and HTML are listed and never kept', () => {
    const result = importAs(
      'SugarCube',
      '<script>alert(1)</script><b>bold</b><<script>>evil()<</script>><<include "b">><<goto "c">><<widget>><!-- note -->',
      ':: Code [script]\nevil()\n:: Style [stylesheet]\nb {}\n:: StoryCaption\n$x\n',
    );
    expect(JSON.stringify(result.story)).not.toMatch(/alert|evil|<b>/);
    expect(result.notImported.map((entry) => entry.kind).sort()).toEqual(
      ['comment', 'html', 'macro', 'macro', 'macro', 'passage', 'script', 'script', 'script', 'style'].sort(),
    );
    expect(start(result).text[0]?.text).toBe('bold');
  });

  it('equal labels get ids from their targets, whatever their order', () => {
    const ids = (body: string): readonly string[] => start(importAs('SugarCube', body)).choices.map((choice) => choice.id);
    expect(ids('[[Leave->b]]\n[[Leave->c]]\n[[Stay->b]]')).toEqual(['leave-b', 'leave-c', 'stay']);
    expect(ids('[[Leave->c]]\n[[Leave->b]]\n[[🐉->b]]')).toEqual(['leave-c', 'leave-b', 'b']);
    expect(ids('[[Leave->b]]\n[[Leave->b]]')).toEqual(['leave-b', 'leave-b-2']);
  });
});
