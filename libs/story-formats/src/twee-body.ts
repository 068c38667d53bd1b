import { limits, MAX_EXPRESSION_NODES } from '#lib/story';
import type { SourcePosition } from './source-text.js';
import type { Guard } from './twee-clauses.js';

/*
 * What every dialect's reader makes of a passage's body: a flat row of pieces. Here the row becomes texts, choices and effects with their
 * conditions. Guards are text in the guard language from here on.
 */

export interface AuthorEffect {
  readonly set?: string;
  readonly add?: string;
  readonly insert?: string;
  readonly remove?: string;
  readonly draw?: string;
  readonly to?: string | number | boolean;
  readonly by?: string | number;
  readonly member?: string;
  readonly min?: number;
  readonly max?: number;
  readonly id?: string;
  readonly when?: string;
}
/** An effect with the places of the guards and values in it. */
export interface EffectDraft extends SourcePosition {
  readonly effect: AuthorEffect;
  readonly places?: { readonly [field in 'to' | 'by' | 'when']?: SourcePosition };
}

export type AuthorTarget = { readonly passage: string } | { readonly return: true } | { readonly end: string };

export interface ChoiceDraft extends SourcePosition {
  readonly id?: string;
  readonly label: string;
  readonly target: AuthorTarget;
  readonly visibleWhen?: Guard;
  readonly enabledWhen?: Guard;
  readonly reason?: string;
  readonly repeat?: 'once' | 'sticky';
  readonly kind?: 'normal' | 'fallback' | 'timed';
  readonly timeoutMs?: number;
  readonly effects: readonly EffectDraft[];
}

export type Piece =
  | { readonly kind: 'text'; readonly text: string }
  /** A part of its own, taken to the letter. */
  | { readonly kind: 'exact'; readonly text: string; readonly at: SourcePosition }
  | { readonly kind: 'choice'; readonly choice: ChoiceDraft; readonly inline: string }
  | { readonly kind: 'effect'; readonly effect: EffectDraft }
  /** `undefined`: a condition that was not translated; what it guards is always there. */
  | { readonly kind: 'if' | 'else-if'; readonly guard: Guard | undefined }
  | { readonly kind: 'else' | 'end-if' }
  /** Something that leaves no text: it still empties its line. */
  | { readonly kind: 'nothing' };

export interface TextPartDraft {
  readonly text: string;
  readonly when?: Guard;
}

export interface PassageBody {
  readonly text: readonly TextPartDraft[];
  readonly choices: readonly ChoiceDraft[];
  readonly effects: readonly EffectDraft[];
}

/** What goes beyond a passage's limits by more than one is not collected: one is enough to have the passage refused. */
export function assembleBody(pieces: readonly Piece[], options: { readonly collapseBlankLines: boolean }): PassageBody {
  const parts: { text: string; when?: Guard; exact: boolean }[] = [];
  const choices: ChoiceDraft[] = [];
  const effects: EffectDraft[] = [];
  const conditions = new Conditions();
  let fresh = true;
  const append = (text: string, exact: boolean): void => {
    if (parts.length > limits.textPartsPerPassage) return;
    const when = conditions.current();
    const last = parts[parts.length - 1];
    if (!exact && !fresh && last !== undefined && !last.exact && last.when?.text === when?.text) last.text += text;
    else parts.push({ text, ...(when && { when }), exact });
    fresh = false;
  };
  for (const piece of layOut(pieces)) {
    switch (piece.kind) {
      case 'text':
        append(piece.text, false);
        break;
      case 'exact':
        append(piece.text, true);
        break;
      case 'choice': {
        if (choices.length > limits.choicesPerPassage) break;
        const visibleWhen = both(conditions.current(), piece.choice.visibleWhen);
        choices.push({ ...piece.choice, ...(visibleWhen && { visibleWhen }) });
        break;
      }
      case 'effect': {
        if (effects.length > limits.effects) break;
        const when = conditions.current();
        const own = piece.effect.effect.when;
        const place = piece.effect.places?.when ?? piece.effect;
        const whole = both(when, own === undefined ? undefined : { text: own, line: place.line, column: place.column });
        effects.push(
          whole === undefined
            ? piece.effect
            : { ...piece.effect, effect: { ...piece.effect.effect, when: whole.text }, places: { ...piece.effect.places, when: whole } },
        );
        break;
      }
      case 'nothing':
        break;
      default:
        conditions.take(piece);
        fresh = true;
    }
  }
  return { text: tidy(parts, options.collapseBlankLines), choices, effects };
}

