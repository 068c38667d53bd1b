import type { Json } from '#lib/canonical';
import type { Rejection } from '#lib/decision';
import type { PlaythroughRejectionCode } from './playthrough-commands.js';
import type { PlaythroughState } from './playthrough-state.js';

/** Leaves a decision early; `decide` turns it into its answer. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly rejection: Rejection<PlaythroughRejectionCode>;

  constructor(rejected: PlaythroughRejectionCode, message: string, details?: { readonly [key: string]: Json }) {
    super(message);
    this.rejection = { rejected, message, ...(details !== undefined && { details }) };
  }
}

export const notFound = (): Refused => new Refused('PLAYTHROUGH_NOT_FOUND', 'there is no such playthrough');
export const badInput = (field: string, message: string, details?: { readonly [key: string]: Json }): Refused =>
  new Refused('BAD_INPUT', message, { field, ...details });
export const ended = (state: PlaythroughState): Refused =>
  new Refused('PLAYTHROUGH_ENDED', 'this playthrough has ended', { turn: state.turn, ending: state.narrative.ending });
/** `seen` is absent where a start or fork meets a stream that is begun already. */
export const stale = (state: PlaythroughState, seen?: number): Refused =>
  new Refused('TURN_STALE', `the playthrough is on turn ${state.turn}`, { turn: state.turn, ...(seen !== undefined && { seen }) });
