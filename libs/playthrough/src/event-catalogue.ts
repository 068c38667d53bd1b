import { checkedFold, upcast, type EventSchema, type RecordedEvent } from '#lib/decision';
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
  const turn = (): string => ('turn' in event && typeof event.turn === 'number' ? ` at turn ${event.turn}` : '');
  return checkedFold(
    event.stateHash,
    () => evolve(state, event),
    stateHash,
    (what) => new BrokenFold(`${event.type}${turn()} ${what}`),
  );
}
