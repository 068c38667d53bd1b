import { forwardFinder, excerpt } from './source-text.js';
import type { AuthorEffect, AuthorTarget, ChoiceDraft, EffectDraft, Piece } from './twee-body.js';
import { clausesOf, firstWord, readText, splitAtWord, tagEnd, type ClauseText, type Guard } from './twee-clauses.js';
import { linkEnd, parseLink } from './twee-links.js';
import type { PassageSource } from './twee-reader.js';

/*
 * Fabula's own dialect of Twee: text, `[[links]]` and tags `{% clause; clause %}`. No Twine format writes `{%`, so a file can be edited
 * in Twine and an import never takes one for the other. The language is described in docs/reference/twee.md.
 */

/** What tags say about the passage as a whole. */
export interface PassageSettings {
  id?: string;
  title?: string;
  readonly tags: string[];
  offerWhen?: Guard;
  priority?: number;
  storylets?: { readonly tag: string; readonly limit?: number };
  ending?: string;
  /** Titles of endings, as given where they are used. */
  readonly endings: Map<string, string | undefined>;
}

export interface FabulaPassage {
  readonly pieces: readonly Piece[];
  readonly settings: PassageSettings;
}

/** First words of clauses that can stand behind a choice and then belong to it. */
const CHOICE_WORDS: ReadonlySet<string> = new Set(
  'id show need reason once sticky timed fallback to return end set add insert remove draw'.split(' '),
);

export function readFabulaPassage(source: PassageSource): FabulaPassage {
  return new FabulaReader(source).read();
}

class FabulaReader {
  private readonly pieces: Piece[] = [];
  private readonly settings: PassageSettings = { tags: [], endings: new Map() };
  private depth = 0;
  private quotesBroken = false;

  constructor(private readonly source: PassageSource) {}

  read(): FabulaPassage {
    const { text } = this.source;
    const findTag = forwardFinder(text, '{%');
    const findLink = forwardFinder(text, '[[');
    const findClose = forwardFinder(text, ']]');
    const findNewline = forwardFinder(text, '\n');
    const findTagClose = forwardFinder(text, '%}');
    let start = 0;
    let at = 0;
    const flush = (end: number): void => {
      if (end > start) this.pieces.push({ kind: 'text', text: unescapeText(text.slice(start, end)) });
    };
    for (;;) {
      const tag = findTag(at);
      const link = findLink(at);
      const next = tag === -1 ? link : link === -1 ? tag : Math.min(tag, link);
      if (next === -1) break;
      if (isEscaped(text, next)) {
        at = next + 2;
        continue;
      }
      const end = next === link ? linkEnd(text, next, findClose, findNewline) : this.closeTag(next, findTagClose);
      if (end === -1) {
        if (next === tag)
          this.source.problem(next, 'this tag is not closed', 'Close it with `%}`; write `\\{%` for the characters themselves.');
        at = next + 2;
        continue;
      }
      flush(next);
      start = at = next === link ? this.link(next, end, findTagClose) : this.tag(next, end);
    }
    flush(text.length);
    if (this.depth > 0) this.source.problem(Math.max(0, text.length - 1), 'an `{% if %}` is not closed', 'Close it with `{% endif %}`.');
    return { pieces: this.pieces, settings: this.settings };
  }

  /** One unclosed quote would make every later tag search to the end: after the first, quotes are not looked at any more. */
  private closeTag(from: number, findTagClose: (at: number) => number): number {
    if (!this.quotesBroken) {
      const end = tagEnd(this.source.text, from);
      if (end !== -1) return end;
      this.quotesBroken = true;
    }
    const close = findTagClose(from + 2);
    return close === -1 ? -1 : close + 2;
  }

  /** Reads a link and the tags right behind it on its line. Returns where text goes on. */
  private link(from: number, end: number, findTagClose: (at: number) => number): number {
    const { text } = this.source;
    const link = parseLink(text.slice(from + 2, end - 2));
    if (link.setter !== undefined)
      this.source.skip(
        from,
        'assignment',
        link.setter,
        'setters in links belong to other formats',
        'Write a tag behind the link: {% set gold = 3 %}.',
      );
    const clauses: ClauseText[] = [];
    let to = end;
    for (;;) {
      const gap = /[ \t]*/y;
      gap.lastIndex = to;
      gap.exec(text);
      const tag = gap.lastIndex;
      if (!text.startsWith('{%', tag)) break;
      const close = this.closeTag(tag, findTagClose);
      if (close === -1) break;
      const found = clausesOf({ text: text.slice(tag + 2, close - 2), at: tag + 2 });
      if (!found.every((clause) => CHOICE_WORDS.has(firstWord(clause).word)) || found.length === 0) break;
      clauses.push(...found);
      to = close;
    }
    this.choice(from, link.label, { passage: link.target }, clauses);
    return to;
  }

