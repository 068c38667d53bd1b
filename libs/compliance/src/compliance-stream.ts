import type { Json } from '#lib/canonical';
import type { Action, ActionKind, Role } from './action.js';

/*
 * The stream `compliance/main`: what is held, what two people decided, who broke the glass. One stream, so that a hold and an erasure cannot
 * pass each other. The types below are the storage format: a change needs a new version of the event and an upcaster. Type aliases, not
 * interfaces: only these count as JSON for the compiler.
 */

export const COMPLIANCE_STREAM = 'compliance/main';

/** What a hold protects; the id of `everything` is `*`, of a subject the pseudonym. */
export type HoldScope = { readonly kind: 'subject' | 'story' | 'playthrough' | 'everything'; readonly id: string };

/** An action that is neither carried out nor given up. What else it says is in its `ActionProposed`. */
export type OpenAction = {
  readonly by: string;
  /** A proposal ends then; an approved action does not. */
  readonly expiresAt: number;
  readonly id: string;
  readonly kind: ActionKind;
  readonly role: Role;
  /** `begun`: from here on it cannot be taken back. */
  readonly stage: 'proposed' | 'approved' | 'begun';
  readonly target: string;
};
export type ActiveHold = { readonly id: string; readonly scope: HoldScope; readonly until: number | null };
export type OpenGlass = { readonly by: string; readonly correlationId: string; readonly id: string; readonly until: number };

export type ComplianceState = {
  readonly actions: readonly OpenAction[];
  /**
   * Hash of everything that was ever said of bases of the log, each with the hash before: however many partitions there are, what became of
   * each is in its `LogBaseTaken`. Not there before the first.
   */
  readonly bases?: string;
  readonly glasses: readonly OpenGlass[];
  readonly holds: readonly ActiveHold[];
  readonly lastAt: number;
  /** Holds ever placed: whoever judged holds elsewhere says up to which one. */
  readonly placed: number;
};

/* Together below 64 KiB; each has its own share, so that however many holds there are, the action that releases one finds room. */
export const MAX_ACTIONS = 100;
export const MAX_ACTIONS_BYTES = 18 * 1024;
export const MAX_HOLDS = 500;
export const MAX_HOLDS_BYTES = 40 * 1024;
export const MAX_GLASSES = 10;
/** A glass broken is open for at most an hour. */
export const MAX_GLASS_MS = 60 * 60_000;
/** A proposal waits for its second person for at most two weeks. */
export const MAX_PROPOSAL_MS = 14 * 24 * 60 * 60_000;
/** Of what an executor tells of its work, as JSON. */
export const MAX_RESULT_BYTES = 16 * 1024;

/** Who acts, and as what, is in the context. */
export type ComplianceCommand =
  | { readonly type: 'propose'; readonly action: Action; readonly reason: string; readonly expiresAt: number }
  | { readonly type: 'approve'; readonly id: string }
  | { readonly type: 'refuse'; readonly id: string; readonly reason: string }
  | { readonly type: 'withdraw'; readonly id: string }
  | { readonly type: 'placeHold'; readonly id: string; readonly matter: string; readonly scope: HoldScope; readonly until: number | null }
  | {
      readonly type: 'breakGlass';
      readonly id: string;
      readonly reason: string;
      readonly until: number;
      /** Of the request: all that is done meanwhile should carry it. */
      readonly correlationId: string;
    }
  | { readonly type: 'closeGlass'; readonly id: string }
  /** System: an approved action is now carried out. `judged`: `placed` of the state whose narrower holds were found not to touch it. */
  | { readonly type: 'begin'; readonly id: string; readonly judged: number }
  /** System: all that was folded from the records that a pruning takes, which its partition begins with from now on. */
  | { readonly type: 'logBase'; readonly id: string; readonly partition: number; readonly offset: number; readonly digest: string }
  /** System: it is done. */
  | { readonly type: 'carriedOut'; readonly id: string; readonly result: Json }
  /** System: the time of a proposal, a hold or a broken glass is over. */
  | { readonly type: 'expire'; readonly id: string };

export interface ComplianceContext {
  /** max(clock, the stream's last `at`). */
  readonly now: number;
  /** Pseudonym, and the role it acts in. */
  readonly actor: { readonly id: string; readonly role: Role };
}

export type ComplianceRejectionCode =
  | 'BAD_INPUT'
  | 'FORBIDDEN'
  | 'CONFLICT'
  | 'ACTION_NOT_FOUND'
  | 'ACTION_EXPIRED'
  | 'NEEDS_ANOTHER_PERSON'
  | 'HELD'
  | 'HOLD_NOT_FOUND'
  | 'BREAK_GLASS_NOT_FOUND'
  | 'TOO_MANY_OPEN';

type Kept = {
  readonly v: 1;
  readonly id: string;
  readonly at: number;
  /** SHA-256 of the stream's state after the event. */
  readonly stateHash: string;
};
type By = { readonly by: string; readonly role: Role };

export type ActionProposed = Omit<Kept, 'id'> &
  By & { readonly type: 'ActionProposed'; readonly action: Action; readonly reason: string; readonly expiresAt: number };
export type ActionApproved = Kept & By & { readonly type: 'ActionApproved' };
export type ActionRefused = Kept & By & { readonly type: 'ActionRefused'; readonly reason: string };
export type ActionWithdrawn = Kept & By & { readonly type: 'ActionWithdrawn' };
export type ActionExpired = Kept & { readonly type: 'ActionExpired' };
export type ActionBegun = Kept & { readonly type: 'ActionBegun' };
export type ActionCarriedOut = Kept & { readonly type: 'ActionCarriedOut'; readonly result: Json };
/** `digest`: of every row that stays of the records below `offset`. */
export type LogBaseTaken = Kept & {
  readonly type: 'LogBaseTaken';
  readonly partition: number;
  readonly offset: number;
  readonly digest: string;
};
export type HoldPlaced = Kept &
  By & { readonly type: 'HoldPlaced'; readonly matter: string; readonly scope: HoldScope; readonly until: number | null };
/** `action`: that released it; null: its time was over. */
export type HoldReleased = Kept & { readonly type: 'HoldReleased'; readonly action: string | null };
export type BreakGlassOpened = Kept &
  By & { readonly type: 'BreakGlassOpened'; readonly reason: string; readonly until: number; readonly correlationId: string };
/** `by`: who closed it; null: its time was over. */
export type BreakGlassClosed = Kept & { readonly type: 'BreakGlassClosed'; readonly by: string | null };

export type ComplianceEvent =
  | ActionProposed
  | ActionApproved
  | ActionRefused
  | ActionWithdrawn
  | ActionExpired
  | ActionBegun
  | ActionCarriedOut
  | LogBaseTaken
  | HoldPlaced
  | HoldReleased
  | BreakGlassOpened
  | BreakGlassClosed;
