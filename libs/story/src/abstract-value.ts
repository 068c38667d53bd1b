import type { BinaryOperator, Expression } from './expression.js';
import type { Variable } from './story.js';

/*
 * Abstract interpretation of guards: instead of one value, all values that are possible. Every result covers at least what can
 * happen (so "never" and "always" are proofs); with single values going in it is exact.
 */

/** Inclusive; lo > hi: no value at all, the evaluation fails. */
export interface Range {
  readonly lo: number;
  readonly hi: number;
}
export type Abstract =
  | { readonly kind: 'bool'; readonly canBeTrue: boolean; readonly canBeFalse: boolean }
  | ({ readonly kind: 'int' } & Range)
  | { readonly kind: 'string'; readonly values: readonly string[] }
  /** Members certainly in it, and members possibly in it. */
  | { readonly kind: 'set'; readonly must: readonly string[]; readonly may: readonly string[] };

type Bool = Extract<Abstract, { kind: 'bool' }>;
type Ints = Extract<Abstract, { kind: 'int' }>;
type Strings = Extract<Abstract, { kind: 'string' }>;
type Members = Extract<Abstract, { kind: 'set' }>;

/** Something an expression reads: `variable gold`, `visits hall`, `chosen hall/enter`, `turn`. */
export type Leaf = string;
export const variableLeaf = (name: string): Leaf => `variable ${name}`;
export const visitsLeaf = (passage: string): Leaf => `visits ${passage}`;
export const chosenLeaf = (choice: string): Leaf => `chosen ${choice}`;
export const TURN_LEAF: Leaf = 'turn';

export function leafOf(expression: Expression): Leaf | undefined {
  switch (expression.op) {
    case 'var':
      return variableLeaf(expression.name);
    case 'visits':
      return visitsLeaf(expression.passage);
    case 'chosen':
      return chosenLeaf(expression.choice);
    case 'turn':
      return TURN_LEAF;
    default:
      return undefined;
  }
}

/** No playthrough takes more turns than this. */
export const MAX_COUNT = 2 ** 31;

export const int = (lo: number, hi: number): Ints => ({ kind: 'int', lo, hi });
const bool = (canBeTrue: boolean, canBeFalse: boolean): Bool => ({ kind: 'bool', canBeTrue, canBeFalse });
const strings = (values: readonly string[]): Strings => ({ kind: 'string', values });
const NOTHING_BOOL = bool(false, false);
const NOTHING_INT = int(1, 0);

/** All values that the declaration allows. */
export function declaredValues(variable: Variable): Abstract {
  switch (variable.type) {
    case 'bool':
      return bool(true, true);
    case 'int':
      return int(variable.min, variable.max);
    case 'enum':
      return strings(variable.values);
    case 'set':
      return { kind: 'set', must: [], may: variable.values };
  }
}

export function defaultValue(variable: Variable): Abstract {
  switch (variable.type) {
    case 'bool':
      return bool(variable.default, !variable.default);
    case 'int':
      return int(variable.default, variable.default);
    case 'enum':
      return strings([variable.default]);
    case 'set':
      return { kind: 'set', must: variable.default, may: variable.default };
  }
}

const union = (a: readonly string[], b: readonly string[]): readonly string[] => [...new Set([...a, ...b])];

/** Covers both. Both are of one kind. */
export function join(a: Abstract, b: Abstract): Abstract {
  if (a.kind === 'bool' && b.kind === 'bool') return bool(a.canBeTrue || b.canBeTrue, a.canBeFalse || b.canBeFalse);
  if (a.kind === 'int' && b.kind === 'int') {
    if (a.lo > a.hi) return b;
    return b.lo > b.hi ? a : int(Math.min(a.lo, b.lo), Math.max(a.hi, b.hi));
  }
  if (a.kind === 'string' && b.kind === 'string') return strings(union(a.values, b.values));
  if (a.kind === 'set' && b.kind === 'set')
    return { kind: 'set', must: a.must.filter((one) => b.must.includes(one)), may: union(a.may, b.may) };
  throw new TypeError(`${a.kind} and ${b.kind} have nothing in common`);
}

