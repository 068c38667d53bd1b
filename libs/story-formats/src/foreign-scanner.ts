import {
  parseAssignments,
  parseForeign,
  Untranslatable,
  type Assignment,
  type Foreign,
  type ForeignDialect,
} from './foreign-expression.js';
import { forwardFinder } from './source-text.js';
import { linkEnd, parseLink } from './twee-links.js';
import type { PassageSource } from './twee-reader.js';

/*
 * What all foreign formats share: links, HTML, comments, shown variables. A reader per format adds its macros.
 */

/** A piece whose conditions and assignments wait until the types of all variables are known. */
export type RawPiece = { readonly at: number } & (
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'show'; readonly variable: string; readonly source: string }
  | { readonly kind: 'choice'; readonly label: string; readonly target: string; readonly assignments: readonly RawAssignment[] }
  | { readonly kind: 'set'; readonly assignment: RawAssignment }
  | { readonly kind: 'if' | 'else-if'; readonly condition: RawCondition | undefined }
  | { readonly kind: 'else' | 'end-if' | 'nothing' }
);
export interface RawAssignment {
  readonly at: number;
  readonly assignment: Assignment;
  readonly source: string;
}
export interface RawCondition {
  readonly condition: Foreign;
  readonly source: string;
}

/** Characters that failed searches for a closing bracket may cost in one passage; afterwards macros count as unreadable. */
const SEARCH_BUDGET = 500_000;
const MAX_MACRO = 20_000;
export const MAX_NESTED_READERS = 8;

export abstract class ForeignScanner {
  readonly pieces: RawPiece[] = [];
  protected readonly text: string;
  protected at: number;
  private textStart: number;
  private budget = SEARCH_BUDGET;
  private readonly findLinkClose: (at: number) => number;
  private readonly findNewline: (at: number) => number;
  private readonly finders = new Map<string, (at: number) => number>();

  constructor(
    protected readonly source: PassageSource,
    from = 0,
    protected readonly end = source.text.length,
    protected readonly level = 0,
  ) {
    this.text = end === source.text.length ? source.text : source.text.slice(0, end);
    this.at = this.textStart = from;
    this.findLinkClose = forwardFinder(this.text, ']]');
    this.findNewline = forwardFinder(this.text, '\n');
  }

  /** Where `needle` stands at or behind `from`; letters in any case. */
  protected find(needle: string, from: number): number {
    let finder = this.finders.get(needle);
    if (finder === undefined) {
      finder = forwardFinder(this.text, new RegExp(needle.replace(/[*%/<>]/g, '\\$&')));
      this.finders.set(needle, finder);
    }
    return finder(from);
  }

  scan(): readonly RawPiece[] {
    while (this.at < this.end) {
      const before = this.at;
      if (!this.special(this.text[this.at] as string)) this.at = before + 1;
    }
    this.flush(this.end);
    this.finish();
    return this.pieces;
  }

  /** Reads what stands at `at` if it is more than text, and moves behind it. */
  protected special(char: string): boolean {
    if (char === '[' && this.text[this.at + 1] === '[') return this.link();
    if (char === '<') return this.html();
    return false;
  }

  protected finish(): void {}

  protected flush(until: number): void {
    if (until > this.textStart) this.addText(this.text.slice(this.textStart, until));
  }

