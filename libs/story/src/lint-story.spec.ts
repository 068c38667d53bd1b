import * as fc from 'fast-check';
import { lintDocs, lintRules, lintStory, normaliseStory, uniqueProblems } from './index.js';
import { anyStory } from './testing/any-story.js';

type Form = { readonly [field: string]: unknown };

/** Codes found in a story of these passages; fields of the story may be overridden. */
function codesOf(passages: Form, more: Form = {}): readonly string[] {
  const { story, problems } = normaliseStory({
    id: 's',
    title: 'S',
    start: 'a',
    endings: { done: { title: 'Done' } },
    ...more,
    passages,
  });
  if (story === undefined) throw new Error(JSON.stringify(problems));
  return uniqueProblems([...problems, ...lintStory(story)]).map((problem) => problem.code);
}
const to = (target: unknown, more: Form = {}) => ({ id: 'go', label: 'Go', target, ...more });
const end = to({ end: 'done' });
const gold = { gold: { type: 'int', min: 0, max: 10, default: 1 } };
const earn = { id: 'earn', label: 'Earn', target: 'a', effects: [{ add: 'gold', by: 1 }] };

const many = ['p', 'q', 'r', 's'];
const wide = Object.fromEntries(many.map((name) => [name, { type: 'int', min: 0, max: 99 }]));

