import type { BinaryOperator, Expression } from './expression.js';
import { printExpression } from './print-expression.js';
import type { ProblemCode } from './problem.js';
import type { Variable } from './story.js';

/** Type of an expression. Strings and sets know their possible members; `literal` when these were written down, not declared. */
export type ExpressionType =
  | { readonly kind: 'bool' }
  | { readonly kind: 'int' }
  | { readonly kind: 'string' | 'set'; readonly members: readonly string[]; readonly literal: boolean };

/** What an expression may refer to. */
export interface Names {
  variable(name: string): Variable | undefined;
  hasPassage(id: string): boolean;
  /** By `passage/choice`. */
  hasChoice(key: string): boolean;
}

export interface TypeFinding {
  readonly code: ProblemCode;
  readonly message: string;
}

export const BOOL: ExpressionType = { kind: 'bool' };
export const INT: ExpressionType = { kind: 'int' };

export function typeOfVariable(variable: Variable): ExpressionType {
  switch (variable.type) {
    case 'bool':
      return BOOL;
    case 'int':
      return INT;
    case 'enum':
      return { kind: 'string', members: variable.values, literal: false };
    case 'set':
      return { kind: 'set', members: variable.values, literal: false };
  }
}

/** All type errors of an expression whose result must be `expected`; empty when it is sound. */
export function checkExpression(expression: Expression, expected: ExpressionType, names: Names): readonly TypeFinding[] {
  const checker = new Checker(names);
  const type = checker.typeOf(expression);
  if (type !== undefined) checker.assignable(expression, type, expected);
  return checker.findings;
}

const called = { bool: 'true or false', int: 'a whole number', string: 'an enum member', set: 'a set' } as const;

class Checker {
  readonly findings: TypeFinding[] = [];
  constructor(private readonly names: Names) {}

  /** undefined after an error that was reported: no second error follows from it. */
  typeOf(expression: Expression): ExpressionType | undefined {
    switch (expression.op) {
      case 'bool':
        return BOOL;
      case 'int':
      case 'turn':
        return INT;
      case 'string':
        return { kind: 'string', members: [expression.value], literal: true };
      case 'set':
        return { kind: 'set', members: expression.members, literal: true };
      case 'var': {
        const variable = this.names.variable(expression.name);
        if (variable !== undefined) return typeOfVariable(variable);
        return this.report('FAB-G013', `there is no variable \`${expression.name}\``);
      }
      case 'visits':
        if (!this.names.hasPassage(expression.passage)) this.report('FAB-G104', `there is no passage \`${expression.passage}\``);
        return INT;
      case 'chosen':
        if (!this.names.hasChoice(expression.choice)) this.report('FAB-G105', `there is no choice \`${expression.choice}\``);
        return INT;
      case 'size':
        this.want(expression.of, 'set', expression);
        return INT;
      case '!':
        this.want(expression.of, 'bool', expression);
        return BOOL;
      case 'neg':
        this.want(expression.of, 'int', expression);
        return INT;
      case '?:':
        return this.conditional(expression);
      default:
        return this.binary(expression.op, expression);
    }
  }

  /** A value of `type` stands where `expected` is asked for. */
  assignable(expression: Expression, type: ExpressionType, expected: ExpressionType): void {
    if (type.kind !== expected.kind) {
      this.report('FAB-G012', `\`${printExpression(expression)}\` is ${called[type.kind]}, but ${called[expected.kind]} is needed`);
    } else if ('members' in type && 'members' in expected) this.known(type, expected.members);
  }

  private binary(
    op: BinaryOperator,
    whole: Expression & { readonly left: Expression; readonly right: Expression },
  ): ExpressionType | undefined {
    switch (op) {
      case '&&':
      case '||':
        this.want(whole.left, 'bool', whole);
        this.want(whole.right, 'bool', whole);
        return BOOL;
      case '<':
      case '<=':
      case '>':
      case '>=':
        this.want(whole.left, 'int', whole);
        this.want(whole.right, 'int', whole);
        return BOOL;
      case '+':
      case '-':
      case '*':
      case '/':
      case '%':
        this.want(whole.left, 'int', whole);
        this.want(whole.right, 'int', whole);
        return INT;
      case 'in': {
        const [left, right] = [this.want(whole.left, 'string', whole), this.want(whole.right, 'set', whole)];
        if (left !== undefined && right !== undefined) this.comparable(left, right, whole);
        return BOOL;
      }
      case '==':
      case '!=': {
        const [left, right] = [this.typeOf(whole.left), this.typeOf(whole.right)];
        if (left === undefined || right === undefined) return BOOL;
        if (left.kind !== right.kind)
          this.report('FAB-G012', `\`${printExpression(whole)}\` compares ${called[left.kind]} with ${called[right.kind]}`);
        else this.comparable(left, right, whole);
        return BOOL;
      }
    }
  }

  private conditional(whole: Extract<Expression, { op: '?:' }>): ExpressionType | undefined {
    this.want(whole.if, 'bool', whole);
    const [then, otherwise] = [this.typeOf(whole.then), this.typeOf(whole.else)];
    if (then === undefined || otherwise === undefined) return undefined;
    if (then.kind !== otherwise.kind)
      return this.report('FAB-G012', `\`${printExpression(whole)}\` is ${called[then.kind]} or ${called[otherwise.kind]}`);
    if (!('members' in then) || !('members' in otherwise)) return then;
    return { kind: then.kind, members: [...new Set([...then.members, ...otherwise.members])], literal: then.literal && otherwise.literal };
  }

  private want(part: Expression, kind: ExpressionType['kind'], whole: Expression): ExpressionType | undefined {
    const type = this.typeOf(part);
    if (type === undefined || type.kind === kind) return type;
    const operator = whole.op === 'neg' ? '-' : whole.op;
    return this.report('FAB-G012', `\`${operator}\` needs ${called[kind]}, but \`${printExpression(part)}\` is ${called[type.kind]}`);
  }

  /** Members compared with each other: what is written must be declared on the other side, and two variables must share a member. */
  private comparable(left: ExpressionType, right: ExpressionType, whole: Expression): void {
    if (!('members' in left) || !('members' in right) || (left.literal && right.literal)) return;
    if (left.literal) this.known(left, right.members);
    else if (right.literal) this.known(right, left.members);
    else if (!left.members.some((member) => right.members.includes(member)))
      this.report('FAB-G014', `\`${printExpression(whole)}\` compares values that have no member in common`);
  }

  private known(type: ExpressionType, declared: readonly string[]): void {
    if (!('members' in type)) return;
    for (const member of type.members) {
      if (!declared.includes(member)) this.report('FAB-G014', `\`${member}\` is not one of ${listed(declared)}`);
    }
  }

  private report(code: ProblemCode, message: string): undefined {
    this.findings.push({ code, message });
  }
}

const listed = (members: readonly string[]): string =>
  members
    .slice(0, 8)
    .map((member) => `\`${member}\``)
    .join(', ') + (members.length > 8 ? `, … (${members.length} in all)` : '');
