import { sha256Hex } from '#lib/canonical';
import { storyletChoiceId, type CompiledChoice, type CompiledExpression, type CompiledPassage, type Scope } from '#lib/story';
import { holds } from './guards.js';
import type { OfferedChoice } from './playthrough-events.js';

/** A choice as it stands before the reader now; hidden ones too, for the record. */
export interface PlaythroughOffer extends OfferedChoice {
  readonly kind: 'normal' | 'fallback' | 'storylet';
  readonly label: string;
  /** SHA-256 of the label. */
  readonly labelHash: string;
  /** The author's words on why it is locked. */
  readonly reason?: string;
  /** What is taken: a choice of this passage, or the passage that a hub offers. */
  readonly takes: { readonly choice: CompiledChoice } | { readonly storylet: CompiledPassage };
}

/**
 * All offers of a passage in the order shown: normal choices as the author wrote them, storylets (priority, then id, up to the hub's limit),
 * fallbacks. Hidden choices stand in it with `visible: false`; storylets that are not offered and timed choices do not.
 * `turn` in guards is the turn the reader sees.
 */
export function offersOf(passage: CompiledPassage, scope: Scope): readonly PlaythroughOffer[] {
  if (passage.passage.ending !== undefined) return [];
  const offers: PlaythroughOffer[] = [];
  let selectable = false;
  let fallbacks = false;
  for (const choice of passage.choices) {
    if (choice.kind === 'fallback') fallbacks = true;
    if (choice.kind !== 'normal') continue;
    const offer = offerOf(choice, 'normal', scope);
    selectable ||= offer.enabled;
    offers.push(offer);
  }
  let left = passage.storyletLimit;
  for (const storylet of passage.storylets) {
    if (left <= 0) break;
    if (storylet.offerWhen !== undefined && holds(storylet.offerWhen, scope) !== true) continue;
    left -= 1;
    selectable = true;
    const label = storylet.passage.title;
    offers.push({
      choiceId: storyletChoiceId(storylet.id),
      visible: true,
      enabled: true,
      kind: 'storylet',
      label,
      labelHash: sha256Hex(label),
      takes: { storylet },
    });
  }
  if (!fallbacks) return offers;
  for (const choice of passage.choices) {
    if (choice.kind !== 'fallback') continue;
    offers.push(selectable ? hidden(choice, 'fallback', 'another choice can be selected') : offerOf(choice, 'fallback', scope));
  }
  return offers;
}

function offerOf(choice: CompiledChoice, kind: 'normal' | 'fallback', scope: Scope): PlaythroughOffer {
  if (usedUp(choice, scope)) return hidden(choice, kind, 'once');
  const visible = holdsIfAny(choice.visibleWhen, scope);
  if (visible !== true) return hidden(choice, kind, visible);
  const { id: choiceId, label, labelHash, reason } = choice;
  const failed = holdsIfAny(choice.enabledWhen, scope);
  if (failed === true) return { choiceId, visible: true, enabled: true, kind, label, labelHash, takes: { choice } };
  const locked: PlaythroughOffer = { choiceId, visible: true, enabled: false, failed, kind, label, labelHash, takes: { choice } };
  return reason === undefined ? locked : { ...locked, reason };
}

function hidden(choice: CompiledChoice, kind: 'normal' | 'fallback', failed: string): PlaythroughOffer {
  const { id: choiceId, label, labelHash } = choice;
  return { choiceId, visible: false, enabled: false, failed, kind, label, labelHash, takes: { choice } };
}

function holdsIfAny(guard: CompiledExpression<boolean> | undefined, scope: Scope): true | string {
  return guard === undefined ? true : holds(guard, scope);
}

function usedUp(choice: CompiledChoice, scope: Scope): boolean {
  return choice.repeat === 'once' && Object.hasOwn(scope.chosen, choice.key) && (scope.chosen[choice.key] as number) > 0;
}

/** When the passage's timed choice will be taken, counted from `now`; null when it has none that may be taken. */
export function deadlineOf(passage: CompiledPassage, scope: Scope, now: number): number | null {
  const { timed } = passage;
  if (timed === undefined || passage.passage.ending !== undefined || timed.timeoutMs === undefined || usedUp(timed, scope)) return null;
  return holdsIfAny(timed.visibleWhen, scope) === true && holdsIfAny(timed.enabledWhen, scope) === true ? now + timed.timeoutMs : null;
}