/** For each code a story that shows it, and one as near as possible that does not. */
const cases: readonly (readonly [code: string, name: string, bad: readonly string[], good: readonly string[]])[] = [
  [
    'FAB-G201',
    'a passage nothing leads to',
    codesOf({ a: { choices: [end] }, b: { ending: 'done' } }),
    codesOf({ a: { choices: [end, to('b', { id: 'b', label: 'B' })] }, b: { ending: 'done' } }),
  ],
  [
    'FAB-G201',
    'a passage behind a choice that can never be taken',
    codesOf(
      { a: { choices: [earn, end, to('b', { id: 'b', label: 'B', enabledWhen: 'gold > 10' })] }, b: { choices: [end] } },
      { variables: gold },
    ),
    codesOf(
      { a: { choices: [earn, end, to('b', { id: 'b', label: 'B', enabledWhen: 'gold > 9' })] }, b: { choices: [end] } },
      { variables: gold },
    ),
  ],
  [
    'FAB-G202',
    'no choice and no ending',
    codesOf({ a: { choices: [end, to('b', { id: 'b', label: 'B' })] }, b: { text: 'Stuck.' } }),
    codesOf({ a: { choices: [end, to('b', { id: 'b', label: 'B' })] }, b: { ending: 'done' } }),
  ],
  [
    'FAB-G202',
    'choices that can never be taken',
    codesOf({ a: { choices: [to({ end: 'done' }, { visibleWhen: 'false' })] } }),
    codesOf({ a: { choices: [end] } }),
  ],
  [
    'FAB-G203',
    'beyond the bounds',
    codesOf({ a: { choices: [earn, { ...end, visibleWhen: 'gold > 10' }] } }, { variables: gold }),
    codesOf({ a: { choices: [earn, { ...end, visibleWhen: 'gold >= 10' }] } }, { variables: gold }),
  ],
  [
    'FAB-G203',
    'a bool that nothing sets',
    codesOf({ a: { choices: [end, to('a', { id: 'b', label: 'B', visibleWhen: 'key' })] } }, { variables: { key: { type: 'bool' } } }),
    codesOf(
      { a: { choices: [end, to('a', { id: 'b', label: 'B', visibleWhen: 'key' })], effects: [{ draw: 'key' }] } },
      { variables: { key: { type: 'bool' } } },
    ),
  ],
  [
    'FAB-G203',
    'a bool that is set only behind itself',
    codesOf(
      { a: { choices: [end, to('a', { id: 'b', label: 'B', visibleWhen: 'key', effects: [{ set: 'key', to: true }] })] } },
      { variables: { key: { type: 'bool' } } },
    ),
    codesOf(
      { a: { choices: [end, to('a', { id: 'b', label: 'B', visibleWhen: '!key', effects: [{ set: 'key', to: true }] })] } },
      { variables: { key: { type: 'bool' } } },
    ),
  ],
  [
    'FAB-G203',
    'counters that cannot be',
    codesOf({ a: { choices: [end, to('a', { id: 'b', label: 'B', visibleWhen: "visits('a') > 3 && visits('a') < 3" })] } }),
    codesOf({ a: { choices: [end, to('a', { id: 'b', label: 'B', visibleWhen: "visits('a') > 3 && visits('a') < 5" })] } }),
  ],
  [
    'FAB-G203',
    'two guards that exclude each other',
    codesOf(
      { a: { choices: [earn, end, to('a', { id: 'b', label: 'B', visibleWhen: 'gold > 5', enabledWhen: 'gold < 3' })] } },
      { variables: gold },
    ),
    codesOf(
      { a: { choices: [earn, end, to('a', { id: 'b', label: 'B', visibleWhen: 'gold > 5', enabledWhen: 'gold < 7' })] } },
      { variables: gold },
    ),
  ],
  [
    'FAB-G204',
    'within the bounds anyway',
    codesOf({ a: { choices: [earn, { ...end, visibleWhen: 'gold >= 0' }] } }, { variables: gold }),
    codesOf({ a: { choices: [earn, { ...end, visibleWhen: 'gold >= 2' }] } }, { variables: gold }),
  ],
  [
    'FAB-G204',
    'the passage was surely visited',
    codesOf({ a: { choices: [{ ...end, visibleWhen: "visits('a') > 0" }] } }),
    codesOf({ a: { choices: [{ ...end, visibleWhen: "visits('a') > 1" }] } }),
  ],
  [
    'FAB-G205',
    'only choices for once in a circle',
    codesOf({
      a: {
        choices: [
          to('a', { repeat: 'once' }),
          to({ end: 'done' }, { id: 'x', label: 'X', repeat: 'once', visibleWhen: "visits('a') > 1" }),
        ],
      },
    }),
    codesOf({ a: { choices: [to('a', { repeat: 'once' }), to({ end: 'done' }, { id: 'x', label: 'X', kind: 'fallback' })] } }),
  ],
  [
    'FAB-G205',
    'guards that leave a gap',
    codesOf(
      {
        a: {
          choices: [
            { ...end, visibleWhen: 'gold > 5' },
            { ...earn, visibleWhen: 'gold < 5' },
          ],
        },
      },
      { variables: gold },
    ),
    codesOf(
      {
        a: {
          choices: [
            { ...end, visibleWhen: 'gold >= 5' },
            { ...earn, visibleWhen: 'gold < 5' },
          ],
        },
      },
      { variables: gold },
    ),
  ],
  [
    'FAB-G206',
    'a variable nothing reads',
    codesOf({ a: { choices: [earn, end] } }, { variables: gold }),
    codesOf({ a: { text: '{{gold}}', choices: [earn, end] } }, { variables: gold }),
  ],
  [
    'FAB-G207',
    'a variable nothing assigns',
    codesOf({ a: { text: '{{gold}}', choices: [end] } }, { variables: gold }),
    codesOf({ a: { text: '{{gold}}', choices: [earn, end] } }, { variables: gold }),
  ],
  [
    'FAB-G208',
    'a set beyond the bounds',
    codesOf({ a: { text: '{{gold}}', effects: [{ set: 'gold', to: 11 }], choices: [end] } }, { variables: gold }),
    codesOf({ a: { text: '{{gold}}', effects: [{ set: 'gold', to: 10 }], choices: [end] } }, { variables: gold }),
  ],
  [
    'FAB-G208',
    'an amount that never fits',
    codesOf({ a: { text: '{{gold}}', effects: [{ add: 'gold', by: -11 }], choices: [end] } }, { variables: gold }),
    codesOf({ a: { text: '{{gold}}', effects: [{ add: 'gold', by: -1 }], choices: [end] } }, { variables: gold }),
  ],
  ['FAB-G209', 'no ending', codesOf({ a: { choices: [to('a')] } }), codesOf({ a: { choices: [end] } })],
  [
    'FAB-G210',
    'a circle of fallbacks',
    codesOf({
      a: { choices: [end, to('b', { id: 'b', label: 'B' })] },
      b: { choices: [to('c', { kind: 'fallback' })] },
      c: { choices: [to('b', { kind: 'timed', timeoutMs: 5_000 })] },
    }),
    codesOf({
      a: { choices: [end, to('b', { id: 'b', label: 'B' })] },
      b: { choices: [to('c', { kind: 'fallback' })] },
      c: { choices: [to('b')] },
    }),
  ],
  [
    'FAB-G211',
    'a storylet no hub asks for',
    codesOf({ a: { choices: [end] }, s: { tags: ['x'], offerWhen: true, choices: [to('return')] } }),
    codesOf({ a: { choices: [end], storylets: { tag: 'x' } }, s: { tags: ['x'], offerWhen: true, choices: [to('return')] } }),
  ],
  [
    'FAB-G106',
    'a hub nobody answers',
    codesOf({ a: { choices: [end], storylets: { tag: 'x' } } }),
    codesOf({ a: { choices: [end], storylets: { tag: 'x' } }, s: { tags: ['x'], offerWhen: true, choices: [to('return')] } }),
  ],
  [
    'FAB-G212',
    'an ending nobody reaches',
    codesOf({ a: { choices: [end] } }, { endings: { done: {}, lost: {} } }),
    codesOf({ a: { choices: [end, to({ end: 'lost' }, { id: 'l', label: 'L' })] } }, { endings: { done: {}, lost: {} } }),
  ],
  [
    'FAB-G213',
    'two choices that read the same',
    codesOf({ a: { choices: [end, { ...end, id: 'x' }] } }),
    codesOf({ a: { choices: [end, { ...end, id: 'x', label: 'X' }] } }),
  ],
  [
    'FAB-G213',
    'side by side only',
    codesOf(
      { a: { choices: [earn, { ...end, visibleWhen: 'gold > 4' }, { ...end, id: 'x', visibleWhen: 'gold < 6' }] } },
      { variables: gold },
    ),
    codesOf(
      { a: { choices: [earn, { ...end, visibleWhen: 'gold > 4' }, { ...end, id: 'x', visibleWhen: 'gold < 5' }] } },
      { variables: gold },
    ),
  ],
  [
    'FAB-G214',
    'a return outside of storylets',
    codesOf({ a: { choices: [end, to('return', { id: 'r', label: 'R' })] } }),
    codesOf({
      a: { choices: [end], storylets: { tag: 'x' } },
      s: { tags: ['x'], offerWhen: true, choices: [to('t')] },
      t: { choices: [to('return')] },
    }),
  ],
  [
    'FAB-G215',
    'more combinations than are tried',
    codesOf(
      {
        a: {
          effects: many.map((name) => ({ draw: name })),
          choices: [end, to('a', { id: 'x', label: 'X', visibleWhen: `${many.join(' * ')} == 7919` })],
        },
      },
      { variables: wide },
    ),
    codesOf(
      {
        a: {
          effects: many.map((name) => ({ draw: name })),
          choices: [end, to('a', { id: 'x', label: 'X', visibleWhen: `${many.map((name) => `${name} == 7`).join(' && ')}` })],
        },
      },
      { variables: wide },
    ),
  ],
  ['FAB-G216', 'choices after the end', codesOf({ a: { ending: 'done', choices: [end] } }), codesOf({ a: { ending: 'done' } })],
];

