import type { AuthorChoice, AuthorEffect, AuthorExpression, AuthorPassage, AuthorStory, AuthorVariable } from './author-schema.js';
import { authorSchema, DEFAULT_LANGUAGE, DEFAULT_STORYLET_LIMIT } from './author-schema.js';
import { checkStory, placeOf, type Place } from './check-story.js';
import { childrenOf } from './compile-expression.js';
import { type Expression, MAX_EXPRESSION_DEPTH, MAX_EXPRESSION_NODES } from './expression.js';
import { problemOf } from './lint-rules.js';
import { isPassageId, sortedMembers } from './names.js';
import { parseExpression } from './parse-expression.js';
import { limitPerCode, type Problem, type ProblemCode, type TextPosition } from './problem.js';
import type { Choice, Effect, Passage, Story, Target, TextPart, Variable } from './story.js';
import { canonicalStory } from './story-hash.js';
import { problemsOf, refuseHostile } from './story-input.js';
import { limits, storySchema } from './story-schema.js';

export interface NormalisedStory {
  /** Absent after an error of form or type (G0xx). With only references wrong (G1xx) it is there: such a draft can be kept and mended, not played. */
  readonly story?: Story;
  readonly problems: readonly Problem[];
}

/** Reads the native author form: fills in defaults, parses guards, checks form, types and references. Never throws. */
export function normaliseStory(input: unknown): NormalisedStory {
  const hostile = refuseHostile(input);
  if (hostile.length > 0) return { problems: hostile };
  const form = authorSchema.safeParse(input);
  if (!form.success) return { problems: problemsOf(form.error, input) };
  const reader = new AuthorReader();
  const story = reader.story(form.data);
  if (reader.problems.length > 0) return { problems: limitPerCode(reader.problems) };
  const oversize = tooLarge(story);
  if (oversize !== undefined) return { problems: [oversize] };
  const problems = checkStory(story);
  const unsound = problems.some((problem) => problem.severity === 'error' && problem.code < 'FAB-G100');
  return unsound ? { problems } : { story, problems };
}

/** A canonical text that is not one: never the story's author's fault, so it is thrown. */
export class NotCanonicalStory extends Error {
  constructor(readonly problems: readonly Problem[]) {
    super(
      `not a canonical story: ${problems[0]?.message ?? 'its text is not in canonical form'} (at \`${problems[0]?.where.path ?? ''}\`)`,
    );
    this.name = 'NotCanonicalStory';
  }
}

/** Reads a stored StoryVersion back. @throws NotCanonicalStory unless the text is exactly the canonical text of a sound story. */
export function parseCanonicalStory(text: string): Story {
  const input = readJson(text);
  const hostile = refuseHostile(input);
  if (hostile.length > 0) throw new NotCanonicalStory(hostile);
  const form = storySchema.safeParse(input);
  if (!form.success) throw new NotCanonicalStory(problemsOf(form.error, input));
  if (canonicalStory(form.data) !== text) throw new NotCanonicalStory([]);
  return form.data;
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new NotCanonicalStory([problemOf('FAB-G001', { path: '' }, error instanceof Error ? error.message : String(error))]);
  }
}

function tooLarge(story: Story): Problem | undefined {
  const bytes = Buffer.byteLength(canonicalStory(story));
  return bytes <= limits.storyBytes
    ? undefined
    : problemOf('FAB-G003', { path: '' }, `the story is ${bytes} bytes long; at most ${limits.storyBytes} are allowed`);
}

/** Id of the n-th draw (from 1) of a choice's or passage's effects, when the author gave none. */
export const drawId = (owner: string, n: number): string => `${owner}#${n}`;

const at = (place: Place, ...more: (string | number)[]): Place => ({ ...place, path: [...place.path, ...more] });

/** Leaves out what is undefined: canonical JSON has no form for it. */
type Present<T> = { [K in keyof T]: Exclude<T[K], undefined> };
function present<T extends object>(fields: T): Partial<Present<T>> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<Present<T>>;
}

