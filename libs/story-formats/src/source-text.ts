/** A place in an imported file; both count from 1, columns in UTF-16 code units. */
export interface SourcePosition {
  readonly line: number;
  readonly column: number;
}

/** Turns offsets into lines and columns by binary search over the line starts. */
export class LineMap {
  private readonly starts: number[] = [0];

  constructor(text: string) {
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) this.starts.push(at + 1);
  }

  at(offset: number): SourcePosition {
    let low = 0;
    let high = this.starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.starts[middle] as number) <= offset) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: Math.max(0, offset - (this.starts[low] as number)) + 1 };
  }
}

/**
 * `indexOf` (or, ignoring case, the index of a pattern) for a scanner that moves forward: an answer is kept until the scanner passes it, so a million unclosed
 * brackets cost one search and not a million.
 */
export function forwardFinder(text: string, needle: string | RegExp): (from: number) => number {
  const pattern = typeof needle === 'string' ? undefined : new RegExp(needle, 'gi');
  const search = (from: number): number => {
    if (pattern === undefined) return text.indexOf(needle as string, from);
    pattern.lastIndex = from;
    return pattern.exec(text)?.index ?? -1;
  };
  let found = -2;
  let searchedFrom = 0;
  return (from) => {
    if (found === -1 && from >= searchedFrom) return -1;
    if (found < from || from < searchedFrom) {
      found = search(from);
      searchedFrom = from;
    }
    return found;
  };
}

/** The first `limit` characters, for reports that must stay small; never cuts a surrogate pair. */
export function excerpt(text: string, limit = 200): string {
  if (text.length <= limit) return text;
  const last = text.charCodeAt(limit - 1);
  return `${text.slice(0, last >= 0xd800 && last <= 0xdbff ? limit - 1 : limit)}…`;
}

/** Offset of the first lone surrogate or U+0000, which neither JSON nor the database can carry; -1 if there is none. */
export function firstForbiddenCharacter(text: string): number {
  const nul = text.indexOf('\u0000');
  if (text.isWellFormed()) return nul;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0) return i;
    if (code < 0xd800 || code > 0xdfff) continue;
    const next = text.charCodeAt(i + 1);
    if (code <= 0xdbff && next >= 0xdc00 && next <= 0xdfff) i++;
    else return i;
  }
  return nul;
}