  private tag(from: number, end: number): number {
    const clauses = clausesOf({ text: this.source.text.slice(from + 2, end - 2), at: from + 2 });
    const first = clauses[0];
    if (first !== undefined && firstWord(first).word === 'choice') {
      const label = readText(firstWord(first).rest);
      if (label === undefined || label.rest.text !== '') this.unreadable(first, '{% choice "Label"; to "Passage" %}');
      else this.choice(from, label.value, undefined, clauses.slice(1));
      return end;
    }
    const before = this.pieces.length;
    for (const clause of clauses) this.clause(clause);
    // Tags without a piece of their own still empty their line.
    if (this.pieces.length === before) this.pieces.push({ kind: 'nothing' });
    return end;
  }

  private clause(clause: ClauseText): void {
    const { word, rest } = firstWord(clause);
    const { settings } = this;
    switch (word) {
      case 'if':
        this.depth++;
        this.pieces.push({ kind: 'if', guard: this.guard(rest) });
        return;
      case 'else': {
        const [, condition] = splitAtWord(rest, 'if');
        if (this.depth === 0) return this.unreadable(clause, '{% if … %} before {% else %}');
        this.pieces.push(condition === undefined ? { kind: 'else' } : { kind: 'else-if', guard: this.guard(condition) });
        return;
      }
      case 'endif':
        if (this.depth === 0) return this.unreadable(clause, '{% if … %} before {% endif %}');
        this.depth--;
        this.pieces.push({ kind: 'end-if' });
        return;
      case 'text': {
        const read = this.wholeText(clause, rest, '{% text "…" %}');
        if (read !== undefined) this.pieces.push({ kind: 'exact', text: read, at: this.source.at(clause.at) });
        return;
      }
      case 'passage':
        settings.id = this.wholeText(clause, rest, '{% passage "id" %}') ?? settings.id;
        return;
      case 'title':
        settings.title = this.wholeText(clause, rest, '{% title "Title" %}') ?? settings.title;
        return;
      case 'tag': {
        const tag = this.wholeText(clause, rest, '{% tag "tag" %}');
        if (tag !== undefined) settings.tags.push(tag);
        return;
      }
      case 'storylet': {
        const [, condition] = splitAtWord(rest, 'if');
        settings.offerWhen = condition === undefined ? { text: 'true', ...this.source.at(clause.at) } : this.guard(condition);
        return;
      }
      case 'priority':
        if (!/^-?\d{1,9}$/.test(rest.text)) return this.unreadable(clause, '{% priority 5 %}');
        settings.priority = Number(rest.text);
        return;
      case 'hub': {
        const [name, limit] = splitAtWord(rest, 'limit');
        const tag = readText(name);
        if (tag === undefined || tag.rest.text !== '' || (limit !== undefined && !/^\d{1,9}$/.test(limit.text)))
          return this.unreadable(clause, '{% hub tavern limit 3 %}');
        settings.storylets = { tag: tag.value, ...(limit && { limit: Number(limit.text) }) };
        return;
      }
      case 'ending':
        settings.ending = this.ending(clause, rest) ?? settings.ending;
        return;
      default: {
        const effect = this.effect(clause);
        if (effect !== undefined) this.pieces.push({ kind: 'effect', effect });
      }
    }
  }

  private choice(from: number, label: string, target: AuthorTarget | undefined, clauses: readonly ClauseText[]): void {
    const effects: EffectDraft[] = [];
    const draft: { -readonly [K in keyof ChoiceDraft]?: ChoiceDraft[K] } = {};
    for (const clause of clauses) {
      const { word, rest } = firstWord(clause);
      switch (word) {
        case 'id':
          draft.id = this.wholeText(clause, rest, 'id pay') ?? draft.id;
          break;
        case 'show': {
          const [head, condition] = splitAtWord(rest, 'if');
          if (condition === undefined || head.text !== '') this.unreadable(clause, 'show if gold >= 3');
          else draft.visibleWhen = this.guard(condition);
          break;
        }
        case 'need': {
          const [condition, reason] = splitAtWord(rest, 'else');
          draft.enabledWhen = this.guard(condition);
          if (reason !== undefined) draft.reason = this.wholeText(clause, reason, 'need gold >= 3 else "You need 3 gold"') ?? draft.reason;
          break;
        }
        case 'reason':
          draft.reason = this.wholeText(clause, rest, 'reason "You need 3 gold"') ?? draft.reason;
          break;
        case 'once':
        case 'sticky':
          draft.repeat = word;
          break;
        case 'fallback':
          draft.kind = 'fallback';
          break;
        case 'timed': {
          const time = /^(\d{1,8})\s*(ms|s|m)$/.exec(rest.text);
          if (time === null) this.unreadable(clause, 'timed 20s');
          else {
            draft.kind = 'timed';
            draft.timeoutMs = Number(time[1]) * (time[2] === 'ms' ? 1 : time[2] === 's' ? 1_000 : 60_000);
          }
          break;
        }
        case 'to': {
          const passage = this.wholeText(clause, rest, 'to "Passage"');
          if (passage !== undefined) target = { passage };
          break;
        }
        case 'return':
          target = { return: true };
          break;
        case 'end': {
          const end = this.ending(clause, rest);
          if (end !== undefined) target = { end };
          break;
        }
        default: {
          const effect = this.effect(clause);
          if (effect !== undefined) effects.push(effect);
        }
      }
    }
    this.source.report.counts.links++;
    const choice: ChoiceDraft = { ...draft, ...this.source.at(from), label, target: target ?? { passage: label }, effects };
    this.pieces.push({ kind: 'choice', choice, inline: label });
  }

