import { destroys, type ActionKind } from './action.js';
import type { ActiveHold, ComplianceState, OpenAction } from './compliance-stream.js';

/** Holds whose time is not over. */
export const activeHolds = (state: ComplianceState | null, now: number): readonly ActiveHold[] =>
  (state?.holds ?? []).filter(({ until }) => until === null || until > now);

/**
 * The hold that stops such an action whatever else there is: on everything, or on the subject to be erased. Whether a hold on a story or a
 * playthrough touches it, this stream cannot know: whoever carries it out looks, and says up to which hold (`begin`).
 */
export function holdAgainst(
  state: ComplianceState | null,
  action: { readonly kind: ActionKind; readonly target: string },
  now: number,
): ActiveHold | undefined {
  if (!destroys(action.kind)) return undefined;
  return activeHolds(state, now).find(
    ({ scope }) => scope.kind === 'everything' || (action.kind === 'erase' && scope.kind === 'subject' && scope.id === action.target),
  );
}

/**
 * A proposal that waits for its second person and whose first one is to be forgotten. Whoever is forgotten comes back under another pseudonym:
 * they could then approve what they proposed themselves.
 */
export const ownProposal = (
  state: ComplianceState | null,
  { id, kind, target }: { readonly id: string; readonly kind: ActionKind; readonly target: string },
): OpenAction | undefined =>
  kind === 'erase' ? state?.actions.find((open) => open.stage === 'proposed' && open.by === target && open.id !== id) : undefined;
