import type { CompiledEffect, CompiledStory, Scope, Value, Variable } from '#lib/story';
import { drawValue } from './draw.js';
import { holds, messageOf } from './guards.js';
import type { Change, Draw } from './playthrough-events.js';

/** An effect that cannot be run: the story is at fault, and the move is refused as a whole. */
export class StoryFault extends Error {
  override readonly name = 'StoryFault';
}

/** What one decision does to the variables, effect by effect; starts as a view of the state and copies at the first change. */
export class EffectRun {
  readonly drawn: Draw[] = [];
  private copied = false;
  private readonly before: Scope['variables'];

  constructor(
    private readonly story: CompiledStory,
    private readonly seed: string,
    private variables: Scope['variables'],
    private counter: number,
  ) {
    this.before = variables;
  }

  get values(): Scope['variables'] {
    return this.variables;
  }
  /** Draw counter after the effects run so far. */
  get draws(): number {
    return this.counter;
  }

  /**
   * Runs effects in order, each seeing the former's result.
   * @throws StoryFault when a value cannot be computed or does not fit its variable.
   */
  run(effects: readonly CompiledEffect[], counts: Omit<Scope, 'variables'>): void {
    for (const compiled of effects) {
      const scope: Scope = { variables: this.variables, visits: counts.visits, chosen: counts.chosen, turn: counts.turn };
      if (compiled.when === undefined || holds(compiled.when, scope) === true) this.one(compiled, scope);
    }
  }

  private one(compiled: CompiledEffect, scope: Scope): void {
    const { effect } = compiled;
    const declared = this.story.story.variables;
    const variable = Object.hasOwn(declared, effect.variable) ? declared[effect.variable] : undefined;
    if (variable === undefined) throw new StoryFault(`effect on "${effect.variable}", which is not a variable of the story`);
    switch (effect.do) {
      case 'set':
        return this.put(effect.variable, fitted(effect.variable, variable, evaluated(compiled, scope)));
      case 'add': {
        const now = this.variables[effect.variable];
        const by = evaluated(compiled, scope);
        if (typeof now !== 'number' || typeof by !== 'number')
          throw new StoryFault(`add needs an int on both sides at "${effect.variable}"`);
        return this.put(effect.variable, fitted(effect.variable, variable, now + by));
      }
      case 'insert':
      case 'remove': {
        const now = this.variables[effect.variable];
        if (!Array.isArray(now)) throw new StoryFault(`${effect.do} needs a set at "${effect.variable}"`);
        const others = (now as readonly string[]).filter((member) => member !== effect.member);
        if (effect.do === 'remove') return this.put(effect.variable, others);
        return this.put(effect.variable, fitted(effect.variable, variable, [...others, effect.member]));
      }
      case 'draw': {
        const n = this.counter;
        const result = drawValue(variable, { seed: this.seed, id: effect.id, n }, effect);
        if (result === undefined) throw new StoryFault(`draw "${effect.id}" has nothing to draw from for "${effect.variable}"`);
        this.counter = n + 1;
        this.drawn.push({ id: effect.id, n, result });
        return this.put(effect.variable, result);
      }
    }
  }

  private put(name: string, value: Value): void {
    if (sameValue(this.variables[name], value)) return;
    if (!this.copied) {
      this.variables = { ...this.variables };
      this.copied = true;
    }
    (this.variables as Record<string, Value>)[name] = value;
  }

  /** Net change of each variable, by name. */
  changes(): readonly Change[] {
    if (!this.copied) return [];
    const changes: Change[] = [];
    for (const name of Object.keys(this.variables)) {
      const from = this.before[name];
      const to = this.variables[name];
      if (from !== undefined && to !== undefined && !sameValue(from, to)) changes.push({ name, from, to });
    }
    return changes;
  }
}

function evaluated(compiled: CompiledEffect, scope: Scope): unknown {
  try {
    return compiled.value?.evaluate(scope);
  } catch (error) {
    throw new StoryFault(`effect on "${compiled.effect.variable}" cannot be computed: ${messageOf(error)}`);
  }
}

/** The value as the variable may hold it: ints clamped, sets sorted without doubles. */
function fitted(name: string, variable: Variable, value: unknown): Value {
  switch (variable.type) {
    case 'int':
      // A sum of two safe integers may be unsafe, but then it lies beyond the bounds and is cut.
      if (typeof value === 'number' && Number.isInteger(value)) return Math.min(variable.max, Math.max(variable.min, value));
      break;
    case 'bool':
      if (typeof value === 'boolean') return value;
      break;
    case 'enum':
      if (typeof value === 'string' && variable.values.includes(value)) return value;
      break;
    case 'set':
      if (Array.isArray(value) && value.every((member) => variable.values.includes(member as string)))
        return [...new Set(value as string[])].sort();
      break;
  }
  throw new StoryFault(`"${name}" is declared as ${variable.type} and cannot hold the value given to it`);
}

export function sameValue(a: Value | undefined, b: Value | undefined): boolean {
  if (a === b) return true;
  return Array.isArray(a) && Array.isArray(b) && a.length === b.length && a.every((member, i) => member === b[i]);
}
