import { z } from 'zod';
import type { Expression } from './expression.js';
import { isChoiceId, isMember, isPassageId, isStoryId, isVariableName } from './names.js';
import type { Effect, Story, Variable } from './story.js';

/*
 * Form of the canonical Story. All objects are strict: an unknown field is an error. Everything is bounded.
 * References and types are not its business; see check-story.ts.
 */

export const limits = {
  passages: 10_000,
  choicesPerPassage: 100,
  variables: 500,
  /** Members of an enum or set. */
  members: 64,
  endings: 1_000,
  tagsPerPassage: 64,
  textPartsPerPassage: 200,
  /** UTF-8 bytes of all text parts of a passage. */
  textBytesPerPassage: 64 * 1024,
  labelLength: 1_000,
  titleLength: 200,
  descriptionLength: 10_000,
  effects: 100,
  priority: 1_000_000,
  storyletsOffered: 100,
  timeoutMs: { min: 1_000, max: 86_400_000 },
  /** UTF-8 bytes of the canonical text. */
  storyBytes: 16 * 1024 * 1024,
} as const;

/** A bounded name. `pattern` tells users of the JSON Schema what `test` tells here. */
const named = (test: (id: string) => boolean, max: number, pattern: string, what: string) =>
  z
    .string()
    .min(1)
    .max(max)
    .refine(test, { error: what, params: { code: 'FAB-G004' } })
    .meta({ pattern });

export const storyId = named(
  isStoryId,
  120,
  '^[A-Za-z0-9][A-Za-z0-9_.-]*$',
  'a story id has letters, digits and `_ . -`, at most 120, and starts with a letter or digit',
);
export const passageId = named(
  isPassageId,
  120,
  '^[^/\\u0000-\\u001f]+$',
  'a passage id is printable, has no `/` and no outer blanks, at most 120 characters',
);
export const choiceId = named(
  isChoiceId,
  80,
  '^[a-z0-9][a-z0-9_.-]*$',
  'a choice id has lower-case letters, digits and `- _ .`, at most 80, and starts with a letter or digit',
);
export const variableName = named(
  isVariableName,
  64,
  '^[A-Za-z_][A-Za-z0-9_]*$',
  'a variable name has letters, digits and `_`, at most 64, does not start with a digit, and is no reserved word',
);
export const member = named(
  isMember,
  120,
  '^[^\\u0000-\\u001f]+$',
  'a member, tag or ending is printable, without outer blanks, at most 120 characters',
);
export const safeInt = z.int();
export const title = z.string().max(limits.titleLength);
export const label = z.string().min(1).max(limits.labelLength);
export const description = z.string().max(limits.descriptionLength);
export const language = z
  .string()
  .max(35)
  .regex(/^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$/, 'a language is a BCP 47 tag such as `en` or `pt-BR`');
export const members = z.array(member).max(limits.members);
export const textString = z.string().max(limits.textBytesPerPassage);
export const timeoutMs = z.int().min(limits.timeoutMs.min).max(limits.timeoutMs.max);
export const priority = z.int().min(-limits.priority).max(limits.priority);
export const storyletLimit = z.int().min(1).max(limits.storyletsOffered);

/** A map with at most `max` keys. */
export const boundedMap = <V extends z.ZodType>(key: typeof member, value: V, max: number) =>
  z
    .record(key, value)
    .meta({ maxProperties: max })
    .refine((map) => Object.keys(map).length <= max, { error: `at most ${max} entries`, params: { code: 'FAB-G003' } });

const binaryOperators = ['&&', '||', '==', '!=', '<', '<=', '>', '>=', '+', '-', '*', '/', '%', 'in'] as const;

