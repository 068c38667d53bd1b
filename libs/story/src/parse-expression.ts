import { type BinaryOperator, type Expression, MAX_EXPRESSION_DEPTH, MAX_EXPRESSION_NODES } from './expression.js';
import { ExpressionRefused, MAX_EXPRESSION_TEXT, nextToken, positionAt, type Token } from './lex-expression.js';
import { isReservedWord, sortedMembers } from './names.js';
import type { ExpressionProblem } from './problem.js';

/*
 * Text of guards and values: a subset of CEL (cel-spec, doc/langdef.md), with its precedence. Recursive descent; sizes are counted while
 * reading, so that hostile text is refused before it costs memory or stack.
 */

export type ParsedExpression =
  { readonly ok: true; readonly expression: Expression } | { readonly ok: false; readonly problem: ExpressionProblem };

/** Reads a guard or value expression. Never throws. */
export function parseExpression(text: string): ParsedExpression {
  try {
    if (text.length > MAX_EXPRESSION_TEXT)
      throw tooLarge(MAX_EXPRESSION_TEXT, `this expression is longer than ${MAX_EXPRESSION_TEXT} characters`);
    return { ok: true, expression: new Parser(text).whole() };
  } catch (error) {
    if (!(error instanceof ExpressionRefused)) throw error;
    const { code, message, help } = error;
    return { ok: false, problem: { code, message, help, ...positionAt(text, error.at) } };
  }
}

const tooLarge = (at: number, message: string): ExpressionRefused =>
  new ExpressionRefused('FAB-G011', at, message, 'Split it over several choices, or set a variable first and ask for that.');

/** Binary operators by binding strength, loosest first; all are left-associative in CEL. */
const levels: readonly (readonly BinaryOperator[])[] = [
  ['||'],
  ['&&'],
  ['==', '!=', '<', '<=', '>', '>=', 'in'],
  ['+', '-'],
  ['*', '/', '%'],
];
/** Brackets, prefixes and branches inside one another; a printed tree of the greatest depth stays below. */
const MAX_NESTING = 3 * MAX_EXPRESSION_DEPTH;

interface Sized {
  readonly expression: Expression;
  readonly depth: number;
  /** Offset of its first character, for messages. */
  readonly at: number;
}

class Parser {
  private token: Token;
  private next: number;
  private nodes = 0;
  private nesting = 0;

  constructor(private readonly text: string) {
    ({ token: this.token, next: this.next } = nextToken(text, 0));
  }

  whole(): Expression {
    const { expression } = this.conditional();
    if (this.token.kind !== 'end') throw this.unexpected('an operator or the end');
    return expression;
  }

  private conditional(): Sized {
    if (++this.nesting > MAX_NESTING) throw tooLarge(this.token.at, `brackets are nested deeper than ${MAX_NESTING}`);
    let result = this.binary(0);
    if (this.take('?')) {
      const then = this.binary(0);
      this.expect(':');
      const otherwise = this.conditional();
      // oxlint-disable-next-line unicorn/no-thenable -- `then` is a tree, never a function: awaiting it does nothing
      result = this.node({ op: '?:', if: result.expression, then: then.expression, else: otherwise.expression }, result.at, [
        result,
        then,
        otherwise,
      ]);
    }
    this.nesting--;
    return result;
  }

  private binary(level: number): Sized {
    const operators = levels[level];
    if (operators === undefined) return this.unary();
    let left = this.binary(level + 1);
    for (;;) {
      const op = operators.find((candidate) => this.take(candidate));
      if (op === undefined) return left;
      const right = this.binary(level + 1);
      left = this.node({ op, left: left.expression, right: right.expression }, left.at, [left, right]);
    }
  }

  private unary(): Sized {
    const at = this.token.at;
    const op = this.take('!') ? '!' : this.take('-') ? 'neg' : undefined;
    if (op === undefined) return this.primary();
    // As in CEL, a minus before digits belongs to the literal.
    if (op === 'neg' && this.token.kind === 'int') return this.int(at, -1);
    if (++this.nesting > MAX_NESTING) throw tooLarge(at, `operators are nested deeper than ${MAX_NESTING}`);
    const of = this.unary();
    this.nesting--;
    return this.node({ op, of: of.expression }, at, [of]);
  }