/** No value at all: what contains it fails. (Sets have no such form; for them something stays possible.) */
function nothingOf(value: Abstract): Abstract {
  if (value.kind === 'bool') return NOTHING_BOOL;
  if (value.kind === 'int') return NOTHING_INT;
  return value.kind === 'string' ? strings([]) : value;
}

/** Result of evaluating; `mayFail` when some of the values overflow or divide by zero. */
export interface AbstractResult {
  readonly value: Abstract;
  readonly mayFail: boolean;
}

/** Evaluates over possible values. The expression has passed the type check. */
export function evaluateAbstract(expression: Expression, read: (leaf: Leaf) => Abstract): AbstractResult {
  const evaluation = new Evaluation(read);
  const value = evaluation.of(expression);
  return { value, mayFail: evaluation.mayFail };
}

class Evaluation {
  mayFail = false;
  constructor(private readonly read: (leaf: Leaf) => Abstract) {}

  of(expression: Expression): Abstract {
    switch (expression.op) {
      case 'bool':
        return bool(expression.value, !expression.value);
      case 'int':
        return int(expression.value, expression.value);
      case 'string':
        return strings([expression.value]);
      case 'set':
        return { kind: 'set', must: expression.members, may: expression.members };
      case 'var':
      case 'visits':
      case 'chosen':
      case 'turn':
        return this.read(leafOf(expression) ?? '');
      case 'size': {
        const { must, may } = this.members(expression.of);
        return int(must.length, may.length);
      }
      case '!': {
        const of = this.bool(expression.of);
        return bool(of.canBeFalse, of.canBeTrue);
      }
      case 'neg': {
        const of = this.int(expression.of);
        return of.lo > of.hi ? of : int(0 - of.hi, 0 - of.lo);
      }
      case '?:': {
        const test = this.bool(expression.if);
        if (!test.canBeFalse && test.canBeTrue) return this.of(expression.then);
        if (!test.canBeTrue && test.canBeFalse) return this.of(expression.else);
        if (!test.canBeTrue) return nothingOf(this.of(expression.then));
        return join(this.of(expression.then), this.of(expression.else));
      }
      default:
        return this.binary(expression.op, expression.left, expression.right);
    }
  }

  private bool(expression: Expression): Bool {
    const value = this.of(expression);
    if (value.kind !== 'bool') throw new TypeError('not checked: a bool is needed');
    return value;
  }
  private int(expression: Expression): Ints {
    const value = this.of(expression);
    if (value.kind !== 'int') throw new TypeError('not checked: an int is needed');
    return value;
  }
  private members(expression: Expression): Members {
    const value = this.of(expression);
    if (value.kind !== 'set') throw new TypeError('not checked: a set is needed');
    return value;
  }

  private binary(op: BinaryOperator, left: Expression, right: Expression): Abstract {
    switch (op) {
      case '&&': {
        const first = this.bool(left);
        if (!first.canBeTrue) return first;
        const second = this.bool(right);
        return bool(second.canBeTrue, first.canBeFalse || second.canBeFalse);
      }
      case '||': {
        const first = this.bool(left);
        if (!first.canBeFalse) return first;
        const second = this.bool(right);
        return bool(first.canBeTrue || second.canBeTrue, second.canBeFalse);
      }
      case 'in': {
        const member = this.of(left);
        const set = this.members(right);
        if (member.kind !== 'string') throw new TypeError('not checked: a member is needed');
        return bool(
          member.values.some((one) => set.may.includes(one)),
          member.values.some((one) => !set.must.includes(one)),
        );
      }
      case '==':
        return equal(this.of(left), this.of(right));
      case '!=': {
        const same = equal(this.of(left), this.of(right));
        return bool(same.canBeFalse, same.canBeTrue);
      }
      case '<':
        return less(this.int(left), this.int(right));
      case '>':
        return less(this.int(right), this.int(left));
      case '<=': {
        const greater = less(this.int(right), this.int(left));
        return bool(greater.canBeFalse, greater.canBeTrue);
      }
      case '>=': {
        const smaller = less(this.int(left), this.int(right));
        return bool(smaller.canBeFalse, smaller.canBeTrue);
      }
      default:
        return this.arithmetic(op, this.int(left), this.int(right));
    }
  }

