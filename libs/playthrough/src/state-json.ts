import { canonicalJson, sha256Hex } from '#lib/canonical';
import type { PlaythroughState } from './playthrough-state.js';

/**
 * Canonical JSON of a state; equals `canonicalJson(state)`. `evolve` keeps all keys sorted, and then the engine's own serialiser, several
 * times faster, writes the same text. States that came from elsewhere, and ids like "10" and "9", which JavaScript orders as numbers,
 * take the slow way.
 */
export function stateToJson(state: PlaythroughState): string {
  return isOrdered(state) ? JSON.stringify(state) : canonicalJson(state);
}

/**
 * A state from its canonical JSON.
 * @throws TypeError when the text is not a playthrough's state (the row is damaged or of another kind).
 */
export function stateFromJson(text: string): PlaythroughState {
  const state = JSON.parse(text) as Partial<PlaythroughState> | null;
  if (
    typeof state !== 'object' ||
    state === null ||
    typeof state.id !== 'string' ||
    typeof state.narrative !== 'object' ||
    state.narrative === null
  ) {
    throw new TypeError('the text is not the state of a playthrough');
  }
  return state as PlaythroughState;
}

/**
 * SHA-256 of the whole state's canonical JSON. Readers' free text is in it as ciphertext only, so erasing a key changes no hash.
 */
export function stateHash(state: PlaythroughState): string {
  return jsonHash(stateToJson(state));
}

/** The state hash, where the state's canonical JSON is at hand already. */
export const jsonHash = (json: string): string => sha256Hex(json);

function isOrdered(state: PlaythroughState): boolean {
  const { narrative, checkpoints, forkedFrom } = state;
  if (!sorted(state) || !sorted(narrative) || !sorted(narrative.variables) || !sorted(narrative.visits) || !sorted(narrative.chosen))
    return false;
  if (forkedFrom !== null && !sorted(forkedFrom)) return false;
  for (const checkpoint of checkpoints) if (!sorted(checkpoint) || !sorted(checkpoint.name)) return false;
  return true;
}

function sorted(value: object): boolean {
  let last = '';
  for (const key of Object.keys(value)) {
    if (key < last) return false;
    last = key;
  }
  return true;
}
