export type Severity = 'error' | 'warning' | 'info';

/** Place within a text: line and column from 1, offset from 0, in UTF-16 units. */
export interface TextPosition {
  readonly line: number;
  readonly column: number;
  readonly offset: number;
}

/** Where in the story. `path` is a JSON pointer (RFC 6901) into the author form, e.g. `/passages/hall/choices/0/enabledWhen`; '' is the whole. */
export interface ProblemPlace {
  readonly path: string;
  readonly passage?: string;
  /** Id within the passage. */
  readonly choice?: string;
  readonly variable?: string;
}

/** One finding of import or lint. Codes are stable and explained in docs/reference/lint/. */
export interface Problem {
  readonly code: ProblemCode;
  readonly severity: Severity;
  readonly message: string;
  readonly where: ProblemPlace;
  /** In the source file; filled by the format that knows it. */
  readonly line?: number;
  readonly column?: number;
  /** Place inside the guard's or expression's own text, when `where.path` names one. */
  readonly within?: TextPosition;
  /** What to do. */
  readonly help: string;
}

export type ProblemCode = `FAB-G${number}`;

/** A guard's text that cannot be read. */
export interface ExpressionProblem extends TextPosition {
  readonly code: ProblemCode;
  readonly message: string;
  readonly help: string;
}

/** JSON pointer of a path. */
export const pointer = (path: readonly (string | number)[]): string =>
  path.map((part) => '/' + String(part).replaceAll('~', '~0').replaceAll('/', '~1')).join('');

/** The same finding reported twice (by import and by lint) stays once; order is kept. */
export function uniqueProblems(problems: readonly Problem[]): readonly Problem[] {
  const seen = new Set<string>();
  return problems.filter((problem) => {
    const key = `${problem.code} ${problem.where.path} ${problem.message}`;
    return !seen.has(key) && seen.add(key) !== undefined;
  });
}

export const hasErrors = (problems: readonly Problem[]): boolean => problems.some((problem) => problem.severity === 'error');
