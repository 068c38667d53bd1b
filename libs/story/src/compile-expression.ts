import type { CompiledExpression, Scope } from './compiled-story.js';
import type { BinaryOperator, Expression } from './expression.js';
import { isInheritedName } from './names.js';
import { printExpression } from './print-expression.js';
import type { Value } from './story.js';

/** Arithmetic that has no safe whole result. The command that met it is refused; nothing wraps. */
export class EvaluationError extends Error {
  constructor(
    readonly reason: 'overflow' | 'division-by-zero',
    readonly text: string,
  ) {
    super(reason === 'overflow' ? `\`${text}\` leaves the range of safe integers` : `\`${text}\` divides by zero`);
    this.name = 'EvaluationError';
  }
}

type Closure<T> = (scope: Scope) => T;

/**
 * Turns a type-checked expression into closures: nothing is interpreted when it runs.
 * `&&` and `||` go from left to right and stop at the first operand that decides: an error to the right of it never happens, one to the left
 * always does. (CEL would swallow either; a fixed order keeps replays equal.)
 */
export function compileExpression<T extends Value>(expression: Expression): CompiledExpression<T> {
  const reads = readsOf(expression);
  const inherited = reads.find(isInheritedName);
  if (inherited !== undefined) throw new TypeError(`${inherited} cannot be a variable`);
  // The words are made when first asked for: most guards of a story are never asked why they failed.
  let text: string | undefined;
  let conjuncts: readonly { readonly text: string; readonly holds: Condition }[] | undefined;
  return {
    // The checker has established the type; a closure's own type cannot say so.
    evaluate: compile(expression) as Closure<T>,
    reads,
    get text() {
      return (text ??= printExpression(expression));
    },
    failing: (scope) => {
      conjuncts ??= conjunctsOf(expression).map((part) => ({ text: printExpression(part), holds: bool(part) }));
      return conjuncts.find((part) => !part.holds(scope))?.text;
    },
  };
}

/** Operands of the outermost `&&` chain, in order. */
export function conjunctsOf(expression: Expression): readonly Expression[] {
  return expression.op === '&&' ? [...conjunctsOf(expression.left), ...conjunctsOf(expression.right)] : [expression];
}

/** Names of the variables read, sorted. */
export function readsOf(expression: Expression): readonly string[] {
  const names = new Set<string>();
  walk(expression, (part) => {
    if (part.op === 'var') names.add(part.name);
  });
  return [...names].sort();
}

/** Visits every part, outermost first. */
export function walk(expression: Expression, visit: (part: Expression) => void): void {
  visit(expression);
  for (const child of childrenOf(expression)) walk(child, visit);
}

export function childrenOf(expression: Expression): readonly Expression[] {
  switch (expression.op) {
    case '?:':
      return [expression.if, expression.then, expression.else];
    case '!':
    case 'neg':
    case 'size':
      return [expression.of];
    case 'bool':
    case 'int':
    case 'string':
    case 'set':
    case 'var':
    case 'visits':
    case 'chosen':
    case 'turn':
      return [];
    default:
      return [expression.left, expression.right];
  }
}

const bool = (expression: Expression): Condition => compile(expression) as Closure<boolean>;
const int = (expression: Expression): Closure<number> => compile(expression) as Closure<number>;

function compile(expression: Expression): Closure<Value> {
  switch (expression.op) {
    case 'bool':
    case 'int':
    case 'string': {
      const { value } = expression;
      return () => value;
    }
    case 'set': {
      const { members } = expression;
      return () => members;
    }
    case 'var': {
      const { name } = expression;
      return (scope) => scope.variables[name] as Value;
    }
    case 'visits': {
      const { passage } = expression;
      return isInheritedName(passage) ? () => 0 : (scope) => scope.visits[passage] ?? 0;
    }
    case 'chosen': {
      const { choice } = expression;
      return isInheritedName(choice) ? () => 0 : (scope) => scope.chosen[choice] ?? 0;
    }
    case 'turn':
      return (scope) => scope.turn;
    case 'size': {
      const of = compile(expression.of) as Closure<readonly string[]>;
      return (scope) => of(scope).length;
    }
    case '!': {
      const of = bool(expression.of);
      return (scope) => !of(scope);
    }
    case 'neg': {
      const of = int(expression.of);
      return (scope) => 0 - of(scope);
    }
    case '?:': {
      const [test, then, otherwise] = [bool(expression.if), compile(expression.then), compile(expression.else)];
      return (scope) => (test(scope) ? then(scope) : otherwise(scope));
    }
    default:
      return compileBinary(expression.op, expression.left, expression.right);
  }
}

function compileBinary(op: BinaryOperator, leftPart: Expression, rightPart: Expression): Closure<Value> {
  switch (op) {
    case '&&':
      return all(operandsOf('&&', leftPart, rightPart).map(bool));
    case '||':
      return any(operandsOf('||', leftPart, rightPart).map(bool));
    case 'in': {
      const set = compile(rightPart) as Closure<readonly string[]>;
      if (leftPart.op === 'string') {
        const { value } = leftPart;
        if (rightPart.op !== 'var') return (scope) => set(scope).includes(value);
        const { name } = rightPart;
        return (scope) => (scope.variables[name] as readonly string[]).includes(value);
      }
      const member = compile(leftPart) as Closure<string>;
      return (scope) => set(scope).includes(member(scope));
    }
    case '==':
    case '!=':
      return equality(op, leftPart, rightPart);
    case '<':
    case '<=':
    case '>':
    case '>=':
      return comparison(op, leftPart, rightPart);
    case '+':
    case '-':
    case '*':
    case '/':
    case '%':
      return arithmetic(op, leftPart, rightPart);
  }
}