/** The AST of guards and values. Depth and number of parts are checked beside it. */
export const expressionSchema: z.ZodType<Expression> = z
  .lazy(() =>
    z.discriminatedUnion('op', [
      z.strictObject({ op: z.literal('bool'), value: z.boolean() }),
      z.strictObject({ op: z.literal('int'), value: safeInt }),
      z.strictObject({ op: z.literal('string'), value: z.string().max(256) }),
      z.strictObject({ op: z.literal('set'), members: z.array(z.string().max(256)).max(limits.members) }),
      z.strictObject({ op: z.literal('var'), name: variableName }),
      z.strictObject({ op: z.literal('visits'), passage: z.string().max(256) }),
      z.strictObject({ op: z.literal('chosen'), choice: z.string().max(256) }),
      z.strictObject({ op: z.literal('turn') }),
      z.strictObject({ op: z.literal('size'), of: expressionSchema }),
      z.strictObject({ op: z.enum(['!', 'neg']), of: expressionSchema }),
      z.strictObject({ op: z.enum(binaryOperators), left: expressionSchema, right: expressionSchema }),
      // oxlint-disable-next-line unicorn/no-thenable -- a schema of a tree, never a function
      z.strictObject({ op: z.literal('?:'), if: expressionSchema, then: expressionSchema, else: expressionSchema }),
    ]),
  )
  .meta({ id: 'Expression', description: 'A guard or value as a typed tree. Authors usually write text instead.' });

const base = { public: z.boolean(), label: title.optional() };
const variableSchema: z.ZodType<Variable> = z.discriminatedUnion('type', [
  z.strictObject({ ...base, type: z.literal('bool'), default: z.boolean() }),
  z.strictObject({ ...base, type: z.literal('int'), min: safeInt, max: safeInt, default: safeInt }),
  z.strictObject({ ...base, type: z.literal('enum'), values: members.min(1), default: member }),
  z.strictObject({ ...base, type: z.literal('set'), values: members.min(1), default: members }),
]);

const when = { when: expressionSchema.optional() };
const effectSchema: z.ZodType<Effect> = z.discriminatedUnion('do', [
  z.strictObject({ ...when, do: z.literal('set'), variable: variableName, to: expressionSchema }),
  z.strictObject({ ...when, do: z.literal('add'), variable: variableName, by: expressionSchema }),
  z.strictObject({ ...when, do: z.literal('insert'), variable: variableName, member }),
  z.strictObject({ ...when, do: z.literal('remove'), variable: variableName, member }),
  z.strictObject({
    ...when,
    do: z.literal('draw'),
    id: z.string().min(1).max(256),
    variable: variableName,
    min: safeInt.optional(),
    max: safeInt.optional(),
  }),
]);

export const choiceKind = z.enum(['normal', 'fallback', 'timed']);
export const choiceRepeat = z.enum(['once', 'sticky']);
export const targetForms = [
  z.strictObject({ passage: passageId }),
  z.strictObject({ return: z.literal(true) }),
  z.strictObject({ end: member }),
] as const;

const choiceSchema = z.strictObject({
  id: choiceId,
  label,
  visibleWhen: expressionSchema.optional(),
  enabledWhen: expressionSchema.optional(),
  reason: label.optional(),
  repeat: choiceRepeat,
  kind: choiceKind,
  timeoutMs: timeoutMs.optional(),
  effects: z.array(effectSchema).max(limits.effects),
  target: z.union(targetForms),
});

const passageSchema = z.strictObject({
  title,
  tags: z.array(member).max(limits.tagsPerPassage),
  text: z.array(z.strictObject({ text: textString, when: expressionSchema.optional() })).max(limits.textPartsPerPassage),
  effects: z.array(effectSchema).max(limits.effects),
  choices: z.array(choiceSchema).max(limits.choicesPerPassage),
  offerWhen: expressionSchema.optional(),
  priority,
  storylets: z.strictObject({ tag: member, limit: storyletLimit }).optional(),
  ending: member.optional(),
});

/** Form of a canonical story. */
export const storySchema: z.ZodType<Story> = z.strictObject({
  fabula: z.literal(1),
  id: storyId,
  title: label,
  author: title.optional(),
  description: description.optional(),
  language,
  start: passageId,
  variables: boundedMap(variableName, variableSchema, limits.variables),
  passages: boundedMap(passageId, passageSchema, limits.passages),
  endings: boundedMap(member, z.strictObject({ title }), limits.endings),
});
