import type { Effect, Passage, Story, Target, Value } from './story.js';

/** What guards and effects read. */
export interface Scope {
  readonly variables: { readonly [name: string]: Value };
  readonly visits: { readonly [passageId: string]: number };
  readonly chosen: { readonly [choiceKey: string]: number };
  readonly turn: number;
}

/** A guard or value expression as closures; total after type check except for the stated evaluation errors. */
export interface CompiledExpression<T extends Value = Value> {
  /** @throws EvaluationError on overflow or division by zero. */
  evaluate(scope: Scope): T;
  /** Variables read, sorted: recorded as the guard's inputs. */
  readonly reads: readonly string[];
  /** Text of the guard, and of its first failing conjunct for this scope. */
  readonly text: string;
  failing(scope: Scope): string | undefined;
}

export interface CompiledEffect {
  readonly effect: Effect;
  readonly when?: CompiledExpression<boolean>;
  readonly value?: CompiledExpression;
}

export interface CompiledChoice {
  readonly id: string;
  /** `passage/choice` */
  readonly key: string;
  readonly label: string;
  readonly labelHash: string;
  readonly visibleWhen?: CompiledExpression<boolean>;
  readonly enabledWhen?: CompiledExpression<boolean>;
  readonly reason?: string;
  readonly repeat: 'once' | 'sticky';
  readonly kind: 'normal' | 'fallback' | 'timed';
  readonly timeoutMs?: number;
  readonly effects: readonly CompiledEffect[];
  readonly target: Target;
}

export interface CompiledPassage {
  readonly id: string;
  readonly passage: Passage;
  readonly text: readonly { readonly text: string; readonly when?: CompiledExpression<boolean> }[];
  readonly effects: readonly CompiledEffect[];
  readonly choices: readonly CompiledChoice[];
  readonly timed?: CompiledChoice;
  readonly offerWhen?: CompiledExpression<boolean>;
  /** Storylets this hub can offer, in offering order (priority down, then id). */
  readonly storylets: readonly CompiledPassage[];
  readonly storyletLimit: number;
}

/** One StoryVersion ready to play; built once per version and shared by all its playthroughs. Immutable. */
export interface CompiledStory {
  readonly hash: string;
  readonly story: Story;
  readonly start: CompiledPassage;
  passage(id: string): CompiledPassage | undefined;
  /** Defaults of all variables, names sorted, sets sorted. */
  readonly initialVariables: { readonly [name: string]: Value };
}
