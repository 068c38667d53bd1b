import * as fc from 'fast-check';
import type { Expression } from '../expression.js';
import type { Choice, Effect, Passage, Story, Target, Variable } from '../story.js';

/* Small well-typed stories over a few bounded variables, so that tests can try every state. */

export const smallVariables: { readonly [name: string]: Variable } = {
  brave: { type: 'bool', default: false, public: true },
  gold: { type: 'int', min: 0, max: 3, default: 1, public: true, label: 'Gold' },
  door: { type: 'enum', values: ['shut', 'ajar', 'open'], default: 'shut', public: false },
  pack: { type: 'set', values: ['rope', 'lamp'], default: ['lamp'], public: false },
};
const passageIds = ['a', 'b', 'c', 'd'] as const;
const choiceKeys = ['a/0', 'a/1', 'b/0', 'c/0'] as const;

const literal = (value: number): Expression => ({ op: 'int', value });
const variable = (name: string): Expression => ({ op: 'var', name });

const { bool, int, text, set } = fc.letrec<{ bool: Expression; int: Expression; text: Expression; set: Expression }>((tie) => ({
  bool: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    fc.constant(variable('brave')),
    fc.boolean().map((value): Expression => ({ op: 'bool', value })),
    fc
      .tuple(
        fc.constantFrom('<' as const, '<=' as const, '>' as const, '>=' as const, '==' as const, '!=' as const),
        tie('int'),
        tie('int'),
      )
      .map(([op, left, right]): Expression => ({ op, left, right })),
    fc
      .tuple(fc.constantFrom('==' as const, '!=' as const), fc.constantFrom('shut', 'ajar', 'open'))
      .map(([op, value]): Expression => ({ op, left: variable('door'), right: { op: 'string', value } })),
    fc.tuple(tie('text'), tie('text')).map(([left, right]): Expression => ({ op: '==', left, right })),
    fc.constantFrom('rope', 'lamp').map((value): Expression => ({ op: 'in', left: { op: 'string', value }, right: variable('pack') })),
    fc.tuple(tie('set'), tie('set')).map(([left, right]): Expression => ({ op: '==', left, right })),
    tie('bool').map((of): Expression => ({ op: '!', of })),
    fc
      .tuple(fc.constantFrom('&&' as const, '||' as const), tie('bool'), tie('bool'))
      .map(([op, left, right]): Expression => ({ op, left, right })),
  ),
  int: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    fc.constant(variable('gold')),
    fc.integer({ min: -2, max: 4 }).map(literal),
    fc.constantFrom(...passageIds).map((passage): Expression => ({ op: 'visits', passage })),
    fc.constantFrom(...choiceKeys).map((choice): Expression => ({ op: 'chosen', choice })),
    fc.constant<Expression>({ op: 'turn' }),
    tie('set').map((of): Expression => ({ op: 'size', of })),
    tie('int').map((of): Expression => ({ op: 'neg', of })),
    fc
      .tuple(fc.constantFrom('+' as const, '-' as const, '*' as const, '/' as const, '%' as const), tie('int'), tie('int'))
      .map(([op, left, right]): Expression => ({ op, left, right })),
    fc
      .tuple(tie('bool'), tie('int'), tie('int'))
      // oxlint-disable-next-line unicorn/no-thenable -- a tree, never a function
      .map(([test, then, otherwise]): Expression => ({ op: '?:', if: test, then, else: otherwise })),
  ),
  text: fc.oneof(
    fc.constant(variable('door')),
    fc.constantFrom('shut', 'ajar', 'open').map((value): Expression => ({ op: 'string', value })),
  ),
  set: fc.oneof(
    fc.constant(variable('pack')),
    fc.subarray(['lamp', 'rope']).map((members): Expression => ({ op: 'set', members })),
  ),
}));

export const anyGuard = (): fc.Arbitrary<Expression> => bool;
export const anyIntExpression = (): fc.Arbitrary<Expression> => int;

const optional = <K extends string, T>(key: K, arbitrary: fc.Arbitrary<T>, weight = 2): fc.Arbitrary<{ [P in K]?: T }> =>
  fc.option(arbitrary, { nil: undefined, freq: weight }).map((value) => (value === undefined ? {} : { [key]: value }) as { [P in K]?: T });

