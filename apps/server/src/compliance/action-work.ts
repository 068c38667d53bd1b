import type { Json } from '#lib/canonical';
import type { Action, ActionKind, ActiveHold, Asked } from '#lib/compliance';
import type { FabulaError } from '#lib/platform';

/**
 * Asked between two steps: whether a hold that came since it was last judged stands against the action.
 * @throws Hindered: go no further, and undo nothing; it is taken up again when nothing stands in its way any more
 */
export type Proceed = () => Promise<void>;

/** An action that had begun stops where it can be stopped. No failure: it waits. */
export class Hindered extends Error {
  override readonly name = 'Hindered';
}

/**
 * Carries out approved actions of one kind. Whoever gives one registers it with `node.compliance.register` before `start`.
 *
 * Laws: `carryOut` is idempotent, since it is called again after a crash at any point, after it failed, and after its end could not be
 * recorded; it ends only when the effect is durable; it stops at the next safe point when the signal aborts, by throwing. What it answers
 * stands in the log (`ActionCarriedOut.result`, ≤ 16 KiB, no personal data). Before each step that destroys something and could be left out
 * still, it asks `proceed`: it may have been failing for days, and a hold have come.
 */
export interface ActionWork<K extends ActionKind = ActionKind> {
  readonly kind: K;
  /**
   * Why it cannot be proposed or approved at all, in words for people or with a code of its own; null: it can. Asked before it is decided, so
   * that nobody approves what nothing can carry out.
   */
  refuses?(asked: Extract<Asked, { kind: K }>): Promise<string | FabulaError | null>;
  carryOut(action: Extract<Action, { kind: K }>, signal: AbortSignal, proceed: Proceed): Promise<Json>;
  /**
   * Why it cannot be carried out now, in words for people; null: nothing stands in its way. Asked before it begins, and by `proceed`.
   * @param narrower holds on stories, playthroughs and subjects that the stream itself does not judge for this action
   */
  blockedBy?(action: Extract<Action, { kind: K }>, narrower: readonly ActiveHold[]): Promise<string | null>;
}
