import { TIMEOUT_GRACE_MS, type PlaythroughCommand } from './playthrough-commands.js';
import type { PlaythroughState } from './playthrough-state.js';

export interface DueTimeOut {
  readonly command: Extract<PlaythroughCommand, { type: 'timeOut' }>;
  /** The same whoever finds it due, so it takes effect once. */
  readonly commandId: string;
}

/**
 * The time-out that must be decided before any other command on this playthrough: its deadline passed longer ago than the grace.
 * A refused one (the story is at fault) must not hold the reader up: what was asked for is decided then.
 */
export function dueTimeOut(state: PlaythroughState | null, now: number): DueTimeOut | undefined {
  if (state === null || state.status === 'ended' || state.deadline === null || now <= state.deadline + TIMEOUT_GRACE_MS) return undefined;
  return { command: { type: 'timeOut', turn: state.turn }, commandId: `s:timeout:${state.id}:${state.turn}` };
}
