import * as fc from 'fast-check';
import { isMember, isPassageId } from '#lib/story';

/*
 * Stories of every feature, in author form: sound by construction, with awkward texts, names and members.
 */

const awkward = fc.constantFrom(
  'plain',
  'two words',
  "it's",
  'a "quoted" one',
  'semi; colon',
  'tag %} inside',
  '{% set gold = 1 %}',
  'a]]b',
  'x|y',
  'a->b',
  '<-a',
  'if',
  'else',
  'as',
  'StoryTitle',
  'return',
  '[x]',
  '{y}',
  'back\\slash',
  'Ünïcode 🐉',
  'script',
  '#5',
  '-',
  'a: b',
  '::x',
  'then if else',
  '1',
);
const member = fc.oneof(awkward, fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 })).filter(isMember);
const passageName = member.map((name) => name.replaceAll('/', '-')).filter(isPassageId);
const text = fc
  .oneof(
    awkward,
    fc.string({ unit: 'grapheme', maxLength: 40 }),
    fc
      .array(
        fc.constantFrom(
          '\n',
          ' ',
          'word',
          '::',
          '[[',
          ']]',
          '{%',
          '%}',
          '\\',
          '{{gold}}',
          '"',
          '\r',
          '\t',
          '[[a->b]]',
          '{% endif %}',
          '\n\n',
          ':: Head',
        ),
        { maxLength: 12 },
      )
      .map((bits) => bits.join('')),
  )
  .map((value) => value.replaceAll('\0', '').replace(/\{\{(?!gold\}\})/g, '{'));
const label = text.map((value) => (value === '' ? 'Go' : value));

const number = fc.constantFrom('gold', '3', 'gold - 1', 'gold * 2 + 1', 'turn', "visits('hall')", 'mood == "calm" ? 1 : 2', 'size(pack)');
const bool = fc.constantFrom(
  'lit',
  '!lit',
  'gold >= 3',
  "'rope' in pack && lit",
  'mood != "calm" || gold < 2',
  "visits('hall') > 0",
  'true',
  '(lit || gold > 1) && !(lit && gold == 0)',
);

const when = fc.option(bool, { nil: undefined });
const effect = (drawId: fc.Arbitrary<string>) =>
  fc.oneof(
    fc.record({ set: fc.constant('gold'), to: number, when }),
    fc.record({ set: fc.constant('lit'), to: bool, when }),
    fc.record({ add: fc.constant('gold'), by: number, when }),
    fc.record({ insert: fc.constant('pack'), member: fc.constantFrom('rope', 'if', "it's; so"), when }),
    fc.record({ remove: fc.constant('pack'), member: fc.constantFrom('rope', 'if', "it's; so"), when }),
    fc.record({
      draw: fc.constant('gold'),
      min: fc.option(fc.nat(4), { nil: undefined }),
      max: fc.option(fc.integer({ min: 5, max: 9 }), { nil: undefined }),
      id: drawId,
      when,
    }),
    fc.record({ draw: fc.constantFrom('lit', 'mood'), id: drawId, when }),
  );

const present = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

/** Author form of a sound story. */
export const anyStory = (): fc.Arbitrary<object> =>
  fc
    .record({
      id: fc.constantFrom('tale', 'a.b-c', 'The-Tale'),
      title: label,
      author: fc.option(text, { nil: undefined }),
      description: fc.option(text, { nil: undefined }),
      language: fc.constantFrom('en', 'pt-BR'),
      names: fc.uniqueArray(passageName, { minLength: 1, maxLength: 5 }),
      label: fc.option(label, { nil: undefined }),
      endings: fc.uniqueArray(member, { minLength: 1, maxLength: 3 }),
      endingTitle: label,
      seed: fc.array(
        fc.record({
          title: fc.option(text, { nil: undefined }),
          tags: fc.uniqueArray(member, { maxLength: 3 }),
          text: fc.array(fc.oneof(text, fc.record({ text, when })), { maxLength: 4 }),
          effects: fc.array(effect(member), { maxLength: 3 }),
          choices: fc.array(
            fc.record({
              label,
              visibleWhen: when,
              enabledWhen: when,
              reason: fc.option(label, { nil: undefined }),
              repeat: fc.constantFrom('once' as const, 'sticky' as const, undefined),
              kind: fc.constantFrom('normal' as const, 'fallback' as const, 'timed' as const),
              timeoutMs: fc.constantFrom(1_000, 20_000, 1_500),
              effects: fc.array(effect(member), { maxLength: 2 }),
              target: fc.nat(9),
            }),
            { maxLength: 4 },
          ),
          offerWhen: when,
          priority: fc.constantFrom(undefined, 5, -3),
          hub: fc.boolean(),
          ending: fc.boolean(),
        }),
        { minLength: 6, maxLength: 6 },
      ),
    })
    .map((given) => {
      const names = [...new Set(['hall', ...given.names])];
      let draws = 0;
      const numbered = (effects: readonly object[]): readonly object[] =>
        effects.map((one) => ('draw' in one ? { ...one, id: `${String((one as unknown as { id: string }).id)} ${draws++}` } : one));
      const passages = Object.fromEntries(
        names.map((name, i) => {
          const seed = given.seed[i] as (typeof given.seed)[number];
          let timed = false;
          const choices = seed.choices.map(({ target, kind, timeoutMs, effects, ...choice }, n) => {
            const own = kind === 'timed' && timed ? 'normal' : kind;
            timed ||= own === 'timed';
            return {
              ...choice,
              id: `c${n}`,
              kind: own,
              ...(own === 'timed' && { timeoutMs }),
              effects: numbered(effects),
              target:
                target === 8 ? { return: true } : target === 9 ? { end: given.endings[0] } : { passage: names[target % names.length] },
            };
          });
          return [
            name,
            {
              title: seed.title,
              tags: name === 'hall' ? [...seed.tags, 'inn'] : seed.tags,
              text: seed.text,
              effects: numbered(seed.effects),
              choices,
              ...(i > 0 && { offerWhen: seed.offerWhen, priority: seed.priority }),
              ...(i > 1 && seed.hub && { storylets: { tag: 'inn', limit: 3 } }),
              ...(seed.ending && { ending: given.endings[given.endings.length - 1] }),
            },
          ];
        }),
      );
      const variables = {
        gold: { type: 'int', min: 0, max: 9, default: 2, public: true, label: given.label },
        lit: { type: 'bool' },
        mood: { type: 'enum', values: ['calm', 'very angry', 'if'], default: 'very angry' },
        pack: { type: 'set', values: ['rope', 'if', "it's; so"], default: ['if'] },
      };
      const endings = Object.fromEntries(given.endings.map((id) => [id, { title: given.endingTitle }]));
      const { id, title, author, description, language } = given;
      return present({ fabula: 1, id, title, author, description, language, start: 'hall', variables, passages, endings });
    });
