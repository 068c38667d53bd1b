import * as fc from 'fast-check';
import { type Choice, type CompiledStory, type Effect, type Passage } from '#lib/story';
import { choice, expr, int, passage, story } from './small-story.js';

const guards = [
  'gold > 2',
  'gold < 8 && !seen',
  'seen || turn > 3',
  "'key' in bag",
  'mood == "glad"',
  "visits('p1') > 1",
  "chosen('p0/c0') == 0",
  'turn % 2 == 0',
  '10 / gold > 2',
  'huge * huge > gold',
] as const;

const guard = fc.constantFrom(...guards);
const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined, freq: 2 });

const effect: fc.Arbitrary<Effect> = fc
  .tuple(
    fc.oneof(
      fc
        .constantFrom('gold + 3', '0 - gold', '100', 'gold * 2', 'gold / 2', '10 / gold', 'huge * 3')
        .map((to) => ({ do: 'set', variable: 'gold', to: expr(to) }) as const),
      fc.constantFrom('1', '0 - 5', '1000', 'gold', 'huge').map((by) => ({ do: 'add', variable: 'gold', by: expr(by) }) as const),
      fc.constantFrom('true', '!seen').map((to) => ({ do: 'set', variable: 'seen', to: expr(to) }) as const),
      fc.constantFrom('"glad"', 'seen ? "sad" : "glad"').map((to) => ({ do: 'set', variable: 'mood', to: expr(to) }) as const),
      fc
        .tuple(fc.constantFrom('insert', 'remove'), fc.constantFrom('key', 'map', 'cup'))
        .map(([what, member]) => ({ do: what, variable: 'bag', member }) as const),
      fc.constantFrom('gold', 'seen', 'mood').map((variable) => ({ do: 'draw', id: 'd', variable }) as const),
      fc.constant({ do: 'draw', id: 'd', variable: 'gold', min: 3, max: 5 } as const),
    ),
    maybe(guard),
  )
  .map(([does, when]) => ({ ...does, ...(when !== undefined && { when: expr(when) }) }));

const effects = fc.array(effect, { maxLength: 3 });

/** Small stories in which anything may happen: loops, faults, storylets that never return, nothing to choose. */
export const anyStory = (): fc.Arbitrary<CompiledStory> =>
  fc.integer({ min: 2, max: 6 }).chain((count) => {
    const target: fc.Arbitrary<Choice['target']> = fc.oneof(
      { weight: 12, arbitrary: fc.nat(count - 1).map((i) => ({ passage: `p${i}` })) },
      { weight: 1, arbitrary: fc.constant({ return: true } as const) },
      { weight: 1, arbitrary: fc.constantFrom('good', 'bad').map((end) => ({ end })) },
    );
    const oneChoice = fc.record({
      target,
      effects,
      visibleWhen: maybe(guard),
      enabledWhen: maybe(guard),
      repeat: fc.constantFrom('once' as const, 'sticky' as const),
      kind: fc.constantFrom('normal' as const, 'normal' as const, 'fallback' as const),
      timed: fc.boolean(),
    });
    const onePassage = fc.record({
      choices: fc.array(oneChoice, { minLength: 1, maxLength: 5 }),
      effects,
      storylet: maybe(guard),
      hub: maybe(fc.integer({ min: 1, max: 3 })),
      priority: fc.integer({ min: 0, max: 2 }),
      ending: fc.integer({ min: 0, max: 9 }),
    });
    return fc.array(onePassage, { minLength: count, maxLength: count }).map((drawn) => {
      const passages: Record<string, Passage> = {};
      let draws = 0;
      const named = (list: readonly Effect[]): readonly Effect[] =>
        list.map((one) => (one.do === 'draw' ? { ...one, id: `d${draws++}` } : one));
      drawn.forEach((part, i) => {
        const choices = part.choices.map(({ timed, kind, visibleWhen, enabledWhen, ...rest }, c) =>
          choice(`c${c}`, rest.target, {
            ...rest,
            effects: named(rest.effects),
            ...(c === 0 && timed ? { kind: 'timed' as const, timeoutMs: 1_000 } : { kind }),
            ...(visibleWhen !== undefined && { visibleWhen }),
            ...(enabledWhen !== undefined && { enabledWhen, reason: 'Not now.' }),
          }),
        );
        // The last passage is always a storylet, so that hubs have something to offer.
        const offerWhen = i === 0 ? undefined : (part.storylet ?? (i === count - 1 ? 'turn >= 0' : undefined));
        passages[`p${i}`] = passage(part.ending === 0 && i > 1 ? [] : choices, {
          tags: offerWhen === undefined ? [] : ['t'],
          effects: named(part.effects),
          priority: part.priority,
          ...(offerWhen !== undefined && { offerWhen: expr(offerWhen) }),
          ...(part.hub !== undefined && { storylets: { tag: 't', limit: part.hub } }),
          ...(part.ending === 0 && i > 1 && { ending: 'good' }),
        });
      });
      return story(passages, variables, 'p0');
    });
  });

const variables = {
  bag: { type: 'set', public: true, values: ['cup', 'key', 'map'], default: [] },
  gold: int(-10, 10, 1),
  huge: int(0, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
  mood: { type: 'enum', public: true, values: ['glad', 'sad'], default: 'sad' },
  seen: { type: 'bool', public: true, default: false },
} as const;

/** What a driver does next; numbers are taken modulo what there is. */
export type Step =
  | { readonly do: 'choose'; readonly nth: number; readonly wait: number }
  | { readonly do: 'rewind'; readonly to: number }
  | { readonly do: 'checkpoint'; readonly name: number; readonly at: number }
  | { readonly do: 'timeOut' };

export const anySteps = (): fc.Arbitrary<readonly Step[]> =>
  fc.array(
    fc.oneof(
      { weight: 8, arbitrary: fc.record({ do: fc.constant('choose' as const), nth: fc.nat(40), wait: fc.nat(2_000) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('rewind' as const), to: fc.nat(60) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('checkpoint' as const), name: fc.nat(3), at: fc.nat(60) }) },
      { weight: 1, arbitrary: fc.constant({ do: 'timeOut' as const }) },
    ),
    { minLength: 10, maxLength: 40, size: 'max' },
  );
