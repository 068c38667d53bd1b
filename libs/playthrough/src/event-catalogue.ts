import { upcast, type EventSchema, type RecordedEvent } from '#lib/decision';
import { evolve } from './evolve.js';
import type { PlaythroughEvent } from './playthrough-events.js';
import type { PlaythroughState } from './playthrough-state.js';
import { stateHash } from './state-json.js';

const types: readonly PlaythroughEvent['type'][] = [
  'PlaythroughStarted',
  'ChoiceMade',
  'TimedOut',
  'PlaythroughEnded',
  'Rewound',
  'WhatIfForked',
  'CheckpointSet',
];

/** Every event type of a playthrough's stream with its current version and how older ones are brought there. */
export const playthroughEvents: ReadonlyMap<string, EventSchema> = new Map(types.map((type) => [type, { version: 1, upcasters: [] }]));

/** A recorded event does not lead to the state that was recorded with it: the stream is damaged, or this build folds differently. */
export class BrokenFold extends Error {
  override readonly name = 'BrokenFold';
}

/**
 * Folds a recorded event, and checks that the result is what the event says.
 * @throws UnknownEvent for a type or version of a newer Fabula; BrokenFold when the state hash differs or the event cannot be folded.
 */
export function applyRecorded(
  state: PlaythroughState | null,
  recorded: RecordedEvent,
  catalogue: ReadonlyMap<string, EventSchema> = playthroughEvents,
): PlaythroughState {
  const event = upcast(recorded, catalogue) as unknown as PlaythroughEvent;
  const { next, hash } = folded(state, event);
  if (hash !== event.stateHash) {
    const turn = 'turn' in event ? event.turn : 0;
    throw new BrokenFold(`${event.type} at turn ${shown(turn)} leads to state ${hash}, recorded is ${shown(event.stateHash)}`);
  }
  return next;
}

/** A stored field may be anything, an object that cannot become text too. */
const shown = (field: unknown): string => (typeof field === 'string' || typeof field === 'number' ? String(field) : `a ${typeof field}`);

function folded(state: PlaythroughState | null, event: PlaythroughEvent): { readonly next: PlaythroughState; readonly hash: string } {
  let next: PlaythroughState | null;
  try {
    next = evolve(state, event);
    if (next !== null) return { next, hash: stateHash(next) };
  } catch (error) {
    throw new BrokenFold(`${event.type} cannot be folded: ${error instanceof Error ? error.message : String(error)}`);
  }
  throw new BrokenFold(`${event.type} cannot begin a playthrough`);
}