  private primary(): Sized {
    const token = this.token;
    if (token.kind === 'int') return this.int(token.at, 1);
    if (token.kind === 'string') {
      this.advance();
      return this.node({ op: 'string', value: token.text }, token.at, []);
    }
    if (token.kind === 'name') return this.named(token.text, token.at);
    if (this.take('(')) {
      const inner = this.conditional();
      this.expect(')');
      return { ...inner, at: token.at };
    }
    if (this.take('[')) return this.set(token.at);
    throw this.unexpected('a value');
  }

  private int(at: number, sign: 1 | -1): Sized {
    const digits = this.token.kind === 'int' ? this.token.digits : '';
    const value = sign * Number(digits);
    if (!Number.isSafeInteger(value))
      throw new ExpressionRefused('FAB-G010', at, 'this number is too large', `Whole numbers go up to ${Number.MAX_SAFE_INTEGER}.`);
    this.advance();
    // + 0 turns -0 into 0, which has no other form in canonical JSON.
    return this.node({ op: 'int', value: value + 0 }, at, []);
  }

  private set(at: number): Sized {
    const members: string[] = [];
    while (!this.take(']')) {
      if (members.length > 0) this.expect(',');
      if (this.token.kind !== 'string') throw this.unexpected('a member in quotes');
      this.count(this.token.at);
      members.push(this.token.text);
      this.advance();
    }
    return this.node({ op: 'set', members: sortedMembers(members) }, at, []);
  }

  private named(name: string, at: number): Sized {
    this.advance();
    if (name === 'true' || name === 'false') return this.node({ op: 'bool', value: name === 'true' }, at, []);
    if (name === 'turn') return this.node({ op: 'turn' }, at, []);
    if (name === 'visits') return this.node({ op: 'visits', passage: this.argument(name, "visits('passage id')") }, at, []);
    if (name === 'chosen') return this.node({ op: 'chosen', choice: this.argument(name, "chosen('passage/choice')") }, at, []);
    if (name === 'size') {
      this.expect('(');
      const of = this.conditional();
      this.expect(')');
      return this.node({ op: 'size', of: of.expression }, at, [of]);
    }
    if (isReservedWord(name))
      throw new ExpressionRefused(
        'FAB-G010',
        at,
        `\`${name}\` is a reserved word`,
        'Use another name; the reference lists the reserved ones.',
      );
    if (this.token.kind === 'symbol' && this.token.text === '(')
      throw new ExpressionRefused('FAB-G010', at, `there is no function \`${name}\``, 'Guards have visits(…), chosen(…) and size(…).');
    return this.node({ op: 'var', name }, at, []);
  }

  private argument(name: string, example: string): string {
    this.expect('(');
    const token = this.token;
    if (token.kind !== 'string')
      throw new ExpressionRefused('FAB-G010', token.at, `${name} takes one id in quotes`, `Write it as ${example}.`);
    this.advance();
    this.expect(')');
    return token.text;
  }

  private count(at: number): void {
    if (++this.nodes > MAX_EXPRESSION_NODES) throw tooLarge(at, `this expression has more than ${MAX_EXPRESSION_NODES} parts`);
  }

  private node(expression: Expression, at: number, children: readonly Sized[]): Sized {
    this.count(at);
    const depth = 1 + children.reduce((deepest, child) => Math.max(deepest, child.depth), 0);
    if (depth > MAX_EXPRESSION_DEPTH)
      throw new ExpressionRefused(
        'FAB-G011',
        at,
        `this expression is deeper than ${MAX_EXPRESSION_DEPTH}`,
        'Group long chains with brackets, as in (a && b) && (c && d), or set a variable first and ask for that.',
      );
    return { expression, depth, at };
  }

  private advance(): void {
    ({ token: this.token, next: this.next } = nextToken(this.text, this.next));
  }

  private take(symbol: string): boolean {
    const { token } = this;
    const matches = (token.kind === 'symbol' || (token.kind === 'name' && symbol === 'in')) && token.text === symbol;
    if (matches) this.advance();
    return matches;
  }

  private expect(symbol: string): void {
    if (!this.take(symbol)) throw this.unexpected(`\`${symbol}\``);
  }

  private unexpected(wanted: string): ExpressionRefused {
    const { token } = this;
    const found =
      token.kind === 'end'
        ? 'the expression ends'
        : `found \`${token.kind === 'int' ? token.digits.slice(0, 40) : token.text.slice(0, 40)}\``;
    return new ExpressionRefused(
      'FAB-G010',
      token.at,
      `${found} where ${wanted} is expected`,
      'Check the operators and brackets around here.',
    );
  }
}
