import * as fc from 'fast-check';
import { authorForm, canonicalStory, nativeJsonSchema, normaliseStory, parseCanonicalStory, storyHash, type Story } from './index.js';
import { anyStory } from './testing/any-story.js';

const tiny = {
  id: 'tiny',
  title: 'Tiny',
  start: 'hall',
  variables: {
    gold: { type: 'int', min: 0, max: 10 },
    door: { type: 'enum', values: ['shut', 'open'] },
    pack: { type: 'set', values: ['rope', 'lamp'] },
    brave: { type: 'bool' },
    die: { type: 'int', min: 1, max: 6 },
  },
  endings: { out: { title: 'Out' } },
  passages: {
    hall: {
      text: ['A hall.', { text: 'You are rich.', when: 'gold > 5' }],
      choices: [
        {
          id: 'roll',
          label: 'Roll',
          enabledWhen: "gold >= 1 && !('rope' in pack)",
          reason: 'No coin',
          effects: [
            { add: 'gold', by: -1 },
            { draw: 'die' },
            { draw: 'die', min: 2, max: 3, id: 'second' },
            { draw: 'die' },
            { set: 'door', to: "'open'", when: 'die == 6' },
            { set: 'brave', to: true },
            { set: 'gold', to: 'gold + 1' },
            { set: 'pack', to: ['rope', 'lamp'] },
            { insert: 'pack', member: 'rope' },
            { remove: 'pack', member: 'rope' },
          ],
          target: 'hall',
        },
        { id: 'leave', label: 'Leave', target: { end: 'out' } },
        { id: 'back', label: 'Back', target: 'return' },
      ],
    },
  },
};
const change = (edit: (story: typeof tiny & { [field: string]: unknown }) => void): unknown => {
  const copy = structuredClone(tiny);
  edit(copy as typeof tiny & { [field: string]: unknown });
  return copy;
};
const problemsOf = (input: unknown) => normaliseStory(input).problems;
const storyOf = (input: unknown): Story => {
  const { story, problems } = normaliseStory(input);
  if (story === undefined) throw new Error(JSON.stringify(problems));
  return story;
};

