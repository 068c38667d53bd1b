import type { Json } from '#lib/canonical';
import type { RecordedEvent } from './decision-record.js';

/** Why a command was not decided: an answer to the caller, never a record. */
export interface Rejection<Code extends string = string> {
  readonly rejected: Code;
  readonly message: string;
  /** Facts for the caller: field, position, limits. */
  readonly details?: { readonly [key: string]: Json };
}

/**
 * A stream type's behaviour. All three are pure and total: clock, ids, randomness and content arrive in `context`.
 * Shape after Chassaing's decider (initial, decide, evolve).
 */
export interface Decider<State, Command, Event extends RecordedEvent, Context> {
  initial(): State;
  decide(command: Command, state: State, context: Context): readonly Event[] | Rejection;
  evolve(state: State, event: Event): State;
}

export function isRejection(decision: readonly RecordedEvent[] | Rejection): decision is Rejection {
  return !Array.isArray(decision);
}
