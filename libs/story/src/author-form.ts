import type { Json } from '#lib/canonical';
import { DEFAULT_LANGUAGE, DEFAULT_STORYLET_LIMIT } from './author-schema.js';
import type { Expression } from './expression.js';
import { drawId } from './normalise-story.js';
import { printExpression } from './print-expression.js';
import type { Choice, Effect, Passage, Story, Target, TextPart, Variable } from './story.js';

type Fields = { [field: string]: Json };

/** The native author form of a story: guards as text, defaults left out. `normaliseStory` gives the same story back. */
export function authorForm(story: Story): { readonly [field: string]: Json } {
  return fields({
    fabula: 1,
    id: story.id,
    title: story.title,
    author: story.author,
    description: story.description,
    language: unless(story.language, DEFAULT_LANGUAGE),
    start: story.start,
    variables: nonEmpty(mapped(story.variables, variableForm)),
    passages: mapped(story.passages, passageForm),
    endings: nonEmpty(mapped(story.endings, (ending) => ({ title: ending.title }))),
  });
}

const fields = (given: { readonly [field: string]: Json | undefined }): Fields =>
  Object.fromEntries(Object.entries(given).filter((entry): entry is [string, Json] => entry[1] !== undefined));
const mapped = <T>(map: { readonly [key: string]: T }, form: (value: T, key: string) => Fields): Fields =>
  Object.fromEntries(Object.entries(map).map(([key, value]) => [key, form(value, key)]));
const nonEmpty = (map: Fields): Fields | undefined => (Object.keys(map).length === 0 ? undefined : map);
const unless = <T>(value: T, standard: T): T | undefined => (value === standard ? undefined : value);
const listed = <T, F extends Json>(list: readonly T[], form: (value: T) => F): readonly F[] | undefined =>
  list.length === 0 ? undefined : list.map(form);
const guard = (expression: Expression | undefined): string | undefined => expression && printExpression(expression);
const value = (expression: Expression): Json =>
  expression.op === 'int' || expression.op === 'bool' ? expression.value : printExpression(expression);

function variableForm(variable: Variable): Fields {
  const base = { type: variable.type, public: unless(variable.public, false), label: variable.label };
  switch (variable.type) {
    case 'bool':
      return fields({ ...base, default: unless(variable.default, false) });
    case 'int':
      return fields({ ...base, min: variable.min, max: variable.max, default: variable.default });
    case 'enum':
    case 'set':
      return fields({ ...base, values: variable.values, default: variable.default });
  }
}

function passageForm(passage: Passage, id: string): Fields {
  const { storylets } = passage;
  return fields({
    title: unless(passage.title, id),
    tags: listed(passage.tags, (tag) => tag),
    text: textForm(passage.text),
    ending: passage.ending,
    offerWhen: guard(passage.offerWhen),
    priority: unless(passage.priority, 0),
    storylets: storylets && fields({ tag: storylets.tag, limit: unless(storylets.limit, DEFAULT_STORYLET_LIMIT) }),
    effects: effectForms(passage.effects, id),
    choices: listed(passage.choices, (choice) => choiceForm(choice, id)),
  });
}

function textForm(parts: readonly TextPart[]): Json | undefined {
  const [first] = parts;
  if (first === undefined) return undefined;
  if (parts.length === 1 && first.when === undefined) return first.text;
  return parts.map((part) => (part.when === undefined ? part.text : fields({ text: part.text, when: guard(part.when) })));
}

function choiceForm(choice: Choice, passageId: string): Fields {
  return fields({
    id: choice.id,
    label: choice.label,
    visibleWhen: guard(choice.visibleWhen),
    enabledWhen: guard(choice.enabledWhen),
    reason: choice.reason,
    repeat: unless(choice.repeat, 'sticky'),
    kind: unless(choice.kind, 'normal'),
    timeoutMs: choice.timeoutMs,
    effects: effectForms(choice.effects, `${passageId}/${choice.id}`),
    target: targetForm(choice.target),
  });
}

function targetForm(target: Target): Json {
  if ('return' in target) return 'return';
  if ('end' in target) return { end: target.end };
  // A passage may be called `return`.
  return target.passage === 'return' ? { passage: 'return' } : target.passage;
}

function effectForms(effects: readonly Effect[], owner: string): readonly Fields[] | undefined {
  let draws = 0;
  return listed(effects, (effect) => {
    const when = guard(effect.when);
    switch (effect.do) {
      case 'set':
        return fields({ set: effect.variable, to: value(effect.to), when });
      case 'add':
        return fields({ add: effect.variable, by: value(effect.by), when });
      case 'insert':
        return fields({ insert: effect.variable, member: effect.member, when });
      case 'remove':
        return fields({ remove: effect.variable, member: effect.member, when });
      case 'draw':
        return fields({ draw: effect.variable, min: effect.min, max: effect.max, id: unless(effect.id, drawId(owner, ++draws)), when });
    }
  });
}
