/*
 * Conditions and values of SugarCube and Harlowe, as far as they mean something in the guard language. One grammar: their
 * operators overlap, and what only one of them knows is asked for by dialect.
 */

export type ForeignDialect = 'sugarcube' | 'harlowe';

export type ForeignOperator = '&&' | '||' | '==' | '!=' | '<' | '<=' | '>' | '>=' | '+' | '-' | '*' | '%';

export type Foreign =
  | { readonly kind: 'bool'; readonly value: boolean }
  | { readonly kind: 'int'; readonly value: number }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'var'; readonly name: string }
  /** Entries into a passage, the present one included. */
  | { readonly kind: 'visits'; readonly passage: string }
  /** Turns, the first one counted as 1. */
  | { readonly kind: 'turns' }
  | { readonly kind: 'random'; readonly min: number; readonly max: number }
  | { readonly kind: 'either'; readonly values: readonly Foreign[] }
  | { readonly kind: 'not' | 'neg'; readonly of: Foreign }
  | { readonly kind: 'binary'; readonly op: ForeignOperator; readonly left: Foreign; readonly right: Foreign }
  | { readonly kind: 'choose'; readonly if: Foreign; readonly then: Foreign; readonly else: Foreign };

/** What cannot be said in the guard language; the message is the reason in the report. */
export class Untranslatable extends Error {
  constructor(
    reason: string,
    readonly hint: string,
  ) {
    super(reason);
  }
}

const MAX_TEXT = 4_000;
const MAX_DEPTH = 24;
const HINT = 'Write it by hand with variables, guards and effects.';

interface Token {
  readonly kind: 'var' | 'int' | 'string' | 'word' | 'symbol' | 'end';
  readonly text: string;
}

const symbols = [
  '===',
  '!==',
  '==',
  '!=',
  '>=',
  '<=',
  '&&',
  '||',
  '+=',
  '-=',
  '++',
  '--',
  '(',
  ')',
  ',',
  '<',
  '>',
  '!',
  '+',
  '-',
  '*',
  '/',
  '%',
  '?',
  ':',
  '=',
];

