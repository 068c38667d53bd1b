import { sha256Hex } from '#lib/canonical';
import type { CompiledChoice, CompiledEffect, CompiledExpression, CompiledPassage, CompiledStory } from './compiled-story.js';
import { checkStory } from './check-story.js';
import { compileExpression } from './compile-expression.js';
import type { Expression } from './expression.js';
import { byCodeUnits } from './names.js';
import { hasErrors, type Problem } from './problem.js';
import type { Choice, Effect, Passage, Story, Value } from './story.js';
import { storyHash } from './story-hash.js';

/** A story with errors cannot be played; `problems` holds all that was found. */
export class StoryNotPlayable extends Error {
  constructor(readonly problems: readonly Problem[]) {
    const first = problems.find((problem) => problem.severity === 'error');
    super(`the story has errors, the first is ${first?.code} at ${first?.where.path}: ${first?.message}`);
    this.name = 'StoryNotPlayable';
  }
}

/**
 * Makes a StoryVersion ready to play: every guard a closure, every name looked up once. Afterwards every target, hub and ending exists.
 * @throws StoryNotPlayable when `checkStory` finds an error.
 */
export function compileStory(story: Story): CompiledStory {
  const problems = checkStory(story);
  if (hasErrors(problems)) throw new StoryNotPlayable(problems);
  const passages = new Map<string, CompiledPassage>();
  for (const id of Object.keys(story.passages).sort()) passages.set(id, compilePassage(id, story.passages[id] as Passage));
  linkStorylets(passages);
  const initial: { [name: string]: Value } = {};
  for (const name of Object.keys(story.variables).sort()) {
    const variable = story.variables[name];
    if (variable !== undefined) initial[name] = variable.default;
  }
  const start = passages.get(story.start);
  if (start === undefined) throw new StoryNotPlayable(problems);
  return {
    hash: storyHash(story),
    story,
    start,
    passage: (id) => passages.get(id),
    initialVariables: Object.freeze(initial),
  };
}

type Linked = { -readonly [K in keyof CompiledPassage]: CompiledPassage[K] };

function compilePassage(id: string, passage: Passage): CompiledPassage {
  const choices = passage.choices.map((choice) => compileChoice(id, choice));
  const timed = choices.find((choice) => choice.kind === 'timed');
  return {
    id,
    passage,
    text: passage.text.map((part) => ({ text: part.text, ...optionalGuard('when', part.when) })),
    effects: passage.effects.map(compileEffect),
    choices,
    ...(timed === undefined ? {} : { timed }),
    ...optionalGuard('offerWhen', passage.offerWhen),
    storylets: [],
    storyletLimit: passage.storylets?.limit ?? 0,
  };
}

function compileChoice(passageId: string, choice: Choice): CompiledChoice {
  return {
    id: choice.id,
    key: `${passageId}/${choice.id}`,
    label: choice.label,
    labelHash: sha256Hex(choice.label),
    ...optionalGuard('visibleWhen', choice.visibleWhen),
    ...optionalGuard('enabledWhen', choice.enabledWhen),
    ...(choice.reason === undefined ? {} : { reason: choice.reason }),
    repeat: choice.repeat,
    kind: choice.kind,
    ...(choice.timeoutMs === undefined ? {} : { timeoutMs: choice.timeoutMs }),
    effects: choice.effects.map(compileEffect),
    target: choice.target,
  };
}

function compileEffect(effect: Effect): CompiledEffect {
  const value = effect.do === 'set' ? effect.to : effect.do === 'add' ? effect.by : undefined;
  return {
    effect,
    ...optionalGuard('when', effect.when),
    ...(value === undefined ? {} : { value: compileExpression(value) }),
  };
}

function optionalGuard<K extends string>(name: K, guard: Expression | undefined): { [P in K]?: CompiledExpression<boolean> } {
  return guard === undefined ? {} : ({ [name]: compileExpression<boolean>(guard) } as { [P in K]: CompiledExpression<boolean> });
}

/** Gives every hub the storylets of its tag; lists are shared by hubs of one tag. */
function linkStorylets(passages: ReadonlyMap<string, CompiledPassage>): void {
  const byTag = new Map<string, CompiledPassage[]>();
  const offered = [...passages.values()].filter((passage) => passage.offerWhen !== undefined);
  offered.sort((a, b) => b.passage.priority - a.passage.priority || byCodeUnits(a.id, b.id));
  for (const passage of offered) {
    for (const tag of passage.passage.tags) {
      const list = byTag.get(tag);
      if (list === undefined) byTag.set(tag, [passage]);
      else list.push(passage);
    }
  }
  for (const passage of passages.values()) {
    const tag = passage.passage.storylets?.tag;
    if (tag !== undefined) (passage as Linked).storylets = byTag.get(tag) ?? [];
  }
}
