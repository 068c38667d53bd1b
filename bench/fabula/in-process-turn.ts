import { isRejection } from '#lib/decision';
import {
  momentOf,
  playthrough,
  stateFromJson,
  stateToJson,
  type Moment,
  type PlaythroughCommand,
  type PlaythroughState,
} from '#lib/playthrough';
import { compiledRooms } from '../story/room-story.js';
import type { Shown } from '../peers/ink-rooms.js';

const reader = 'r-abcdefghijklmnopqrstuvwxyz';

function moved(state: PlaythroughState | null, command: PlaythroughCommand): PlaythroughState {
  const context = {
    story: compiledRooms,
    now: 1_700_000_000_000,
    playthroughId: 'bench',
    reader,
    entropy: '0123456789abcdef0123456789abcdef',
  };
  const decision = playthrough.decide(command, state, context);
  if (isRejection(decision)) throw new Error(`${decision.rejected}: ${decision.message}`);
  const next = decision.reduce<PlaythroughState | null>((folded, event) => playthrough.evolve(folded, event), state);
  if (next === null) throw new Error('nothing was decided');
  return next;
}

export function startRooms(): PlaythroughState {
  return moved(null, { type: 'start', storyId: 'rooms', versionHash: compiledRooms.hash, preview: false });
}

/** A turn with its state as text before and after, the event with its hashes decided between, and the moment that the reader sees. */
export function roomsTurn(saved: string, choiceId: string): { readonly saved: string; readonly moment: Moment } {
  const state = stateFromJson(saved);
  const next = moved(state, { type: 'choose', choiceId, turn: state.turn });
  return { moment: momentOf(compiledRooms, next), saved: stateToJson(next) };
}

export function shownOf({ passage, offers }: Moment): Shown {
  return { text: passage.text, labels: offers.map(({ label }) => label) };
}
