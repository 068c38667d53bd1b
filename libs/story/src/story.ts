import type { Expression } from './expression.js';

/*
 * The content of a StoryVersion in its canonical form: what is hashed, stored and compiled. Guards are typed ASTs here;
 * the native JSON/YAML format writes them as text and may leave defaults out (see docs/reference/native-format.md).
 */

export type VariableType = 'bool' | 'int' | 'enum' | 'set';
/** A variable's value: bool, safe integer, enum member, or the sorted members of a set. */
export type Value = boolean | number | string | readonly string[];

interface VariableBase {
  /** Readers see changes of public variables only. */
  readonly public: boolean;
  /** Words for people; defaults to the name. */
  readonly label?: string;
}
export type Variable = VariableBase &
  (
    | { readonly type: 'bool'; readonly default: boolean }
    | { readonly type: 'int'; readonly min: number; readonly max: number; readonly default: number }
    | { readonly type: 'enum'; readonly values: readonly string[]; readonly default: string }
    | { readonly type: 'set'; readonly values: readonly string[]; readonly default: readonly string[] }
  );

/** The closed list of state changes. `when` makes one conditional; effects run in order, each sees the former's result. */
export type Effect = { readonly when?: Expression } & (
  | { readonly do: 'set'; readonly variable: string; readonly to: Expression }
  /** Clamped to the variable's bounds. */
  | { readonly do: 'add'; readonly variable: string; readonly by: Expression }
  | { readonly do: 'insert'; readonly variable: string; readonly member: string }
  | { readonly do: 'remove'; readonly variable: string; readonly member: string }
  /** Uniform: an int variable within [min, max] (default its bounds), an enum or bool over its values. The result is recorded. */
  | { readonly do: 'draw'; readonly id: string; readonly variable: string; readonly min?: number; readonly max?: number }
);

/**
 * Where a choice leads: a passage, back to where the storylet was offered (`return`), or to an ending of that id.
 */
export type Target = { readonly passage: string } | { readonly return: true } | { readonly end: string };

export interface Choice {
  /** Unique within its passage; `passage/choice` names it in the story. Never an ordinal. */
  readonly id: string;
  readonly label: string;
  /** Not met: the reader does not see the choice. */
  readonly visibleWhen?: Expression;
  /** Not met: the reader sees it locked, with `reason`. */
  readonly enabledWhen?: Expression;
  readonly reason?: string;
  /** once: gone after it was chosen in this playthrough. */
  readonly repeat: 'once' | 'sticky';
  /**
   * normal: offered while visible. fallback: offered only when no normal choice or storylet can be selected.
   * timed: never offered; taken by itself `timeoutMs` after the passage was entered, if `visibleWhen` holds then (at most one per passage).
   */
  readonly kind: 'normal' | 'fallback' | 'timed';
  readonly timeoutMs?: number;
  readonly effects: readonly Effect[];
  readonly target: Target;
}

/** Text is a list of parts; a part with `when` shows only if it holds. `{{name}}` in it shows a variable's value. */
export interface TextPart {
  readonly text: string;
  readonly when?: Expression;
}

/** Offers the storylets that carry `tag` and whose `offerWhen` holds: highest priority first, then by id, at most `limit`. */
export interface Hub {
  readonly tag: string;
  readonly limit: number;
}

export interface Passage {
  readonly title: string;
  readonly tags: readonly string[];
  readonly text: readonly TextPart[];
  /** Run each time the passage is entered, before its choices are offered. */
  readonly effects: readonly Effect[];
  readonly choices: readonly Choice[];
  /** Present: this passage is a storylet, offered at hubs of one of its tags as a choice labelled `title`. */
  readonly offerWhen?: Expression;
  readonly priority: number;
  readonly storylets?: Hub;
  /** Present: entering this passage ends the playthrough with this ending. */
  readonly ending?: string;
}

export interface Story {
  readonly fabula: 1;
  readonly id: string;
  readonly title: string;
  readonly author?: string;
  readonly description?: string;
  /** BCP 47. */
  readonly language: string;
  readonly start: string;
  readonly variables: { readonly [name: string]: Variable };
  readonly passages: { readonly [id: string]: Passage };
  /** Titles of endings by id; every ending used must stand here. */
  readonly endings: { readonly [id: string]: { readonly title: string } };
}

/** Choice id of the offer that a hub makes for a storylet. */
export const storyletChoiceId = (passageId: string): string => `storylet:${passageId}`;