  private arithmetic(op: '+' | '-' | '*' | '/' | '%', a: Ints, b: Ints): Ints {
    if (a.lo > a.hi || b.lo > b.hi) return NOTHING_INT;
    switch (op) {
      case '+':
        return this.safe(a.lo + b.lo, a.hi + b.hi);
      case '-':
        return this.safe(a.lo - b.hi, a.hi - b.lo);
      case '*':
        return this.corners(a, b, (x, y) => x * y);
      case '/':
        return this.divided(a, b, (x, y) => this.corners(x, y, (n, d) => Math.trunc(n / d)));
      case '%':
        return this.divided(a, b, remainder);
    }
  }

  /** The divisor's negative and positive parts one by one; zero fails. */
  private divided(a: Ints, b: Ints, each: (a: Ints, b: Ints) => Ints): Ints {
    if (b.lo <= 0 && b.hi >= 0) this.mayFail = true;
    const parts = [int(b.lo, Math.min(b.hi, -1)), int(Math.max(b.lo, 1), b.hi)]
      .filter((part) => part.lo <= part.hi)
      .map((part) => each(a, part));
    const [first = NOTHING_INT, second = NOTHING_INT] = parts;
    return join(first, second) as Ints;
  }

  private corners(a: Ints, b: Ints, calculate: (x: number, y: number) => number): Ints {
    const all = [calculate(a.lo, b.lo), calculate(a.lo, b.hi), calculate(a.hi, b.lo), calculate(a.hi, b.hi)];
    return this.safe(Math.min(...all), Math.max(...all));
  }

  /** Cuts to safe integers: beyond them the evaluation fails. */
  private safe(lo: number, hi: number): Ints {
    if (lo < Number.MIN_SAFE_INTEGER || hi > Number.MAX_SAFE_INTEGER) this.mayFail = true;
    return int(Math.max(lo, Number.MIN_SAFE_INTEGER) + 0, Math.min(hi, Number.MAX_SAFE_INTEGER) + 0);
  }
}

function remainder(a: Ints, b: Ints): Ints {
  if (a.lo === a.hi && b.lo === b.hi) return int((a.lo % b.lo) + 0, (a.lo % b.lo) + 0);
  const below = Math.max(Math.abs(b.lo), Math.abs(b.hi)) - 1;
  const smallest = Math.min(Math.abs(b.lo), Math.abs(b.hi));
  // Dividends smaller than every divisor stay as they are.
  if (Math.max(Math.abs(a.lo), Math.abs(a.hi)) < smallest) return a;
  return int(a.lo < 0 ? -Math.min(below, -a.lo) : 0, a.hi > 0 ? Math.min(below, a.hi) : 0);
}

function less(a: Ints, b: Ints): Bool {
  if (a.lo > a.hi || b.lo > b.hi) return NOTHING_BOOL;
  return bool(a.lo < b.hi, a.hi >= b.lo);
}

function equal(a: Abstract, b: Abstract): Bool {
  if (a.kind === 'int' && b.kind === 'int') {
    if (a.lo > a.hi || b.lo > b.hi) return NOTHING_BOOL;
    return bool(a.lo <= b.hi && b.lo <= a.hi, !(a.lo === a.hi && b.lo === b.hi && a.lo === b.lo));
  }
  if (a.kind === 'bool' && b.kind === 'bool')
    return bool(
      (a.canBeTrue && b.canBeTrue) || (a.canBeFalse && b.canBeFalse),
      (a.canBeTrue && b.canBeFalse) || (a.canBeFalse && b.canBeTrue),
    );
  if (a.kind === 'string' && b.kind === 'string') {
    if (a.values.length === 0 || b.values.length === 0) return NOTHING_BOOL;
    return bool(
      a.values.some((one) => b.values.includes(one)),
      a.values.length + b.values.length > 2 || a.values[0] !== b.values[0],
    );
  }
  if (a.kind === 'set' && b.kind === 'set') {
    const possible = a.must.every((one) => b.may.includes(one)) && b.must.every((one) => a.may.includes(one));
    const known = a.must.length === a.may.length && b.must.length === b.may.length;
    return bool(possible, !(known && possible));
  }
  throw new TypeError(`not checked: ${a.kind} compared with ${b.kind}`);
}