describe('lint', () => {
  it.each(cases)('%s: finds %s, and not its neighbour', (code, _name, bad, good) => {
    expect(bad).toContain(code);
    expect(good).not.toContain(code);
  });

  it('has a case here for every code that speaks of play', () => {
    const covered = new Set(cases.map(([code]) => code));
    expect(lintRules.filter(({ code }) => code >= 'FAB-G200' && code < 'FAB-G300' && !covered.has(code)).map(({ code }) => code)).toEqual(
      [],
    );
  });

  it('finds nothing in a sound story', () => {
    const found = codesOf(
      {
        a: {
          text: ['A hub.', { text: 'You have {{gold}}.', when: 'gold > 0' }],
          storylets: { tag: 'rumour', limit: 2 },
          choices: [
            { id: 'sleep', label: 'Sleep', target: 'a', effects: [{ draw: 'gold', min: 0, max: 3 }] },
            {
              id: 'buy',
              label: 'Buy',
              target: 'b',
              enabledWhen: 'gold >= 3',
              reason: 'Costs 3',
              repeat: 'once',
              effects: [{ add: 'gold', by: -3 }],
            },
            { id: 'wait', label: '', target: 'a', kind: 'timed', timeoutMs: 5_000 },
          ].map((choice) => ({ ...choice, label: choice.label || 'Wait' })),
        },
        b: { text: 'Done.', ending: 'done' },
        s: {
          title: 'A rumour',
          tags: ['rumour'],
          offerWhen: "visits('s') < 2",
          choices: [{ id: 'back', label: 'Back', target: 'return' }],
        },
      },
      { variables: gold },
    );
    expect(found).toEqual([]);
  });

  it('never throws, and names an existing rule with its severity', () => {
    fc.assert(
      fc.property(anyStory(), (story) => {
        for (const problem of lintStory(story))
          expect(lintRules.find((rule) => rule.code === problem.code)?.severity).toBe(problem.severity);
      }),
      { numRuns: 300 },
    );
  });

  it('stays linear: 3,000 passages in a row, each with guards on one growing number, need few evaluations', () => {
    const size = 3_000;
    const passages = Object.fromEntries(
      Array.from({ length: size }, (_, i) => [
        `p${i}`,
        {
          text: `{{gold}} of ${i}`,
          choices: [
            { id: 'on', label: 'On', target: i + 1 < size ? `p${i + 1}` : { end: 'done' }, effects: [{ add: 'gold', by: 1 }] },
            { id: 'back', label: 'Back', target: 'p0', visibleWhen: `gold > ${1 + (i % 9)}` },
          ],
        },
      ]),
    );
    expect(codesOf(passages, { start: 'p0', variables: gold })).toEqual([]);
  });
});

describe('lint documentation', () => {
  it('has a page for every code and an index that names all', () => {
    const pages = lintDocs();
    expect(pages.map((page) => page.path)).toEqual(expect.arrayContaining(lintRules.map(({ code }) => `docs/reference/lint/${code}.md`)));
    const index = pages.find((page) => page.path === 'docs/reference/lint/README.md')?.markdown ?? '';
    for (const { code, title } of lintRules) expect(index).toContain(`[${code}](${code}.md) | ${title}`);
  });

  it('gives no code twice', () => {
    expect(new Set(lintRules.map(({ code }) => code)).size).toBe(lintRules.length);
  });
});