class AuthorReader {
  readonly problems: Problem[] = [];

  story(form: AuthorStory): Story {
    const variables: { [name: string]: Variable } = {};
    for (const [name, variable] of Object.entries(form.variables ?? {})) variables[name] = readVariable(variable);
    const passages: { [id: string]: Passage } = {};
    for (const [id, passage] of Object.entries(form.passages))
      passages[id] = this.passage(id, passage, { path: ['passages', id], passage: id });
    const endings: { [id: string]: { title: string } } = {};
    for (const [id, ending] of Object.entries(form.endings ?? {})) endings[id] = { title: ending.title ?? id };
    return {
      fabula: 1,
      id: form.id,
      title: form.title,
      ...present({ author: form.author, description: form.description }),
      language: form.language ?? DEFAULT_LANGUAGE,
      start: form.start,
      variables,
      passages,
      endings,
    };
  }

  private passage(id: string, form: AuthorPassage, place: Place): Passage {
    const text = this.text(form.text, at(place, 'text'));
    const bytes = text.reduce((sum, part) => sum + Buffer.byteLength(part.text), 0);
    if (bytes > limits.textBytesPerPassage)
      this.report('FAB-G003', at(place, 'text'), `the text is ${bytes} bytes long; at most ${limits.textBytesPerPassage} are allowed`);
    return {
      title: form.title ?? id,
      tags: sortedMembers(form.tags ?? []),
      text,
      effects: this.effects(form.effects, id, at(place, 'effects')),
      choices: (form.choices ?? []).map((choice, i) => this.choice(id, choice, { ...at(place, 'choices', i), choice: choice.id })),
      ...present({
        offerWhen: this.optional(form.offerWhen, at(place, 'offerWhen')),
        storylets: form.storylets && { tag: form.storylets.tag, limit: form.storylets.limit ?? DEFAULT_STORYLET_LIMIT },
        ending: form.ending,
      }),
      priority: form.priority ?? 0,
    };
  }

  private text(form: AuthorPassage['text'], place: Place): readonly TextPart[] {
    if (form === undefined) return [];
    if (typeof form === 'string') return [{ text: form }];
    return form.map((part, i) =>
      typeof part === 'string' ? { text: part } : { text: part.text, ...present({ when: this.optional(part.when, at(place, i, 'when')) }) },
    );
  }

  private choice(passageId: string, form: AuthorChoice, place: Place): Choice {
    return {
      id: form.id,
      label: form.label,
      repeat: form.repeat ?? 'sticky',
      kind: form.kind ?? 'normal',
      effects: this.effects(form.effects, `${passageId}/${form.id}`, at(place, 'effects')),
      target: this.target(form.target, at(place, 'target')),
      ...present({
        visibleWhen: this.optional(form.visibleWhen, at(place, 'visibleWhen')),
        enabledWhen: this.optional(form.enabledWhen, at(place, 'enabledWhen')),
        reason: form.reason,
        timeoutMs: form.timeoutMs,
      }),
    };
  }

  private target(form: AuthorChoice['target'], place: Place): Target {
    if (typeof form !== 'string') return form;
    if (form === 'return') return { return: true };
    if (!isPassageId(form)) this.report('FAB-G004', place, 'a target is a passage id, `return`, or { end: … }');
    return { passage: form };
  }

  private effects(forms: readonly AuthorEffect[] | undefined, owner: string, place: Place): readonly Effect[] {
    let draws = 0;
    return (forms ?? []).map((form, i): Effect => {
      const here = at(place, i);
      const when = present({ when: this.optional(form.when, at(here, 'when')) });
      if ('set' in form) return { do: 'set', variable: form.set, to: this.expression(form.to, at(here, 'to')), ...when };
      if ('add' in form) return { do: 'add', variable: form.add, by: this.expression(form.by, at(here, 'by')), ...when };
      if ('insert' in form) return { do: 'insert', variable: form.insert, member: form.member, ...when };
      if ('remove' in form) return { do: 'remove', variable: form.remove, member: form.member, ...when };
      const id = form.id ?? drawId(owner, draws + 1);
      draws++;
      return { do: 'draw', id, variable: form.draw, ...present({ min: form.min, max: form.max }), ...when };
    });
  }