const effect = (): fc.Arbitrary<Effect> =>
  fc
    .tuple(
      fc.oneof(
        bool.map((to): Effect => ({ do: 'set', variable: 'brave', to })),
        int.map((to): Effect => ({ do: 'set', variable: 'gold', to })),
        text.map((to): Effect => ({ do: 'set', variable: 'door', to })),
        set.map((to): Effect => ({ do: 'set', variable: 'pack', to })),
        int.map((by): Effect => ({ do: 'add', variable: 'gold', by })),
        fc
          .tuple(fc.constantFrom('insert' as const, 'remove' as const), fc.constantFrom('rope', 'lamp'))
          .map(([op, member]): Effect => ({ do: op, variable: 'pack', member })),
        fc.constantFrom('brave', 'door').map((name): Effect => ({ do: 'draw', id: '', variable: name })),
        fc
          .constantFrom([0, 1], [2, 3], [1, 1])
          .map(([min, max]): Effect => ({ do: 'draw', id: '', variable: 'gold', min: min ?? 0, max: max ?? 0 })),
      ),
      optional('when', bool, 1),
    )
    .map(([main, when]) => ({ ...main, ...when }));

const target = (): fc.Arbitrary<Target> =>
  fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...passageIds).map((passage) => ({ passage })) },
    { weight: 1, arbitrary: fc.constant({ end: 'won' }) },
    { weight: 1, arbitrary: fc.constant<Target>({ return: true }) },
  );

const choice = (): fc.Arbitrary<Omit<Choice, 'id'>> =>
  fc
    .tuple(
      fc.record({
        label: fc.string({ minLength: 1, maxLength: 12 }),
        repeat: fc.constantFrom('once' as const, 'sticky' as const),
        kind: fc.constantFrom('normal' as const, 'normal' as const, 'fallback' as const),
        effects: fc.array(effect(), { maxLength: 2 }),
        target: target(),
      }),
      optional('visibleWhen', bool),
      optional('enabledWhen', bool),
      optional('reason', fc.string({ minLength: 1, maxLength: 10 })),
    )
    .map(([main, ...more]) => Object.assign({ ...main }, ...more) as Omit<Choice, 'id'>);

const passage = (): fc.Arbitrary<Passage> =>
  fc
    .tuple(
      fc.record({
        title: fc.string({ maxLength: 12 }),
        tags: fc.subarray(['rumour', 'x']).map((tags) => tags.toSorted()),
        text: fc.array(
          fc.tuple(fc.string({ maxLength: 20 }), optional('when', bool)).map(([words, when]) => ({ text: words, ...when })),
          { maxLength: 2 },
        ),
        effects: fc.array(effect(), { maxLength: 1 }),
        choices: fc.array(choice(), { maxLength: 3 }).map((list) => list.map((one, i): Choice => ({ ...one, id: String(i) }))),
        priority: fc.integer({ min: -2, max: 2 }),
      }),
      optional('storylets', fc.constantFrom({ tag: 'rumour', limit: 10 }, { tag: 'rumour', limit: 1 }), 4),
      optional('ending', fc.constant('lost'), 5),
    )
    .map(([main, ...more]) => Object.assign({ ...main }, ...more) as Passage);

/** Passages a (the start) … d; d may be a storylet. Choice ids are 0, 1, 2; some choices that guards count may be missing. */
export const anyStory = (): fc.Arbitrary<Story> =>
  fc.tuple(passage(), passage(), passage(), passage(), optional('offerWhen', bool)).map(([a, b, c, d, offer]) => ({
    fabula: 1,
    id: 'small',
    title: 'Small',
    language: 'en',
    start: 'a',
    variables: smallVariables,
    endings: { won: { title: 'Won' }, lost: { title: 'Lost' } },
    passages: withDrawIds({ a, b, c, d: { ...d, ...offer } }),
  }));

function withDrawIds(passages: { readonly [id: string]: Passage }): { readonly [id: string]: Passage } {
  const named = (effects: readonly Effect[], owner: string) => {
    let draws = 0;
    return effects.map((one): Effect => (one.do === 'draw' ? { ...one, id: `${owner}#${++draws}` } : one));
  };
  return Object.fromEntries(
    Object.entries(passages).map(([id, one]) => [
      id,
      {
        ...one,
        effects: named(one.effects, id),
        choices: one.choices.map((each) => ({ ...each, effects: named(each.effects, `${id}/${each.id}`) })),
      },
    ]),
  );
}
