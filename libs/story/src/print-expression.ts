import type { BinaryOperator, Expression } from './expression.js';

const strength: { readonly [op in BinaryOperator | '?:']: number } = {
  '?:': 1,
  '||': 2,
  '&&': 3,
  '==': 4,
  '!=': 4,
  '<': 4,
  '<=': 4,
  '>': 4,
  '>=': 4,
  in: 4,
  '+': 5,
  '-': 5,
  '*': 6,
  '/': 6,
  '%': 6,
};
const UNARY = 7;
const PRIMARY = 8;

/** Text of an expression with as few brackets as CEL's precedence allows; parsing it gives the same tree. */
export function printExpression(expression: Expression): string {
  return print(expression, 0);
}

function print(expression: Expression, needed: number): string {
  const text = bare(expression);
  return bindingOf(expression) < needed ? `(${text})` : text;
}

function bindingOf(expression: Expression): number {
  switch (expression.op) {
    case '!':
    case 'neg':
      return UNARY;
    case 'bool':
    case 'string':
    case 'set':
    case 'var':
    case 'visits':
    case 'chosen':
    case 'turn':
    case 'size':
      return PRIMARY;
    case 'int':
      return expression.value < 0 ? UNARY : PRIMARY;
    default:
      return strength[expression.op];
  }
}

function bare(expression: Expression): string {
  switch (expression.op) {
    case 'bool':
    case 'int':
      return String(expression.value);
    case 'string':
      return quoted(expression.value);
    case 'set':
      return `[${expression.members.map(quoted).join(', ')}]`;
    case 'var':
      return expression.name;
    case 'visits':
      return `visits(${quoted(expression.passage)})`;
    case 'chosen':
      return `chosen(${quoted(expression.choice)})`;
    case 'turn':
      return 'turn';
    case 'size':
      return `size(${print(expression.of, 0)})`;
    case '!':
      return `!${print(expression.of, UNARY)}`;
    case 'neg':
      // Without brackets the minus would become part of the literal.
      return expression.of.op === 'int' && expression.of.value >= 0 ? `-(${print(expression.of, 0)})` : `-${print(expression.of, UNARY)}`;
    case '?:':
      return `${print(expression.if, 2)} ? ${print(expression.then, 2)} : ${print(expression.else, 1)}`;
    default: {
      const own = strength[expression.op];
      return `${print(expression.left, own)} ${expression.op} ${print(expression.right, own + 1)}`;
    }
  }
}

// oxlint-disable-next-line no-control-regex -- control characters are what is escaped
const special = /[\\'\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

function quoted(text: string): string {
  return `'${text.replace(special, escape)}'`;
}

function escape(char: string): string {
  if (char === '\\' || char === "'") return `\\${char}`;
  if (char === '\n') return '\\n';
  if (char === '\t') return '\\t';
  if (char === '\r') return '\\r';
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