describe('normalising the author form', () => {
  it('fills in defaults and reads the short forms', () => {
    const story = storyOf(tiny);
    expect(problemsOf(tiny)).toEqual([]);
    expect(story.language).toBe('en');
    expect(story.variables['gold']).toEqual({ type: 'int', min: 0, max: 10, default: 0, public: false });
    expect(story.variables['die']).toMatchObject({ default: 1 });
    expect(story.variables['door']).toMatchObject({ default: 'shut' });
    const [roll, leave, back] = story.passages['hall']?.choices ?? [];
    expect(roll).toMatchObject({ repeat: 'sticky', kind: 'normal', target: { passage: 'hall' } });
    expect(roll?.effects.map((effect) => (effect.do === 'draw' ? effect.id : ''))).toEqual([
      '',
      'hall/roll#1',
      'second',
      'hall/roll#3',
      '',
      '',
      '',
      '',
      '',
      '',
    ]);
    expect(roll?.effects[7]).toEqual({ do: 'set', variable: 'pack', to: { op: 'set', members: ['lamp', 'rope'] } });
    expect([leave?.target, back?.target]).toEqual([{ end: 'out' }, { return: true }]);
  });

  it('is undone by authorForm, on any story', () => {
    fc.assert(
      fc.property(anyStory(), (story) => {
        const again = normaliseStory(authorForm(story));
        expect(again.problems.filter((problem) => problem.code < 'FAB-G100')).toEqual([]);
        expect(again.story).toEqual(story);
      }),
      { numRuns: 300 },
    );
  });

  it('gives one hash whatever the order of keys, and another for other content', () => {
    const shuffled = (value: unknown): unknown =>
      Array.isArray(value)
        ? value.map(shuffled)
        : typeof value === 'object' && value !== null
          ? Object.fromEntries(
              Object.entries(value)
                .toReversed()
                .map(([key, inner]) => [key, shuffled(inner)]),
            )
          : value;
    fc.assert(
      fc.property(anyStory(), (story) => {
        expect(storyHash(shuffled(story) as Story)).toBe(storyHash(story));
        expect(storyHash(storyOf({ ...authorForm(story), title: `${story.title}!` }))).not.toBe(storyHash(story));
      }),
      { numRuns: 100 },
    );
    expect(storyHash(storyOf(tiny))).toBe(storyHash(storyOf(structuredClone(tiny))));
  });

  it('reads canonical text back, and refuses any other', () => {
    const story = storyOf(tiny);
    expect(parseCanonicalStory(canonicalStory(story))).toEqual(story);
    expect(() => parseCanonicalStory(JSON.stringify(story, null, 1))).toThrow('not in canonical form');
    expect(() => parseCanonicalStory(canonicalStory({ ...story, extra: 1 } as Story))).toThrow('extra');
    expect(() => parseCanonicalStory('{')).toThrow('not a canonical story');
  });

  it.each<[string, unknown, string, string]>([
    ['an unknown field', change((s) => void (s['colour'] = 'red')), 'FAB-G002', '/colour'],
    [
      'an unknown field of a choice',
      change((s) => Object.assign(s.passages.hall.choices[1] ?? {}, { enabledwhen: 'brave' })),
      'FAB-G002',
      '/passages/hall/choices/1/enabledwhen',
    ],
    [
      'an unknown field of an effect',
      change((s) => Object.assign(s.passages.hall.choices[0]?.effects?.[0] ?? {}, { wen: 'brave' })),
      'FAB-G002',
      '/passages/hall/choices/0/effects/0/wen',
    ],
    ['a wrong type', change((s) => Object.assign(s, { start: 12 })), 'FAB-G001', '/start'],
    ['a missing field', change((s) => void Reflect.deleteProperty(s, 'title')), 'FAB-G001', '/title'],
    [
      'a label of a megabyte',
      change((s) => Object.assign(s.passages.hall.choices[1] ?? {}, { label: 'x'.repeat(1_000_000) })),
      'FAB-G003',
      '/passages/hall/choices/1/label',
    ],
    [
      'a text over its bytes',
      change((s) => Object.assign(s.passages.hall, { text: 'é'.repeat(40_000) })),
      'FAB-G003',
      '/passages/hall/text',
    ],
    [
      'too many choices',
      change((s) =>
        Object.assign(s.passages.hall, { choices: Array.from({ length: 101 }, (_, i) => ({ id: `c${i}`, label: 'x', target: 'hall' })) }),
      ),
      'FAB-G003',
      '/passages/hall/choices',
    ],
    ['an id that objects inherit', change((s) => Object.assign(s.passages, { constructor: {} })), 'FAB-G004', '/passages'],
    ['__proto__ as its own key', JSON.parse('{"__proto__": {"start": "x"}}'), 'FAB-G004', ''],
    [
      'a variable that is a word of guards',
      change((s) => Object.assign(s.variables, { turn: { type: 'bool' } })),
      'FAB-G004',
      '/variables/turn',
    ],
    ['a passage id with a slash', change((s) => Object.assign(s.passages, { 'a/b': {} })), 'FAB-G004', '/passages/a~1b'],
    [
      'a choice id that looks like a storylet offer',
      change((s) => Object.assign(s.passages.hall.choices[1] ?? {}, { id: 'storylet:x' })),
      'FAB-G004',
      '/passages/hall/choices/1/id',
    ],
    ['a story id with blanks', change((s) => void (s.id = 'a b')), 'FAB-G004', '/id'],
    ['U+0000', change((s) => void (s.title = 'a\0')), 'FAB-G005', '/title'],
    ['a lone surrogate', change((s) => void (s.title = '\ud800')), 'FAB-G005', '/title'],
    ['NaN', change((s) => Object.assign(s.variables.gold, { max: NaN })), 'FAB-G001', '/variables/gold/max'],
    ['a fraction', change((s) => Object.assign(s.variables.gold, { max: 1.5 })), 'FAB-G001', '/variables/gold/max'],
    ['a date object', change((s) => void (s['title'] = new Date(0) as unknown as string)), 'FAB-G001', '/title'],
    [
      'two choices of one id',
      change((s) => Object.assign(s.passages.hall.choices[1] ?? {}, { id: 'roll' })),
      'FAB-G006',
      '/passages/hall/choices/1',
    ],
    [
      'two draws of one id',
      change((s) => Object.assign(s.passages.hall.choices[0]?.effects?.[1] ?? {}, { id: 'second' })),
      'FAB-G006',
      '/passages/hall/choices/0/effects/2',
    ],
    [
      'a guard that cannot be read',
      change((s) => Object.assign(s.passages.hall.choices[1] ?? {}, { visibleWhen: 'gold = 3' })),
      'FAB-G010',
      '/passages/hall/choices/1/visibleWhen',
    ],
    [
      'a deep guard',
      change((s) => Object.assign(s.passages.hall.choices[1] ?? {}, { visibleWhen: '('.repeat(10_000) })),
      'FAB-G011',
      '/passages/hall/choices/1/visibleWhen',
    ],
    [
      'a guard of numbers',
      change((s) => Object.assign(s.passages.hall.choices[1] ?? {}, { visibleWhen: 'gold' })),
      'FAB-G012',
      '/passages/hall/choices/1/visibleWhen',
    ],
    [
      'an unknown variable',
      change((s) => Object.assign(s.passages.hall.choices[1] ?? {}, { visibleWhen: 'glod > 1' })),
      'FAB-G013',
      '/passages/hall/choices/1/visibleWhen',
    ],
    [
      'an unknown member',
      change((s) => Object.assign(s.passages.hall.choices[1] ?? {}, { visibleWhen: "door == 'opne'" })),
      'FAB-G014',
      '/passages/hall/choices/1/visibleWhen',
    ],
    [
      'an unknown member of a set',
      change((s) => Object.assign(s.passages.hall.choices[1] ?? {}, { visibleWhen: "'roep' in pack" })),
      'FAB-G014',
      '/passages/hall/choices/1/visibleWhen',
    ],
    [
      'an unknown member in an effect',
      change((s) => Object.assign(s.passages.hall.choices[1] ?? {}, { effects: [{ set: 'door', to: "'ajar'" }] })),
      'FAB-G014',
      '/passages/hall/choices/1/effects/0/to',
    ],
    ['a default out of bounds', change((s) => Object.assign(s.variables.gold, { default: 11 })), 'FAB-G020', '/variables/gold'],
    [
      'adding to a bool',
      change((s) => Object.assign(s.passages.hall.choices[1] ?? {}, { effects: [{ add: 'brave', by: 1 }] })),
      'FAB-G021',
      '/passages/hall/choices/1/effects/0',
    ],
    [
      'a draw beyond the bounds',
      change((s) => Object.assign(s.passages.hall.choices[1] ?? {}, { effects: [{ draw: 'die', max: 7 }] })),
      'FAB-G021',
      '/passages/hall/choices/1/effects/0',
    ],
    [
      'a timed choice without a time',
      change((s) => Object.assign(s.passages.hall.choices[1] ?? {}, { kind: 'timed' })),
      'FAB-G022',
      '/passages/hall/choices/1',
    ],
  ])('refuses %s', (_name, input, code, path) => {
    const { story, problems } = normaliseStory(input);
    expect(story).toBeUndefined();
    expect(problems).toContainEqual(expect.objectContaining({ code, severity: 'error', where: expect.objectContaining({ path }) }));
  });

  it.each<[string, unknown, string, string]>([
    [
      'a missing target',
      change((s) => Object.assign(s.passages.hall.choices[1] ?? {}, { target: 'nowhere' })),
      'FAB-G101',
      '/passages/hall/choices/1/target',
    ],
    ['a missing start', change((s) => void (s.start = 'nowhere')), 'FAB-G102', '/start'],
    ['an undeclared ending', change((s) => Object.assign(s.passages.hall, { ending: 'lost' })), 'FAB-G103', '/passages/hall/ending'],
    [
      'visits of an unknown passage',
      change((s) => Object.assign(s.passages.hall.choices[1] ?? {}, { visibleWhen: "visits('attic') > 0" })),
      'FAB-G104',
      '/passages/hall/choices/1/visibleWhen',
    ],
    [
      'counts of an unknown choice',
      change((s) => Object.assign(s.passages.hall.choices[1] ?? {}, { visibleWhen: "chosen('hall/fly') > 0" })),
      'FAB-G105',
      '/passages/hall/choices/1/visibleWhen',
    ],
    [
      'a hub without storylets',
      change((s) => Object.assign(s.passages.hall, { storylets: { tag: 'rumour' } })),
      'FAB-G106',
      '/passages/hall/storylets',
    ],
    [
      'an unknown name in a text',
      change((s) => Object.assign(s.passages.hall, { text: 'You have {{ glod }}.' })),
      'FAB-G107',
      '/passages/hall/text/0',
    ],
  ])('keeps a draft with %s, and reports it', (_name, input, code, path) => {
    const { story, problems } = normaliseStory(input);
    expect(story).toBeDefined();
    expect(problems).toContainEqual(expect.objectContaining({ code, where: expect.objectContaining({ path }) }));
  });

  it('names passage, choice and place within the guard', () => {
    const [problem] = problemsOf(change((s) => Object.assign(s.passages.hall.choices[1] ?? {}, { visibleWhen: 'brave &&\n gold = 3' })));
    expect(problem).toMatchObject({
      where: { path: '/passages/hall/choices/1/visibleWhen', passage: 'hall', choice: 'leave' },
      within: { line: 2, column: 7, offset: 15 },
    });
  });

  it('accepts a guard as a tree and refuses a tree that is too deep or has stray fields', () => {
    const withGuard = (guard: unknown) => change((s) => Object.assign(s.passages.hall.choices[1] ?? {}, { visibleWhen: guard }));
    expect(storyOf(withGuard({ op: '!', of: { op: 'var', name: 'brave' } }))).toEqual(storyOf(withGuard('!brave')));
    const nested = (levels: number): unknown => (levels === 0 ? { op: 'bool', value: true } : { op: '!', of: nested(levels - 1) });
    expect(problemsOf(withGuard(nested(20)))).toMatchObject([{ code: 'FAB-G011' }]);
    expect(problemsOf(withGuard(nested(1_000)))).toMatchObject([{ code: 'FAB-G003' }]);
    expect(problemsOf(withGuard({ op: 'var', name: 'brave', x: 1 }))).toMatchObject([{ code: 'FAB-G002' }]);
  });

  it('refuses cyclic input and unfolding aliases', () => {
    const cyclic: { [key: string]: unknown } = { ...tiny };
    cyclic['passages'] = cyclic;
    expect(problemsOf(cyclic)).toMatchObject([{ code: 'FAB-G003' }]);
    let bomb: unknown = ['x'];
    for (let i = 0; i < 30; i++) bomb = [bomb, bomb];
    expect(problemsOf(bomb)).toMatchObject([{ code: 'FAB-G003' }]);
  });

  it('never throws, whatever the input', () => {
    fc.assert(
      fc.property(fc.anything({ withDate: true, withMap: true, withBigInt: true, withNullPrototype: true }), (input) => {
        expect(normaliseStory(input).problems.length).toBeGreaterThan(0);
        expect(normaliseStory({ ...tiny, passages: input }).problems.length).toBeGreaterThan(0);
      }),
      { numRuns: 500 },
    );
  });

  it('publishes a JSON Schema of the author form', () => {
    const schema = JSON.parse(JSON.stringify(nativeJsonSchema())) as { $defs: object; properties: object; additionalProperties: boolean };
    expect(Object.keys(schema.$defs)).toEqual(expect.arrayContaining(['Choice', 'Effect', 'Expression', 'Guard', 'Passage', 'Variable']));
    expect(schema.additionalProperties).toBe(false);
    expect(schema.properties).toMatchObject({
      id: { pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]*$' },
      passages: { maxProperties: 10_000, propertyNames: { maxLength: 120 } },
    });
  });

  it('lists at most 200 findings of one kind and says how many more there are', () => {
    const choices = Array.from({ length: 100 }, (_, i) => ({ id: `c${i}`, label: 'x', target: 'nowhere' }));
    const problems = problemsOf({ ...tiny, start: 'a', passages: { a: { choices }, b: { choices }, c: { choices } } });
    expect(problems.filter((problem) => problem.code === 'FAB-G101')).toHaveLength(200);
    expect(problems.at(-1)?.message).toContain('and 100 more');
  });
});
