import type { PastState } from './cold-source.js';
import type { PastNarrative, StreamKind } from './stream-kind.js';

/** The recorded events lead from the snapshot to another state than the one recorded: folding or the read model is broken. */
export class PastMismatch extends Error {
  override readonly name = 'PastMismatch';
}

/**
 * A playthrough as it was: the snapshot, and the events after it, checked against the state hash recorded at that turn.
 * @throws PastMismatch, or what the fold throws.
 */
export function pastNarrative(kind: StreamKind, past: PastState): PastNarrative {
  const state = kind.fold(kind.fromJson(past.snapshot), past.events);
  if (state === null || kind.hash(state) !== past.stateHash) {
    throw new PastMismatch('snapshot and events do not lead to the recorded state hash');
  }
  const narrative = kind.narrative(state);
  if (narrative === undefined) throw new PastMismatch('this kind of stream has no past states');
  return narrative;
}
