import type { Json } from '#lib/canonical';
import type { Action, ActionKind, ActiveHold, Asked } from '#lib/compliance';

/**
 * Carries out approved actions of one kind. Whoever gives one registers it with `node.compliance.register` before `start`.
 *
 * Laws: `carryOut` is idempotent, since it is called again after a crash at any point, after it failed, and after its end could not be
 * recorded; it ends only when the effect is durable; it stops at the next safe point when the signal aborts, by throwing. What it answers
 * stands in the log (`ActionCarriedOut.result`, ≤ 16 KiB, no personal data).
 */
export interface ActionWork<K extends ActionKind = ActionKind> {
  readonly kind: K;
  /** Why it cannot be proposed at all, in words for people; null: it can. Asked before it is decided, so that nobody approves what nothing can carry out. */
  refuses?(asked: Extract<Asked, { kind: K }>): Promise<string | null>;
  carryOut(action: Extract<Action, { kind: K }>, signal: AbortSignal): Promise<Json>;
  /**
   * Why it cannot be carried out now, in words for people; null: nothing stands in its way. Asked before it begins, never after.
   * @param narrower holds on stories, playthroughs and subjects that the stream itself does not judge for this action
   */
  blockedBy?(action: Extract<Action, { kind: K }>, narrower: readonly ActiveHold[]): Promise<string | null>;
}
