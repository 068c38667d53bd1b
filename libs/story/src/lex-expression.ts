import type { ExpressionProblem, TextPosition } from './problem.js';

/** Longest text of one expression, UTF-16 units. */
export const MAX_EXPRESSION_TEXT = 32 * 1024;
/** Longest string literal in one: a `passage/choice` key fits. */
export const MAX_LITERAL_LENGTH = 256;

export type Token = { readonly at: number } & (
  | { readonly kind: 'name' | 'symbol' | 'string'; readonly text: string }
  | { readonly kind: 'int'; readonly digits: string }
  | { readonly kind: 'end' }
);

/** Refused text; becomes an ExpressionProblem with a position at the parser's edge. */
export class ExpressionRefused extends Error {
  constructor(
    readonly code: ExpressionProblem['code'],
    readonly at: number,
    message: string,
    readonly help: string,
  ) {
    super(message);
  }
}

const symbols = ['&&', '||', '==', '!=', '<=', '>=', '<', '>', '!', '+', '-', '*', '/', '%', '?', ':', '(', ')', '[', ']', ','] as const;
const escapes: { readonly [letter: string]: string } = { '\\': '\\', "'": "'", '"': '"', n: '\n', t: '\t', r: '\r' };
const blank = /[ \t\r\n\f]/;

/** The token at or after `from`, and where the next one is searched. @throws ExpressionRefused */
export function nextToken(text: string, from: number): { readonly token: Token; readonly next: number } {
  let at = from;
  while (at < text.length && blank.test(text.charAt(at))) at++;
  if (at >= text.length) return { token: { kind: 'end', at }, next: at };
  const char = text.charAt(at);
  if (char === "'" || char === '"') return stringToken(text, at, char);
  if (/[0-9]/.test(char)) return numberToken(text, at);
  if (/[A-Za-z_]/.test(char)) {
    let end = at + 1;
    while (end < text.length && /[A-Za-z0-9_]/.test(text.charAt(end))) end++;
    return { token: { kind: 'name', text: text.slice(at, end), at }, next: end };
  }
  const symbol = symbols.find((candidate) => text.startsWith(candidate, at));
  if (symbol !== undefined) return { token: { kind: 'symbol', text: symbol, at }, next: at + symbol.length };
  throw new ExpressionRefused('FAB-G010', at, `unexpected ${showChar(text, at)}`, symbolHelp(char));
}

function symbolHelp(char: string): string {
  if (char === '=') return 'Compare with `==`; a guard cannot assign.';
  if (char === '&' || char === '|') return `Write \`${char}${char}\`.`;
  if (char === '.') return 'There are no fields, methods or fractions in guards.';
  return 'Guards know names, whole numbers, texts in quotes, `true`, `false`, and the operators of the reference.';
}

function numberToken(text: string, at: number): { token: Token; next: number } {
  let end = at + 1;
  while (end < text.length && /[0-9]/.test(text.charAt(end))) end++;
  if (/[A-Za-z_.]/.test(text.charAt(end)))
    throw new ExpressionRefused(
      'FAB-G010',
      end,
      `unexpected ${showChar(text, end)} in a number`,
      'Numbers are whole and decimal, such as 12.',
    );
  return { token: { kind: 'int', digits: text.slice(at, end), at }, next: end };
}

function stringToken(text: string, at: number, quote: string): { token: Token; next: number } {
  let value = '';
  let i = at + 1;
  for (;;) {
    const char = text.charAt(i);
    if (char === '' || char === '\n' || char === '\r')
      throw new ExpressionRefused('FAB-G010', at, 'this text is not closed', `Close it with ${quote} on the same line.`);
    if (char === quote) break;
    if (char !== '\\') {
      value += char;
      i++;
    } else {
      const read = escaped(text, i);
      value += read.value;
      i = read.next;
    }
    if (value.length > MAX_LITERAL_LENGTH)
      throw new ExpressionRefused(
        'FAB-G011',
        at,
        `this text is longer than ${MAX_LITERAL_LENGTH} characters`,
        'Use a shorter member name.',
      );
  }
  if (value.includes('\0') || !value.isWellFormed())
    throw new ExpressionRefused('FAB-G010', at, 'this text holds U+0000 or half a character', 'Take the broken character out.');
  return { token: { kind: 'string', text: value, at }, next: i + 1 };
}

function escaped(text: string, at: number): { value: string; next: number } {
  const letter = text.charAt(at + 1);
  const simple = Object.hasOwn(escapes, letter) ? escapes[letter] : undefined;
  if (simple !== undefined) return { value: simple, next: at + 2 };
  const hex = text.slice(at + 2, at + 6);
  if (letter === 'u' && /^[0-9A-Fa-f]{4}$/.test(hex)) return { value: String.fromCharCode(parseInt(hex, 16)), next: at + 6 };
  throw new ExpressionRefused('FAB-G010', at, 'unknown escape in a text', 'Escapes are \\\\ \\\' \\" \\n \\t \\r and \\uXXXX.');
}

function showChar(text: string, at: number): string {
  const code = text.codePointAt(at) ?? 0;
  const shown = String.fromCodePoint(code);
  return /^[\p{L}\p{P}\p{S}]$/u.test(shown) ? `\`${shown}\`` : `character U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
}

export function positionAt(text: string, offset: number): TextPosition {
  let line = 1;
  let start = 0;
  for (let i = text.indexOf('\n'); i !== -1 && i < offset; i = text.indexOf('\n', i + 1)) {
    line++;
    start = i + 1;
  }
  return { line, column: offset - start + 1, offset };
}
