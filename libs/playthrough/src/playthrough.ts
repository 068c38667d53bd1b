import type { Decider } from '#lib/decision';
import { decide } from './decide.js';
import { evolve } from './evolve.js';
import type { PlaythroughCommand, PlaythroughContext } from './playthrough-commands.js';
import type { PlaythroughEvent } from './playthrough-events.js';
import type { PlaythroughState } from './playthrough-state.js';

/** Behaviour of the `playthrough/<id>` streams. */
export const playthrough: Decider<PlaythroughState | null, PlaythroughCommand, PlaythroughEvent, PlaythroughContext> = {
  initial: () => null,
  decide,
  evolve,
};