function tokensOf(text: string, dialect: ForeignDialect): readonly Token[] {
  if (text.length > MAX_TEXT) throw new Untranslatable('it is too long', HINT);
  const tokens: Token[] = [];
  const token = /\s*(?:([$_][A-Za-z_][\w]*)|(\d+(?:\.\d+)?)|("(?:[^"\\]|\\[\s\S])*"|'(?:[^'\\]|\\[\s\S])*')|([A-Za-z][\w-]*\w|[A-Za-z]))/y;
  for (let at = 0; at < text.length;) {
    token.lastIndex = at;
    const found = token.exec(text);
    if (found === null) {
      const rest = text.slice(at).trimStart();
      if (rest === '') break;
      const symbol = symbols.find((candidate) => rest.startsWith(candidate));
      if (symbol === undefined) throw new Untranslatable(`\`${rest.slice(0, 20)}\` has no counterpart`, HINT);
      tokens.push({ kind: 'symbol', text: symbol });
      at = text.length - rest.length + symbol.length;
      continue;
    }
    at = token.lastIndex;
    const [, variable, number, string, word] = found;
    if (variable !== undefined) {
      if (/^(?:\.\w|\[|'s\b)/.test(text.slice(at, at + 4)))
        throw new Untranslatable('it reads a property or an element of an object or array', 'Use one variable of its own for each value.');
      tokens.push({ kind: 'var', text: variable });
    } else if (number !== undefined) {
      if (number.includes('.') || !Number.isSafeInteger(Number(number)))
        throw new Untranslatable('there are no fractions', 'Count in smaller units.');
      tokens.push({ kind: 'int', text: number });
    } else if (string !== undefined) tokens.push({ kind: 'string', text: string.slice(1, -1).replace(/\\([\s\S])/g, '$1') });
    else if (word !== undefined) {
      // `a-b` is a name in Harlowe's macros only; elsewhere the minus subtracts.
      const whole = dialect === 'harlowe' || !word.includes('-') ? word : word.slice(0, word.indexOf('-'));
      at -= word.length - whole.length;
      tokens.push({ kind: 'word', text: whole });
    }
  }
  tokens.push({ kind: 'end', text: '' });
  return tokens;
}

/** @throws Untranslatable with the reason. `it` is the variable that Harlowe's `it` stands for; `passage` the name of the present passage. */
export function parseForeign(text: string, dialect: ForeignDialect, passage: string, it?: string): Foreign {
  return new ForeignParser(tokensOf(text, dialect), dialect, passage, it).whole();
}

const comparisons: { readonly [word: string]: ForeignOperator } = {
  is: '==',
  eq: '==',
  '==': '==',
  '===': '==',
  isnot: '!=',
  neq: '!=',
  '!=': '!=',
  '!==': '!=',
  gt: '>',
  '>': '>',
  gte: '>=',
  '>=': '>=',
  lt: '<',
  '<': '<',
  lte: '<=',
  '<=': '<=',
};

class ForeignParser {
  private at = 0;
  private depth = 0;

  constructor(
    private readonly tokens: readonly Token[],
    private readonly dialect: ForeignDialect,
    private readonly passage: string,
    private readonly it: string | undefined,
  ) {}

  whole(): Foreign {
    const result = this.conditional();
    if (this.token.kind !== 'end') throw this.unknown();
    return result;
  }

  private get token(): Token {
    return this.tokens[this.at] as Token;
  }

  private take(...texts: readonly string[]): string | undefined {
    const { token } = this;
    if ((token.kind !== 'symbol' && token.kind !== 'word') || !texts.includes(token.text)) return undefined;
    this.at++;
    return token.text;
  }

  private unknown(): Untranslatable {
    const { token } = this;
    if (token.text === '/') return new Untranslatable('division gives fractions', 'Multiply, or set the result by cases.');
    if (token.text === '(' || token.kind === 'end') return new Untranslatable('it is not understood', HINT);
    return new Untranslatable(`\`${token.text.slice(0, 40)}\` has no counterpart`, HINT);
  }

  private conditional(): Foreign {
    if (++this.depth > MAX_DEPTH) throw new Untranslatable('it is nested too deeply', HINT);
    const condition = this.or();
    let result = condition;
    if (this.dialect === 'sugarcube' && this.take('?') !== undefined) {
      const then = this.conditional();
      if (this.take(':') === undefined) throw this.unknown();
      // oxlint-disable-next-line unicorn/no-thenable -- a tree, never a promise
      result = { kind: 'choose', if: condition, then, else: this.conditional() };
    }
    this.depth--;
    return result;
  }

  private or(): Foreign {
    let left = this.and();
    while (this.take('or', '||') !== undefined) left = { kind: 'binary', op: '||', left, right: this.and() };
    return left;
  }

  private and(): Foreign {
    let left = this.comparison();
    while (this.take('and', '&&') !== undefined) left = { kind: 'binary', op: '&&', left, right: this.comparison() };
    return left;
  }

  private comparison(): Foreign {
    const negatedByWord = this.token.kind === 'word' && this.token.text === 'not';
    const left = this.sum();
    if (this.isHistory(left)) return this.history();
    const word = this.take(...Object.keys(comparisons));
    if (word === undefined) return left;
    if (negatedByWord) throw new Untranslatable('what `not` applies to is unclear', 'Put brackets around the comparison.');
    let op = comparisons[word] as ForeignOperator;
    if (word === 'is' && this.dialect === 'harlowe') {
      if (this.take('not') !== undefined) op = '!=';
      if (this.token.kind === 'word' && ['in', 'a', 'an', 'contains', 'matches'].includes(this.token.text)) throw this.unknown();
      const more = this.take('<', '<=', '>', '>=');
      if (more !== undefined) {
        if (op === '!=') throw this.unknown();
        op = comparisons[more] as ForeignOperator;
      }
    }
    const right = this.sum();
    if (this.take(...Object.keys(comparisons)) !== undefined)
      throw new Untranslatable('comparisons are chained', 'Join two comparisons by `and`.');
    return { kind: 'binary', op, left, right };
  }

  private sum(): Foreign {
    let left = this.product();
    for (let op = this.take('+', '-'); op !== undefined; op = this.take('+', '-'))
      left = { kind: 'binary', op: op as ForeignOperator, left, right: this.product() };
    return left;
  }

  private product(): Foreign {
    let left = this.unary();
    for (let op = this.take('*', '%'); op !== undefined; op = this.take('*', '%'))
      left = { kind: 'binary', op: op as ForeignOperator, left, right: this.unary() };
    return left;
  }

  private unary(): Foreign {
    const op = this.take('not', '!', '-');
    if (op === undefined) return this.primary();
    if (++this.depth > MAX_DEPTH) throw new Untranslatable('it is nested too deeply', HINT);
    const of = this.unary();
    this.depth--;
    if (op === '-') return of.kind === 'int' ? { kind: 'int', value: 0 - of.value } : { kind: 'neg', of };
    return { kind: 'not', of };
  }

  private primary(): Foreign {
    const { token } = this;
    if (token.kind === 'end') throw this.unknown();
    this.at++;
    switch (token.kind) {
      case 'var':
        return { kind: 'var', name: token.text };
      case 'int':
        return { kind: 'int', value: Number(token.text) };
      case 'string':
        return { kind: 'string', value: token.text };
      case 'word':
        return this.word(token.text);
      case 'symbol':
        if (token.text === '(') return this.bracket();
    }
    this.at--;
    throw this.unknown();
  }

  private bracket(): Foreign {
    // Harlowe's macros: (random: 1, 6)
    const next = this.tokens[this.at + 1];
    if (this.dialect === 'harlowe' && this.token.kind === 'word' && next?.text === ':') {
      const name = this.token.text;
      this.at += 2;
      return this.call(name);
    }
    const inner = this.conditional();
    if (this.take(')') === undefined) throw this.unknown();
    return inner;
  }

  private word(word: string): Foreign {
    if (word === 'true' || word === 'false') return { kind: 'bool', value: word === 'true' };
    if (this.dialect === 'harlowe') {
      if (word === 'it' && this.it !== undefined) return { kind: 'var', name: this.it };
      if (word === 'visits' || word === 'visit') return { kind: 'visits', passage: this.passage };
      if (word === 'turns' || word === 'turn') return { kind: 'turns' };
    } else if (this.take('(') !== undefined) return this.call(word);
    this.at--;
    throw this.unknown();
  }

  private call(name: string): Foreign {
    const args: Foreign[] = [];
    while (this.take(')') === undefined) {
      if (args.length > 0 && this.take(',') === undefined) throw this.unknown();
      // A trailing comma, as Harlowe allows.
      if (this.take(')') !== undefined) break;
      if (args.length > 64) throw this.unknown();
      args.push(this.conditional());
    }
    const [first, second] = args;
    const passage = first?.kind === 'string' ? first.value : undefined;
    switch (name.toLowerCase()) {
      case 'random':
        if (first?.kind === 'int' && args.length <= 2 && (second === undefined || second.kind === 'int'))
          return second === undefined
            ? { kind: 'random', min: 0, max: first.value }
            : { kind: 'random', min: Math.min(first.value, second.value), max: Math.max(first.value, second.value) };
        throw new Untranslatable('the bounds of a random number must be written out', 'Draw with fixed bounds, e.g. {% draw die 1..6 %}.');
      case 'either':
        if (args.length > 0 && args.every((arg) => arg.kind === 'string' || arg.kind === 'int' || arg.kind === 'bool'))
          return { kind: 'either', values: args };
        throw new Untranslatable('it chooses among more than literals', 'Draw a number and choose by it.');
      case 'visited':
        if (this.dialect === 'sugarcube' && args.length === 0) return { kind: 'visits', passage: this.passage };
        if (this.dialect === 'sugarcube' && args.length === 1 && passage !== undefined) return { kind: 'visits', passage };
        break;
      case 'hasvisited':
        if (args.length === 1 && passage !== undefined) return positive({ kind: 'visits', passage });
        break;
      case 'turns':
        if (args.length === 0) return { kind: 'turns' };
        break;
      case 'history':
        if (this.dialect === 'harlowe' && args.length === 0) return HISTORY;
        break;
      case 'count': {
        const counted = second?.kind === 'string' ? second.value : undefined;
        if (this.dialect === 'harlowe' && first === HISTORY && counted !== undefined && args.length === 2)
          return this.visitsBefore(counted);
      }
    }
    throw new Untranslatable(`\`${name}\` has no counterpart`, HINT);
  }

  private isHistory(left: Foreign): boolean {
    return left === HISTORY;
  }

  /** `(history:) contains "Cellar"`; the history ends before the present passage. */
  private history(): Foreign {
    const name = this.take('contains') === undefined ? undefined : this.token;
    if (name?.kind !== 'string')
      throw new Untranslatable('the history is only asked whether it contains a passage', "Use visits('passage').");
    this.at++;
    return positive(this.visitsBefore(name.text));
  }

  private visitsBefore(passage: string): Foreign {
    const visits: Foreign = { kind: 'visits', passage };
    return passage === this.passage ? { kind: 'binary', op: '-', left: visits, right: { kind: 'int', value: 1 } } : visits;
  }
}

/** Stands for `(history:)` while it is parsed; compared by identity, never part of a finished tree. */
const HISTORY: Foreign = { kind: 'string', value: 'history' };

const positive = (count: Foreign): Foreign => ({ kind: 'binary', op: '>', left: count, right: { kind: 'int', value: 0 } });

export interface Assignment {
  readonly variable: string;
  readonly value: Foreign;
}

/** `$a to 1, $b += 2` (SugarCube) or `$a to 1, $b to it + 2` (Harlowe; `put` has value and variable the other way round). */
export function parseAssignments(text: string, dialect: ForeignDialect, passage: string, put = false): readonly Assignment[] {
  return splitTopLevel(text, dialect === 'sugarcube' ? ',;' : ',').map((part) => {
    const step = /^\s*(?:([$_][A-Za-z_]\w*)\s*(\+\+|--)|(\+\+|--)\s*([$_][A-Za-z_]\w*))\s*$/.exec(part);
    if (step !== null && dialect === 'sugarcube')
      return changed((step[1] ?? step[4]) as string, (step[2] ?? step[3]) === '++' ? '+' : '-', { kind: 'int', value: 1 });
    if (put) {
      const into = /^([\s\S]*?)\s+into\s+([$_][A-Za-z_]\w*)\s*$/.exec(part.slice(0, MAX_TEXT));
      if (into === null) throw new Untranslatable('the assignment is not understood', HINT);
      return { variable: into[2] as string, value: parseForeign(into[1] as string, dialect, passage, into[2] as string) };
    }
    const head = /^\s*([$_][A-Za-z_]\w*)\s*(to\b|[-+*%]=|\/=|=(?!=))/.exec(part);
    if (head === null) {
      if (/^\s*[$_]\w+\s*(?:\.|\[|'s\b)/.test(part))
        throw new Untranslatable('it sets a property or an element of an object or array', 'Use one variable of its own for each value.');
      throw new Untranslatable('it is not an assignment to a variable', HINT);
    }
    const [whole, variable, op] = head as unknown as [string, string, string];
    if (op === '/=') throw new Untranslatable('division gives fractions', 'Multiply, or set the result by cases.');
    const text_ = part.slice(whole.length);
    if (/^\s*[[{]|^\s*\(\s*(?:a|array|dm|datamap|ds|dataset)\s*:|^\s*new\s/i.test(text_))
      throw new Untranslatable('arrays and objects are not variables here', 'Use a set, or one variable for each value.');
    const value = parseForeign(text_, dialect, passage, variable);
    return op === 'to' || op === '=' ? { variable, value } : changed(variable, op[0] as ForeignOperator, value);
  });
}

const changed = (variable: string, op: ForeignOperator, value: Foreign): Assignment => ({
  variable,
  value: { kind: 'binary', op, left: { kind: 'var', name: variable }, right: value },
});

/** Splits at separators outside quotes and brackets. */
export function splitTopLevel(text: string, separators: string): readonly string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text[i] as string;
    if (char === '"' || char === "'") {
      for (i++; i < text.length && text[i] !== char; i++) if (text[i] === '\\') i++;
    } else if ('([{'.includes(char)) depth++;
    else if (')]}'.includes(char)) depth--;
    else if (depth <= 0 && separators.includes(char)) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  parts.push(text.slice(start));
  return parts.filter((part) => part.trim() !== '');
}