  private ending(clause: ClauseText, rest: ClauseText): string | undefined {
    const id = readText(rest);
    const title = id === undefined || id.rest.text === '' ? undefined : readText(id.rest);
    if (id === undefined || (title === undefined ? id.rest.text !== '' : title.rest.text !== '')) {
      this.unreadable(clause, 'ending home "Home again"');
      return undefined;
    }
    if (title !== undefined || !this.settings.endings.has(id.value)) this.settings.endings.set(id.value, title?.value);
    return id.value;
  }

  private effect(clause: ClauseText): EffectDraft | undefined {
    const { word, rest } = firstWord(clause);
    const [body, condition] = splitAtWord(rest, 'if');
    const when = condition === undefined ? undefined : this.guard(condition);
    const variable = /^([A-Za-z_][A-Za-z0-9_]*)(?![A-Za-z0-9_])/.exec(body.text)?.[1] ?? '';
    const after: ClauseText = {
      text: body.text.slice(variable.length).trimStart(),
      at: body.at + body.text.length - body.text.slice(variable.length).trimStart().length,
    };
    const draft = (effect: AuthorEffect, value?: 'to' | 'by', at = after.at): EffectDraft => {
      this.source.report.counts.effects++;
      return {
        ...this.source.at(clause.at),
        effect: { ...effect, ...(when && { when: when.text }) },
        places: { ...(value && { [value]: this.source.at(at) }), ...(when && { when }) },
      };
    };
    const wrong = (example: string): undefined => this.unreadable(clause, example);
    switch (word) {
      case 'set': {
        const value = /^=(?!=)\s*/.exec(after.text);
        if (variable === '' || value === null) return wrong('set gold = gold - 3');
        return draft({ set: variable, to: after.text.slice(value[0].length) }, 'to', after.at + value[0].length);
      }
      case 'add':
        return variable === '' || after.text === '' ? wrong('add gold -3') : draft({ add: variable, by: after.text }, 'by');
      case 'insert':
      case 'remove': {
        const member = readText(after);
        if (variable === '' || member === undefined || member.rest.text !== '') return wrong(`${word} pack rope`);
        return draft(word === 'insert' ? { insert: variable, member: member.value } : { remove: variable, member: member.value });
      }
      case 'draw': {
        const [bounds, name] = splitAtWord(after, 'as');
        const range = /^(-?\d{1,16})\s*\.\.\s*(-?\d{1,16})$/.exec(bounds.text);
        const one = /^(min|max)\s+(-?\d{1,16})$/.exec(bounds.text);
        const id = name === undefined ? undefined : readText(name);
        if (
          variable === '' ||
          (bounds.text !== '' && range === null && one === null) ||
          (name !== undefined && (id === undefined || id.rest.text !== ''))
        )
          return wrong('draw die 1..6 as "first throw"');
        return draft({
          draw: variable,
          ...(range && { min: Number(range[1]), max: Number(range[2]) }),
          ...(one && { [one[1] as 'min' | 'max']: Number(one[2]) }),
          ...(id && { id: id.value }),
        });
      }
      default:
        return wrong('if, else, endif, text, set, add, insert, remove, draw, choice, storylet, priority, hub, ending, title, tag');
    }
  }

  private guard(clause: ClauseText): Guard {
    this.source.report.counts.guards++;
    return { text: clause.text, ...this.source.at(clause.at) };
  }

  private wholeText(clause: ClauseText, rest: ClauseText, example: string): string | undefined {
    const read = readText(rest);
    if (read !== undefined && read.rest.text === '') return read.value;
    return this.unreadable(clause, example);
  }

  private unreadable(clause: ClauseText, example: string): undefined {
    this.source.problem(clause.at, `the clause \`${excerpt(clause.text, 80)}\` is not understood`, `Write it like: ${example}`);
    return undefined;
  }
}

/** Whether an odd number of backslashes stands before `at`. */
function isEscaped(text: string, at: number): boolean {
  let slashes = 0;
  while (text[at - 1 - slashes] === '\\') slashes++;
  return slashes % 2 === 1;
}

const unescapeText = (text: string): string => text.replace(/\\([\\[{:])/g, '$1');

/** Text as it must be written so that neither Twee nor this dialect reads anything into it. */
export const escapeText = (text: string): string =>
  text
    .replace(/\\(?=[\\[{:]|$)/g, '\\\\')
    .replace(/\[\[/g, '\\[[')
    .replace(/\{%/g, '\\{%')
    .replace(/^::/gm, '\\::');
