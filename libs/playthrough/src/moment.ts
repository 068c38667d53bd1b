import type { CompiledPassage, CompiledStory, Scope, Value } from '#lib/story';
import { holds } from './guards.js';
import { passageOf, scopeOf } from './moves.js';
import { offersOf } from './offers.js';
import type { PlaythroughState } from './playthrough-state.js';

/** What stands before the reader: text and visible offers, and nothing that the story hides. */
export interface Moment {
  readonly passage: { readonly id: string; readonly title: string; readonly text: string; readonly tags: readonly string[] };
  readonly offers: readonly MomentOffer[];
  /** When the timed choice is taken (ms since the epoch). */
  readonly deadline: number | null;
  readonly ending: string | null;
}
export interface MomentOffer {
  readonly id: string;
  readonly label: string;
  readonly enabled: boolean;
  /** Why it is locked, in the author's words. */
  readonly reason?: string;
  readonly kind: 'normal' | 'fallback' | 'storylet';
}

/**
 * The moment of a state, on the version it is pinned to.
 * @throws StoryFault when the story is not that version and lacks the passage.
 */
export function momentOf(story: CompiledStory, state: PlaythroughState): Moment {
  const passage = passageOf(story, state.narrative.passageId);
  const scope = scopeOf(state);
  const { title, tags } = passage.passage;
  const offers: MomentOffer[] = [];
  for (const offer of state.status === 'ended' ? [] : offersOf(passage, scope)) {
    if (!offer.visible) continue;
    const { choiceId: id, label, enabled, kind } = offer;
    offers.push({ id, label, enabled, kind, ...(!enabled && offer.reason !== undefined && { reason: offer.reason }) });
  }
  return {
    passage: { id: passage.id, title, text: textOf(passage, scope), tags },
    offers,
    deadline: state.deadline,
    ending: state.narrative.ending,
  };
}

function textOf(passage: CompiledPassage, scope: Scope): string {
  let text = '';
  for (const part of passage.text) {
    if (part.when === undefined || holds(part.when, scope) === true) text += part.text;
  }
  return interpolated(text, scope.variables);
}

/** As the story's check reads it. Its parts share no character, so it takes time linear in the text; values are not looked into again. */
const INSERT = /\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}/g;

/** Shows variables in place of `{{name}}`; what names no variable stays as it is. */
export function interpolated(text: string, variables: { readonly [name: string]: Value }): string {
  if (!text.includes('{{')) return text;
  return text.replace(INSERT, (whole, name: string) => (Object.hasOwn(variables, name) ? shown(variables[name] as Value) : whole));
}

function shown(value: Value): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return typeof value === 'object' ? value.join(', ') : String(value);
}
