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

/** More findings of one kind than this help nobody, and hostile stories could have millions. */
const MAX_PER_CODE = 200;

/** At most 200 findings of each code; the last one kept says how many more there are. */
export function limitPerCode(problems: readonly Problem[]): readonly Problem[] {
  const counts = new Map<ProblemCode, number>();
  for (const { code } of problems) counts.set(code, (counts.get(code) ?? 0) + 1);
  const kept = new Map<ProblemCode, number>();
  return problems.flatMap((problem) => {
    const nth = (kept.get(problem.code) ?? 0) + 1;
    kept.set(problem.code, nth);
    const more = (counts.get(problem.code) ?? 0) - MAX_PER_CODE;
    if (nth > MAX_PER_CODE) return [];
    return nth === MAX_PER_CODE && more > 0 ? [{ ...problem, message: `${problem.message} (and ${more} more of this kind)` }] : [problem];
  });
}

export const hasErrors = (problems: readonly Problem[]): boolean => problems.some((problem) => problem.severity === 'error');
