import type { Moment, Playthrough } from '../api/playthrough-types.js';
import type { Problem } from '../api/problem.js';

const isObject = (value: unknown): value is { readonly [key: string]: unknown } => typeof value === 'object' && value !== null;

/** `TURN_STALE` carries where the story stands now; anything that is not a whole moment is left to a new question. */
export function momentInError(problem: Problem): Pick<Playthrough, 'turn' | 'status' | 'moment'> | undefined {
  const { turn, status, moment } = problem.extensions;
  if (typeof turn !== 'number' || !isObject(moment) || !isObject(moment['passage'])) return undefined;
  const { id, title, text } = moment['passage'];
  if (![id, title, text].every((part) => typeof part === 'string')) return undefined;
  if (!Array.isArray(moment['choices']) || !Array.isArray(moment['variables'])) return undefined;
  return { turn, status: String(status).toUpperCase() === 'ENDED' ? 'ENDED' : 'ACTIVE', moment: moment as unknown as Moment };
}
