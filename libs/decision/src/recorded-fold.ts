/**
 * Folds a recorded event, and holds the result to the state hash that was recorded with it: every stream type's check that this build
 * folds as the one that decided did.
 * @param recordedHash as stored: it may be anything
 * @param broken makes the error of what is said
 */
export function checkedFold<S>(
  recordedHash: unknown,
  fold: () => S | null,
  hashOf: (state: S) => string,
  broken: (what: string) => Error,
): S {
  let next: S | null;
  let hash: string | undefined;
  try {
    next = fold();
    hash = next === null ? undefined : hashOf(next);
  } catch (error) {
    throw broken(`cannot be folded: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (next === null) throw broken('cannot begin a stream of its type');
  if (hash !== recordedHash) {
    // An object of a damaged record may not even become text.
    const recorded = typeof recordedHash === 'string' || typeof recordedHash === 'number' ? recordedHash : `a ${typeof recordedHash}`;
    throw broken(`leads to state ${String(hash)}, recorded is ${recorded}`);
  }
  return next;
}
