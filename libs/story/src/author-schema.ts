import { z } from 'zod';
import {
  boundedMap,
  choiceId,
  choiceKind,
  choiceRepeat,
  description,
  expressionSchema,
  label,
  language,
  limits,
  member,
  members,
  passageId,
  priority,
  safeInt,
  storyId,
  storyletLimit,
  targetForms,
  textString,
  timeoutMs,
  title,
  variableName,
} from './story-schema.js';

/* The native author form (JSON or YAML): guards as text, defaults left out, effects and targets in short form. */

const guard = z
  .union([z.string().max(32 * 1024), z.boolean(), expressionSchema])
  .meta({ id: 'Guard', description: "A condition: text such as `gold >= 3 && visits('hall') > 0`, true, false, or an Expression." });
const value = z.union([z.string().max(32 * 1024), z.boolean(), safeInt, members, expressionSchema]).meta({
  id: 'ValueExpression',
  description: "A value: text such as `gold + 1` or `'open'`, a literal, members of a set, or an Expression.",
});

const base = { public: z.boolean().optional(), label: title.optional() };
const variable = z
  .discriminatedUnion('type', [
    z.strictObject({ ...base, type: z.literal('bool'), default: z.boolean().optional() }),
    z.strictObject({ ...base, type: z.literal('int'), min: safeInt.optional(), max: safeInt, default: safeInt.optional() }),
    z.strictObject({ ...base, type: z.literal('enum'), values: members.min(1), default: member.optional() }),
    z.strictObject({ ...base, type: z.literal('set'), values: members.min(1), default: members.optional() }),
  ])
  .meta({
    id: 'Variable',
    description: 'Defaults: public false; bool false; int min 0, default 0 (or the nearest bound); enum its first value; set empty.',
  });

const when = { when: guard.optional() };
const effect = z
  .union([
    z.strictObject({ set: variableName, to: value, ...when }),
    z.strictObject({ add: variableName, by: value, ...when }),
    z.strictObject({ insert: variableName, member, ...when }),
    z.strictObject({ remove: variableName, member, ...when }),
    z.strictObject({
      draw: variableName,
      min: safeInt.optional(),
      max: safeInt.optional(),
      id: z.string().min(1).max(256).optional(),
      ...when,
    }),
  ])
  .meta({ id: 'Effect' });

const choice = z
  .strictObject({
    id: choiceId,
    label,
    visibleWhen: guard.optional(),
    enabledWhen: guard.optional(),
    reason: label.optional(),
    repeat: choiceRepeat.optional(),
    kind: choiceKind.optional(),
    timeoutMs: timeoutMs.optional(),
    effects: z.array(effect).max(limits.effects).optional(),
    target: z.union([z.string().min(1).max(120), ...targetForms]),
  })
  .meta({ id: 'Choice', description: 'Defaults: repeat sticky, kind normal. Target: a passage id, `return`, or {end: ending}.' });

const passage = z
  .strictObject({
    title: title.optional(),
    tags: z.array(member).max(limits.tagsPerPassage).optional(),
    text: z
      .union([textString, z.array(z.union([textString, z.strictObject({ text: textString, ...when })])).max(limits.textPartsPerPassage)])
      .optional(),
    effects: z.array(effect).max(limits.effects).optional(),
    choices: z.array(choice).max(limits.choicesPerPassage).optional(),
    offerWhen: guard.optional(),
    priority: priority.optional(),
    storylets: z.strictObject({ tag: member, limit: storyletLimit.optional() }).optional(),
    ending: member.optional(),
  })
  .meta({ id: 'Passage', description: 'Defaults: title its id, priority 0, at most 10 storylets.' });

export const authorSchema = z
  .strictObject({
    fabula: z.literal(1).optional(),
    id: storyId,
    title: label,
    author: title.optional(),
    description: description.optional(),
    language: language.optional(),
    start: passageId,
    variables: boundedMap(variableName, variable, limits.variables).optional(),
    passages: boundedMap(passageId, passage, limits.passages),
    endings: boundedMap(member, z.strictObject({ title: title.optional() }), limits.endings).optional(),
  })
  .meta({ title: 'Fabula story', description: 'A branching story in the native author form of Fabula, as JSON or YAML.' });

export type AuthorStory = z.infer<typeof authorSchema>;
export type AuthorVariable = z.infer<typeof variable>;
export type AuthorPassage = z.infer<typeof passage>;
export type AuthorChoice = z.infer<typeof choice>;
export type AuthorEffect = z.infer<typeof effect>;
export type AuthorExpression = z.infer<typeof value>;

export const DEFAULT_LANGUAGE = 'en';
export const DEFAULT_STORYLET_LIMIT = 10;

/** JSON Schema (2020-12) of the author form, for editors and other tools. */
export const nativeJsonSchema = (): object => ({
  $id: 'urn:fabula:schema:story:1',
  ...z.toJSONSchema(authorSchema, { target: 'draft-2020-12', io: 'input', unrepresentable: 'any' }),
});
