import type { SourcePosition } from './source-text.js';

/*
 * The inside of Fabula's tags, `{% … %}`: clauses separated by `;`, words and texts in quotes. Docs: docs/reference/twee.md.
 */

/** Part of a tag with the place where it stands, so that a guard's own problems can be shown in the file. */
export interface ClauseText {
  readonly text: string;
  /** Offset in the passage's body. */
  readonly at: number;
}

/** A condition in the guard language and where it stands. */
export interface Guard extends SourcePosition {
  readonly text: string;
  /** Put together from several: places inside its text say nothing about the file. */
  readonly composed?: boolean;
}

/** End of the tag that opens at `from` (behind `%}`), or -1. Quotes protect `%}`. */
export function tagEnd(text: string, from: number): number {
  for (let i = from + 2; i < text.length; i++) {
    const char = text[i];
    if (char === '%' && text[i + 1] === '}') return i + 2;
    if (char === '"' || char === "'") {
      i = quoteEnd(text, i);
      if (i === -1) return -1;
    }
  }
  return -1;
}

/** Index of the quote that closes the one at `from`, or -1. */
function quoteEnd(text: string, from: number): number {
  const quote = text[from];
  for (let i = from + 1; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === quote) return i;
  }
  return -1;
}

/** Splits at `;` outside quotes; each clause without outer blanks, empty ones left out. */
export function clausesOf(inside: ClauseText): readonly ClauseText[] {
  const found: ClauseText[] = [];
  let start = 0;
  for (let i = 0; i <= inside.text.length; i++) {
    const char = inside.text[i];
    if (char === '"' || char === "'") {
      const end = quoteEnd(inside.text, i);
      i = end === -1 ? inside.text.length - 1 : end;
    } else if (char === ';' || char === undefined) {
      const clause = trimmed({ text: inside.text.slice(start, i), at: inside.at + start });
      if (clause.text !== '') found.push(clause);
      start = i + 1;
    }
  }
  return found;
}

export function trimmed({ text, at }: ClauseText): ClauseText {
  const body = text.trimStart();
  return { text: body.trimEnd(), at: at + text.length - body.length };
}

/** First word and what follows it. */
export function firstWord(clause: ClauseText): { readonly word: string; readonly rest: ClauseText } {
  const word = /^[A-Za-z]+/.exec(clause.text)?.[0] ?? '';
  return { word, rest: trimmed({ text: clause.text.slice(word.length), at: clause.at + word.length }) };
}

/** Splits at the first `word` that stands alone outside quotes: `gold >= 3 else "no"`. Reserved words of guards only. */
export function splitAtWord(clause: ClauseText, word: 'if' | 'else' | 'as' | 'limit'): readonly [ClauseText, ClauseText | undefined] {
  const { text, at } = clause;
  for (let i = 0; i < text.length; i++) {
    const char = text[i] as string;
    if (char === '"' || char === "'") {
      const end = quoteEnd(text, i);
      if (end === -1) break;
      i = end;
    } else if (/[A-Za-z_0-9]/.test(char)) {
      const start = i;
      while (i + 1 < text.length && /[A-Za-z_0-9]/.test(text[i + 1] as string)) i++;
      if (text.slice(start, i + 1) === word)
        return [trimmed({ text: text.slice(0, start), at }), trimmed({ text: text.slice(i + 1), at: at + i + 1 })];
    }
  }
  return [clause, undefined];
}

/** A text in double quotes (as in JSON), in single quotes, or one bare word; and what follows. */
export function readText(clause: ClauseText): { readonly value: string; readonly rest: ClauseText } | undefined {
  const { text, at } = clause;
  const quote = text[0];
  if (quote !== '"' && quote !== "'") {
    const word = /^[^\s"';]+/.exec(text)?.[0];
    return word === undefined ? undefined : { value: word, rest: trimmed({ text: text.slice(word.length), at: at + word.length }) };
  }
  const end = quoteEnd(text, 0);
  if (end === -1) return undefined;
  const rest = trimmed({ text: text.slice(end + 1), at: at + end + 1 });
  const inner = text.slice(1, end);
  if (quote === "'") return { value: inner.replace(/\\(['\\])/g, '$1'), rest };
  try {
    // Line breaks in a long text are the author's layout, not JSON's.
    const value: unknown = JSON.parse(`"${inner.replace(/\s*\n\s*/g, ' ')}"`);
    return typeof value === 'string' ? { value, rest } : undefined;
  } catch {
    return undefined; // A bad escape: the caller reports the clause as unreadable.
  }
}

/** Writes a text so that `readText` gives it back; single words stay bare unless they mean something in clauses. */
export const writeText = (text: string): string =>
  /^(?!(?:if|else|as|limit)$)[A-Za-z0-9_][A-Za-z0-9_-]*$/.test(text) ? text : JSON.stringify(text);