  protected addText(text: string): void {
    // Two braces around a name would show a variable of that name.
    if (text !== '') this.pieces.push({ kind: 'text', at: this.textStart, text: text.replace(/\{\{(?=\s{0,9}[A-Za-z_])/g, '{ {') });
  }

  /** Ends the text before, adds the piece, goes on at `next`. */
  protected put(piece: RawPiece, next: number): true {
    this.flush(this.at);
    this.pieces.push(piece);
    this.at = this.textStart = next;
    return true;
  }

  /** Goes on at `next` with a text that begins there. */
  protected skipTo(next: number): void {
    this.at = this.textStart = next;
  }

  protected drop(next: number): true {
    return this.put({ kind: 'nothing', at: this.at }, next);
  }

  protected skip(kind: Parameters<PassageSource['skip']>[1], text: string, reason: string, hint: string, at = this.at): void {
    this.source.skip(at, kind, text, reason, hint);
  }

  /** End of a bracketed stretch by `isEnd`, quotes respected; -1 if there is none within reach. */
  protected closing(from: number, isEnd: (char: string, at: number) => number): number {
    const limit = Math.min(this.end, from + Math.min(MAX_MACRO, this.budget));
    for (let i = from; i < limit; i++) {
      const char = this.text[i] as string;
      const found = isEnd(char, i);
      if (found !== -1) return found;
      if (char === '"' || char === "'" || char === '`') {
        let quote = i + 1;
        while (quote < limit && this.text[quote] !== char && this.text[quote] !== '\n') quote += this.text[quote] === '\\' ? 2 : 1;
        // An apostrophe, not a quotation.
        if (this.text[quote] === char) i = quote;
      }
    }
    this.budget = Math.max(0, this.budget - (limit - from));
    return -1;
  }

  private link(): boolean {
    const close = linkEnd(this.text, this.at, this.findLinkClose, this.findNewline);
    if (close === -1) return false;
    const link = parseLink(this.text.slice(this.at + 2, close - 2));
    const assignments = link.setter === undefined ? [] : this.assignments(link.setter);
    return this.choice(unquoted(link.label), link.target, assignments, close);
  }

  protected choice(label: string, target: string, assignments: readonly RawAssignment[], next: number): true {
    if (/^[$_`]/.test(target) || target === '') {
      this.skip(
        'link',
        this.text.slice(this.at, next),
        'where it leads is decided at run time',
        'Write one choice for each target, with a condition.',
      );
      return this.drop(next);
    }
    return this.put({ kind: 'choice', at: this.at, label: label === '' ? target : label, target, assignments }, next);
  }

  protected assignments(text: string, _at = this.at): readonly RawAssignment[] {
    this.skip('assignment', text, 'this format is read for its links only', 'Write it as a tag behind the link.');
    return [];
  }

  private html(): boolean {
    if (this.text.startsWith('<!--', this.at)) {
      const close = this.find('-->', this.at);
      if (close === -1) return false;
      this.skip('comment', this.text.slice(this.at, close + 3), 'comments are not kept', 'Keep them in the source.');
      return this.drop(close + 3);
    }
    const tag = /<(\/?)([A-Za-z][A-Za-z0-9-]*)(?:\s[^<>]*)?>/y;
    tag.lastIndex = this.at;
    const found = tag.exec(this.text);
    if (found === null) return false;
    const name = (found[2] as string).toLowerCase();
    let next = tag.lastIndex;
    if (found[1] === '' && (name === 'script' || name === 'style')) {
      const close = this.find(`</${name}>`, next);
      next = close === -1 ? this.end : close + name.length + 3;
      this.skip(
        name,
        this.text.slice(this.at, next),
        name === 'script' ? 'code is never run' : 'styles belong to the player',
        'Leave it away.',
      );
      return this.drop(next);
    }
    if (name === 'br') {
      this.flush(this.at);
      this.pieces.push({ kind: 'text', at: this.at, text: '\n' });
      this.skipTo(next);
      return true;
    }
    if (found[1] === '') this.skip('html', found[0], 'HTML is not kept; the text inside is', 'Use plain text.');
    return this.drop(next);
  }
}

/** SugarCube and Harlowe: conditions and assignments can be read. */
export abstract class MacroScanner extends ForeignScanner {
  protected abstract readonly dialect: ForeignDialect;
  /** Open macros whose content runs later, repeatedly or never: assignments in them are not effects of the passage. */
  protected unsafe: string[] = [];

  protected condition(text: string): RawCondition | undefined {
    try {
      return { condition: parseForeign(text, this.dialect, this.source.passage.name), source: text };
    } catch (error) {
      if (!(error instanceof Untranslatable)) throw error;
      this.skip('condition', text, error.message, `${error.hint} Until then, what it guards is always there.`);
      return undefined;
    }
  }

  protected override assignments(text: string, at = this.at, put = false): readonly RawAssignment[] {
    const inside = this.unsafe[this.unsafe.length - 1];
    if (inside !== undefined) {
      this.skip('assignment', text, `it stands inside ${inside}`, 'Make it an effect of a passage or choice.', at);
      return [];
    }
    try {
      return parseAssignments(text, this.dialect, this.source.passage.name, put).map((assignment) => ({ at, assignment, source: text }));
    } catch (error) {
      if (!(error instanceof Untranslatable)) throw error;
      this.skip('assignment', text, error.message, error.hint, at);
      return [];
    }
  }

  /** `$x` or `_x` in running text. */
  protected shown(): boolean {
    const name = /[$_][A-Za-z_]\w*/y;
    name.lastIndex = this.at;
    const found = name.exec(this.text)?.[0];
    if (found === undefined || (found.startsWith('_') && (found.endsWith('_') || /\w/.test(this.text[this.at - 1] ?? '')))) return false;
    const next = this.at + found.length;
    if (/^(?:\.[A-Za-z_]|\[|'s [a-z]+)/.test(this.text.slice(next, next + 12))) {
      this.skip(
        'macro',
        `${found}${/^[^\s]*/.exec(this.text.slice(next, next + 60))?.[0] ?? ''}`,
        'it shows a property or an element of an object or array',
        'Show a variable: {{name}}.',
      );
      this.at = next;
      return true;
    }
    return this.put({ kind: 'show', at: this.at, variable: found, source: found }, next);
  }

  protected putAll(assignments: readonly RawAssignment[], next: number): true {
    this.drop(next);
    for (const assignment of assignments) this.pieces.push({ kind: 'set', at: assignment.at, assignment });
    return true;
  }
}

/** A label or name in quotes, as SugarCube allows in links. */
export function unquoted(text: string): string {
  const quote = text[0];
  if (text.length < 2 || (quote !== '"' && quote !== "'" && quote !== '`') || !text.endsWith(quote)) return text;
  const inner = text.slice(1, -1);
  return inner.replace(/\\[\s\S]/g, '').includes(quote) ? text : inner.replace(/\\([\s\S])/g, '$1');
}