/** Operands of a chain of one operator, left to right; brackets between them change nothing, for both are associative. */
function operandsOf(op: '&&' | '||', ...parts: readonly Expression[]): readonly Expression[] {
  return parts.flatMap((part) => (part.op === op ? operandsOf(op, part.left, part.right) : [part]));
}

type Condition = Closure<boolean>;

function all(operands: readonly Condition[]): Condition {
  const [a, b, c, ...more] = operands;
  if (a === undefined || b === undefined) return a ?? (() => true);
  if (c === undefined) return (scope) => a(scope) && b(scope);
  if (more.length === 0) return (scope) => a(scope) && b(scope) && c(scope);
  const rest = all(more);
  return (scope) => a(scope) && b(scope) && c(scope) && rest(scope);
}

function any(operands: readonly Condition[]): Condition {
  const [a, b, c, ...more] = operands;
  if (a === undefined || b === undefined) return a ?? (() => false);
  if (c === undefined) return (scope) => a(scope) || b(scope);
  if (more.length === 0) return (scope) => a(scope) || b(scope) || c(scope);
  const rest = any(more);
  return (scope) => a(scope) || b(scope) || c(scope) || rest(scope);
}

/** A variable compared with a constant is by far the commonest guard: one closure, not three. */
function comparison(op: '<' | '<=' | '>' | '>=', leftPart: Expression, rightPart: Expression): Condition {
  if (rightPart.op === 'int') {
    const { value } = rightPart;
    if (leftPart.op === 'var') {
      const { name } = leftPart;
      if (op === '<') return (scope) => (scope.variables[name] as number) < value;
      if (op === '<=') return (scope) => (scope.variables[name] as number) <= value;
      if (op === '>') return (scope) => (scope.variables[name] as number) > value;
      return (scope) => (scope.variables[name] as number) >= value;
    }
    if (leftPart.op === 'visits' && !isInheritedName(leftPart.passage)) {
      const { passage } = leftPart;
      if (op === '<') return (scope) => (scope.visits[passage] ?? 0) < value;
      if (op === '<=') return (scope) => (scope.visits[passage] ?? 0) <= value;
      if (op === '>') return (scope) => (scope.visits[passage] ?? 0) > value;
      return (scope) => (scope.visits[passage] ?? 0) >= value;
    }
    const left = int(leftPart);
    if (op === '<') return (scope) => left(scope) < value;
    if (op === '<=') return (scope) => left(scope) <= value;
    if (op === '>') return (scope) => left(scope) > value;
    return (scope) => left(scope) >= value;
  }
  const [left, right] = [int(leftPart), int(rightPart)];
  if (op === '<') return (scope) => left(scope) < right(scope);
  if (op === '<=') return (scope) => left(scope) <= right(scope);
  if (op === '>') return (scope) => left(scope) > right(scope);
  return (scope) => left(scope) >= right(scope);
}

function equality(op: '==' | '!=', leftPart: Expression, rightPart: Expression): Condition {
  if (rightPart.op === 'int' || rightPart.op === 'string' || rightPart.op === 'bool') {
    const { value } = rightPart;
    if (leftPart.op === 'var') {
      const { name } = leftPart;
      return op === '==' ? (scope) => scope.variables[name] === value : (scope) => scope.variables[name] !== value;
    }
    const left = compile(leftPart);
    return op === '==' ? (scope) => left(scope) === value : (scope) => left(scope) !== value;
  }
  const [left, right] = [compile(leftPart), compile(rightPart)];
  return op === '==' ? (scope) => sameValue(left(scope), right(scope)) : (scope) => !sameValue(left(scope), right(scope));
}

/** Equality of values; sets are sorted, so they are equal member by member. */
export function sameValue(a: Value, b: Value): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a.length !== b.length) return false;
  return a.every((member, i) => member === b[i]);
}

function arithmetic(op: '+' | '-' | '*' | '/' | '%', leftPart: Expression, rightPart: Expression): Closure<number> {
  const [left, right] = [int(leftPart), int(rightPart)];
  const checked = (result: number): number => {
    if (Number.isSafeInteger(result)) return result;
    const text = printExpression({ op, left: leftPart, right: rightPart });
    throw new EvaluationError(Number.isNaN(result) ? 'division-by-zero' : 'overflow', text);
  };
  if (op === '+') return (scope) => checked(left(scope) + right(scope));
  if (op === '-') return (scope) => checked(left(scope) - right(scope));
  const calculate = arithmeticOf(op);
  return (scope) => checked(calculate(left(scope), right(scope)));
}

/** On safe integers: NaN stands for division by zero, an unsafe number for overflow. `+ 0` keeps -0 out of the state. */
function arithmeticOf(op: '*' | '/' | '%'): (a: number, b: number) => number {
  switch (op) {
    case '*':
      return (a, b) => a * b + 0;
    case '/':
      return (a, b) => (b === 0 ? NaN : wholeQuotient(a, b));
    case '%':
      return (a, b) => (b === 0 ? NaN : (a % b) + 0);
  }
}

/** Truncates towards zero as CEL does; through the remainder, because a double quotient of large integers may round up. */
const wholeQuotient = (a: number, b: number): number => (a - (a % b)) / b + 0;