const MAX_CONDITIONS = 20;
/** So many negated guards are more than any guard may hold: it will be refused, and need not grow further. */
const MAX_BRANCHES = MAX_EXPRESSION_NODES;

/** The stack of open conditions. Each entry: the branches before this one, negated, and this branch's own guard. */
class Conditions {
  private readonly open: { before: Guard[]; own: Guard | undefined }[] = [];
  private skipped = 0;

  take(piece: { readonly kind: 'if' | 'else-if'; readonly guard: Guard | undefined } | { readonly kind: 'else' | 'end-if' }): void {
    if (piece.kind === 'if') {
      // Deeper than any guard may be: what stands inside keeps the outer conditions only.
      if (this.open.length >= MAX_CONDITIONS) this.skipped++;
      else this.open.push({ before: [], own: piece.guard });
      return;
    }
    if (this.skipped > 0) {
      if (piece.kind === 'end-if') this.skipped--;
      return;
    }
    const top = this.open[this.open.length - 1];
    if (top === undefined) return;
    if (piece.kind === 'end-if') {
      this.open.pop();
      return;
    }
    if (top.own !== undefined && top.before.length < MAX_BRANCHES) top.before.push(negated(top.own));
    top.own = piece.kind === 'else-if' ? piece.guard : undefined;
  }

  current(): Guard | undefined {
    return all(this.open.flatMap(({ before, own }) => (own === undefined ? before : [...before, own])));
  }
}

const bracketed = (text: string): string => (/^[A-Za-z_]\w*$|^!?\([^()]*\)$/.test(text) ? text : `(${text})`);

const negated = (guard: Guard): Guard => ({ ...guard, text: `!${bracketed(guard.text)}`, composed: true });

/** Joined as a balanced tree, because a guard's depth is limited. */
function all(guards: readonly Guard[]): Guard | undefined {
  const last = guards[guards.length - 1];
  if (last === undefined || guards.length === 1) return last;
  const join = (from: number, to: number): string => {
    if (to - from === 1) return bracketed((guards[from] as Guard).text);
    const middle = (from + to + 1) >> 1;
    return `(${join(from, middle)} && ${join(middle, to)})`;
  };
  return { ...last, text: join(0, guards.length), composed: true };
}

export const both = (...guards: readonly (Guard | undefined)[]): Guard | undefined => all(guards.filter((guard) => guard !== undefined));

/**
 * A line that holds nothing but macros and choices leaves no trace in the text; a choice within a sentence leaves its label there.
 */
function layOut(pieces: readonly Piece[]): readonly Piece[] {
  const out: Piece[] = [];
  let line: Piece[] = [];
  let visible = false;
  let silent = false;
  const flush = (newline: string): void => {
    if (visible)
      for (const piece of line) {
        out.push(piece);
        if (piece.kind === 'choice') out.push({ kind: 'text', text: piece.inline });
      }
    else if (silent) out.push(...line.filter((piece) => piece.kind !== 'text'));
    else out.push(...line);
    if (newline !== '' && (visible || !silent)) out.push({ kind: 'text', text: newline });
    line = [];
    visible = silent = false;
  };
  for (const piece of pieces) {
    if (piece.kind !== 'text') {
      line.push(piece);
      silent = true;
      continue;
    }
    let from = 0;
    for (let at = piece.text.indexOf('\n'); ; at = piece.text.indexOf('\n', from)) {
      const text = piece.text.slice(from, at === -1 ? undefined : at);
      if (text !== '') line.push({ kind: 'text', text });
      if (/\S/.test(text)) visible = true;
      if (at === -1) break;
      flush('\n');
      from = at + 1;
    }
  }
  flush('');
  return out;
}

function tidy(
  parts: readonly { text: string; readonly when?: Guard; readonly exact: boolean }[],
  collapse: boolean,
): readonly TextPartDraft[] {
  const kept = parts.map(({ text, when, exact }) => ({
    text: collapse && !exact ? text.replace(/\n(?:[ \t]*\n){2,}/g, '\n\n') : text,
    when,
    exact,
  }));
  const first = kept.find((part) => part.exact || part.text.trim() !== '');
  if (first !== undefined && !first.exact) first.text = first.text.replace(/^(?:[ \t]*\n)+/, '');
  const last = kept.findLast((part) => part.exact || part.text.trim() !== '');
  if (last !== undefined && !last.exact) last.text = last.text.trimEnd();
  const from = first === undefined ? kept.length : kept.indexOf(first);
  const to = last === undefined ? -1 : kept.indexOf(last);
  return kept.flatMap(({ text, when, exact }, i) =>
    exact || (text !== '' && i >= from && i <= to) ? [{ text, ...(when && { when }) }] : [],
  );
}
