import {
  compileStory,
  parseExpression,
  type Choice,
  type CompiledStory,
  type Effect,
  type Expression,
  type Passage,
  type Story,
  type Variable,
} from '#lib/story';

/** A guard or value from its text; for specs only. */
export function expr(text: string): Expression {
  const parsed = parseExpression(text);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.problem.message}`);
  return parsed.expression;
}

/** A choice with the usual defaults; guards as text. */
export function choice(
  id: string,
  target: Choice['target'] | string,
  more: Partial<Omit<Choice, 'visibleWhen' | 'enabledWhen'>> & { visibleWhen?: string; enabledWhen?: string } = {},
): Choice {
  const { visibleWhen, enabledWhen, ...rest } = more;
  return {
    id,
    label: `Take ${id}`,
    repeat: 'sticky',
    kind: 'normal',
    effects: [],
    target: typeof target === 'string' ? { passage: target } : target,
    ...rest,
    ...(visibleWhen !== undefined && { visibleWhen: expr(visibleWhen) }),
    ...(enabledWhen !== undefined && { enabledWhen: expr(enabledWhen) }),
  };
}

export function passage(choices: readonly Choice[], more: Partial<Passage> = {}): Passage {
  return { title: 'A place', tags: [], text: [{ text: 'Here you are.' }], effects: [], priority: 0, choices, ...more };
}

export const set = (variable: string, to: string): Effect => ({ do: 'set', variable, to: expr(to) });
export const add = (variable: string, by: string, when?: string): Effect => ({
  do: 'add',
  variable,
  by: expr(by),
  ...(when !== undefined && { when: expr(when) }),
});

export function story(passages: Story['passages'], variables: { readonly [name: string]: Variable } = {}, start = 'start'): CompiledStory {
  return compileStory({
    fabula: 1,
    id: 'small',
    title: 'A small story',
    language: 'en',
    start,
    variables,
    passages,
    endings: { good: { title: 'Good' }, bad: { title: 'Bad' } },
  });
}

export const int = (min: number, max: number, initial = min): Variable => ({ type: 'int', public: true, min, max, default: initial });

/** A story in which every kind of thing happens: once, locks, draws, storylets, a timed choice, both kinds of ending. */
export function bridge(): CompiledStory {
  return story(
    {
      start: passage(
        [
          choice('cross', 'far-side', { enabledWhen: 'gold >= 3 && has_rope', reason: 'The ferryman wants three coins and a rope.' }),
          choice('beg', 'start', { effects: [add('gold', '1')], repeat: 'once' }),
          choice('look', 'start', { visibleWhen: "!('lamp' in bag)", effects: [{ do: 'insert', variable: 'bag', member: 'lamp' }] }),
          choice('camp', 'camp'),
          choice('give-up', { end: 'bad' }),
        ],
        {
          title: 'The bridge',
          text: [{ text: 'You have {{gold}} coins and {{ bag }}. ' }, { text: 'A rope!', when: expr('has_rope') }],
          tags: ['day'],
        },
      ),
      camp: passage([choice('leave', 'start'), choice('sleep', 'camp', { kind: 'fallback', effects: [add('gold', '1')] })], {
        title: 'The camp',
        storylets: { tag: 'night', limit: 2 },
        effects: [{ do: 'draw', id: 'weather', variable: 'weather' }],
      }),
      dice: passage(
        [
          choice('roll', 'dice', { effects: [{ do: 'draw', id: 'die', variable: 'die' }, add('gold', '1', 'die == 6')] }),
          choice('back', { return: true }),
        ],
        { title: 'Dice', tags: ['night'], offerWhen: expr('gold < 5'), priority: 1 },
      ),
      peddler: passage(
        [
          choice('buy', { return: true }, { enabledWhen: 'gold > 0', effects: [set('has_rope', 'true'), add('gold', '-1')] }),
          choice('no', 'camp'),
        ],
        {
          title: 'A peddler',
          tags: ['night'],
          offerWhen: expr('!has_rope'),
          priority: 2,
        },
      ),
      'far-side': passage([
        choice('run', 'home'),
        choice('caught', { end: 'bad' }, { kind: 'timed', timeoutMs: 5_000, visibleWhen: 'weather == "storm" || true' }),
      ]),
      home: passage([], { title: 'Home', ending: 'good' }),
    },
    {
      bag: { type: 'set', public: true, values: ['lamp', 'map'], default: [] },
      die: int(1, 6),
      gold: int(0, 10, 1),
      has_rope: { type: 'bool', public: true, default: false },
      weather: { type: 'enum', public: true, values: ['rain', 'storm', 'sun'], default: 'sun' },
    },
  );
}