  private optional(form: AuthorExpression | undefined, place: Place): Expression | undefined {
    return form === undefined ? undefined : this.expression(form, place);
  }

  private expression(form: AuthorExpression, place: Place): Expression {
    if (typeof form === 'boolean') return { op: 'bool', value: form };
    if (typeof form === 'number') return { op: 'int', value: form + 0 };
    if (typeof form === 'string') {
      const result = parseExpression(form);
      if (result.ok) return result.expression;
      const { code, message, help, line, column, offset } = result.problem;
      return this.refused(code, place, message, { help, within: { line, column, offset } });
    }
    const tree = 'op' in form ? tidy(form) : ({ op: 'set', members: sortedMembers(form) } as const);
    const { nodes, depth } = sizeOf(tree);
    if (nodes > MAX_EXPRESSION_NODES) return this.refused('FAB-G011', place, `this expression has more than ${MAX_EXPRESSION_NODES} parts`);
    if (depth > MAX_EXPRESSION_DEPTH) return this.refused('FAB-G011', place, `this expression is deeper than ${MAX_EXPRESSION_DEPTH}`);
    return tree;
  }

  /** Reports, and goes on with a stand-in so that all problems are found; the story is not handed out. */
  private refused(code: ProblemCode, place: Place, message: string, more: { help?: string; within?: TextPosition } = {}): Expression {
    this.report(code, place, message, more);
    return { op: 'bool', value: false };
  }

  private report(code: ProblemCode, place: Place, message: string, more: { help?: string; within?: TextPosition } = {}): void {
    this.problems.push(problemOf(code, placeOf(place), message, more));
  }
}

function readVariable(form: AuthorVariable): Variable {
  const base = { public: form.public ?? false, ...present({ label: form.label }) };
  switch (form.type) {
    case 'bool':
      return { ...base, type: 'bool', default: form.default ?? false };
    case 'int': {
      const min = form.min ?? Math.min(0, form.max);
      return { ...base, type: 'int', min: min + 0, max: form.max + 0, default: (form.default ?? Math.min(Math.max(0, min), form.max)) + 0 };
    }
    case 'enum':
      return { ...base, type: 'enum', values: form.values, default: form.default ?? (form.values[0] as string) };
    case 'set':
      return { ...base, type: 'set', values: form.values, default: sortedMembers(form.default ?? []) };
  }
}

/** The one form of a tree that came as a tree: members sorted, no -0. */
function tidy(tree: Expression): Expression {
  switch (tree.op) {
    case 'set':
      return { op: 'set', members: sortedMembers(tree.members) };
    case 'int':
      return { op: 'int', value: tree.value + 0 };
    case '!':
    case 'neg':
    case 'size':
      return { op: tree.op, of: tidy(tree.of) };
    case '?:':
      // oxlint-disable-next-line unicorn/no-thenable -- a tree, never a function
      return { op: '?:', if: tidy(tree.if), then: tidy(tree.then), else: tidy(tree.else) };
    case 'bool':
    case 'string':
    case 'var':
    case 'visits':
    case 'chosen':
    case 'turn':
      return tree;
    default:
      return { op: tree.op, left: tidy(tree.left), right: tidy(tree.right) };
  }
}

function sizeOf(tree: Expression): { readonly nodes: number; readonly depth: number } {
  const parts = childrenOf(tree).map(sizeOf);
  const members = tree.op === 'set' ? tree.members.length : 0;
  return {
    nodes: 1 + members + parts.reduce((sum, part) => sum + part.nodes, 0),
    depth: 1 + parts.reduce((deepest, part) => Math.max(deepest, part.depth), 0),
  };
}
