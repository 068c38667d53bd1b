import { compileExpression, EvaluationError } from '../compile-expression.js';
import type { Scope } from '../compiled-story.js';
import type { Expression } from '../expression.js';
import { pointer } from '../problem.js';
import { type Choice, type Effect, type Story, storyletChoiceId, type Target, type Value } from '../story.js';

/* Plays a small story in every way, for a few turns: the plainest simulation that shows what can happen. */

interface State extends Scope {
  readonly passage: string;
  readonly returnTo: readonly string[];
}
export interface Seen {
  readonly passages: Set<string>;
  /** `passage/choice` of choices that were taken. */
  readonly choices: Set<string>;
  readonly endings: Set<string>;
  /** Outcomes of each guard by its JSON pointer. */
  readonly outcomes: Map<string, Set<boolean>>;
  readonly variables: Scope['variables'][];
}

export function explore(story: Story, limits: { readonly turns: number; readonly states: number }): Seen {
  const seen: Seen = { passages: new Set(), choices: new Set(), endings: new Set(), outcomes: new Map(), variables: [] };
  const holds = (guard: Expression | undefined, scope: Scope, path: readonly (string | number)[]): boolean => {
    if (guard === undefined) return true;
    const outcome = safely(() => compileExpression<boolean>(guard).evaluate(scope)) ?? false;
    const key = pointer(path);
    seen.outcomes.set(key, (seen.outcomes.get(key) ?? new Set()).add(outcome));
    return outcome;
  };
  const run = (effects: readonly Effect[], state: State, path: readonly (string | number)[]): readonly State[] =>
    effects.reduce<readonly State[]>(
      (states, effect, i) =>
        states.flatMap((one) => (holds(effect.when, one, [...path, i, 'when']) ? outcomes(story, effect, one) : [one])),
      [state],
    );
  const enter = (id: string, state: State): readonly State[] => {
    const passage = story.passages[id];
    if (passage === undefined) return [];
    seen.passages.add(id);
    const entered = { ...state, passage: id, visits: { ...state.visits, [id]: (state.visits[id] ?? 0) + 1 } };
    const after = run(passage.effects, entered, ['passages', id, 'effects']);
    if (passage.ending !== undefined) seen.endings.add(passage.ending);
    for (const one of after) seen.variables.push(one.variables);
    return passage.ending === undefined ? after : [];
  };
  const follow = (target: Target, state: State): readonly State[] => {
    if ('end' in target) {
      seen.endings.add(target.end);
      return [];
    }
    if ('passage' in target) return enter(target.passage, state);
    const back = state.returnTo.at(-1);
    return enter(back ?? story.start, { ...state, returnTo: state.returnTo.slice(0, -1) });
  };
  const take = (state: State, choice: Choice, i: number): readonly State[] => {
    const path = ['passages', state.passage, 'choices', i];
    const key = `${state.passage}/${choice.id}`;
    if (choice.repeat === 'once' && (state.chosen[key] ?? 0) > 0) return [];
    if (!holds(choice.visibleWhen, state, [...path, 'visibleWhen'])) return [];
    if (!holds(choice.enabledWhen, state, [...path, 'enabledWhen'])) return [];
    seen.choices.add(key);
    const chosen = { ...state.chosen, [key]: (state.chosen[key] ?? 0) + 1 };
    return run(choice.effects, state, [...path, 'effects']).flatMap((one) =>
      follow(choice.target, { ...one, chosen, turn: state.turn + 1 }),
    );
  };

  const variables = Object.fromEntries(Object.entries(story.variables).map(([name, variable]) => [name, variable.default]));
  seen.variables.push(variables);
  let states = enter(story.start, { variables, visits: {}, chosen: {}, turn: 0, passage: story.start, returnTo: [] });
  for (let turn = 0; turn < limits.turns; turn++) {
    const next: State[] = [];
    for (const state of states.slice(0, limits.states)) {
      const passage = story.passages[state.passage];
      if (passage === undefined) continue;
      passage.text.forEach((part, i) => holds(part.when, state, ['passages', state.passage, 'text', i, 'when']));
      passage.choices.forEach((choice, i) => next.push(...take(state, choice, i)));
      for (const [id, storylet] of Object.entries(story.passages)) {
        const tag = passage.storylets?.tag;
        if (storylet.offerWhen === undefined || tag === undefined || !storylet.tags.includes(tag)) continue;
        if (!holds(storylet.offerWhen, state, ['passages', id, 'offerWhen']) || state.returnTo.includes(state.passage)) continue;
        const key = `${state.passage}/${storyletChoiceId(id)}`;
        const chosen = { ...state.chosen, [key]: (state.chosen[key] ?? 0) + 1 };
        next.push(...enter(id, { ...state, chosen, turn: state.turn + 1, returnTo: [...state.returnTo, state.passage] }));
      }
    }
    states = next;
  }
  return seen;
}

function safely<T>(evaluate: () => T): T | undefined {
  try {
    return evaluate();
  } catch (error) {
    if (error instanceof EvaluationError) return undefined;
    throw error;
  }
}

/** States after an effect: one, or one for each result of a draw; none if it fails, for then the move is refused. */
function outcomes(story: Story, effect: Effect, state: State): readonly State[] {
  const variable = story.variables[effect.variable];
  const now = state.variables[effect.variable];
  const put = (value: Value | undefined): readonly State[] => {
    if (value === undefined) return [];
    const fitted = variable?.type === 'int' && typeof value === 'number' ? Math.min(variable.max, Math.max(variable.min, value)) : value;
    return [{ ...state, variables: { ...state.variables, [effect.variable]: fitted } }];
  };
  const others = Array.isArray(now) ? (now as readonly string[]).filter((one) => !('member' in effect) || one !== effect.member) : [];
  switch (effect.do) {
    case 'set':
      return put(safely(() => compileExpression(effect.to).evaluate(state)));
    case 'add': {
      const by = safely(() => compileExpression<number>(effect.by).evaluate(state));
      return put(by === undefined ? undefined : (now as number) + by);
    }
    case 'insert':
      return put([...others, effect.member].sort());
    case 'remove':
      return put(others);
    case 'draw': {
      if (variable?.type === 'bool') return [true, false].flatMap(put);
      if (variable?.type === 'enum') return variable.values.flatMap(put);
      if (variable?.type !== 'int') return [];
      const [min, max] = [effect.min ?? variable.min, effect.max ?? variable.max];
      return Array.from({ length: max - min + 1 }, (_, i) => min + i).flatMap(put);
    }
  }
}
