import type { z } from 'zod';
import { problemOf } from './lint-rules.js';
import { isInheritedName } from './names.js';
import { pointer, type Problem, type ProblemCode, type ProblemPlace } from './problem.js';

/*
 * What stands between hostile input and the schema: an unbounded, deep, cyclic or prototype-naming value never reaches it,
 * and the schema's own findings become problems with stable codes.
 */

/** Deeper input is refused; a guard's tree of the greatest depth fits. */
const MAX_INPUT_DEPTH = 48;
/** Values of any kind in one story; bounds what shared YAML aliases may unfold to. */
const MAX_INPUT_VALUES = 2_000_000;
/** More findings than this help nobody. */
export const MAX_PROBLEMS = 500;

type Path = readonly (string | number)[];

/** Finds what JSON cannot hold, or must not; without recursion. */
export function refuseHostile(input: unknown): readonly Problem[] {
  const problems: Problem[] = [];
  const report = (code: ProblemCode, path: Path, message: string) => problems.push(problemOf(code, placeAt(path, input), message));
  const stack: { value: unknown; path: Path }[] = [{ value: input, path: [] }];
  let values = 0;
  for (let top = stack.pop(); top !== undefined && problems.length < MAX_PROBLEMS; top = stack.pop()) {
    const { value, path } = top;
    if (++values > MAX_INPUT_VALUES) {
      report('FAB-G003', [], `the story holds more than ${MAX_INPUT_VALUES} values`);
      break;
    }
    if (typeof value === 'string') {
      if (!value.isWellFormed()) report('FAB-G005', path, 'this text holds half a character (a lone surrogate)');
      else if (value.includes('\0')) report('FAB-G005', path, 'this text holds U+0000');
    } else if (typeof value === 'number') {
      if (!Number.isSafeInteger(value)) report('FAB-G001', path, `${value} is not a whole number that fits`);
    } else if (typeof value === 'object' && value !== null) {
      if (path.length >= MAX_INPUT_DEPTH) {
        report('FAB-G003', path.slice(0, 8), `this is nested deeper than ${MAX_INPUT_DEPTH}`);
        break;
      }
      if (Array.isArray(value)) for (let i = value.length - 1; i >= 0; i--) stack.push({ value: value[i], path: [...path, i] });
      else pushEntries(value, path, stack, report);
    } else if (value !== undefined && value !== null && typeof value !== 'boolean')
      report('FAB-G001', path, `${typeof value} has no JSON form`);
  }
  return problems;
}

function pushEntries(
  value: object,
  path: Path,
  stack: { value: unknown; path: Path }[],
  report: (code: ProblemCode, path: Path, message: string) => void,
): void {
  const prototype: unknown = Object.getPrototypeOf(value);
  // Plain maps of another realm (workers, test runners) have another Object.prototype; what all of them share is that nothing is above it.
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null)
    return void report('FAB-G001', path, 'this is not a plain map (a date needs quotes)');
  for (const key of Object.keys(value).toReversed()) {
    if (isInheritedName(key)) report('FAB-G004', path, `\`${key}\` cannot be a name`);
    else if (!key.isWellFormed() || key.includes('\0')) report('FAB-G005', path, 'a key holds U+0000 or half a character');
    else stack.push({ value: (value as { [key: string]: unknown })[key], path: [...path, key] });
  }
}

const child = (value: unknown, key: string | number): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as { [key: string | number]: unknown })[key]
    : undefined;

/** The place of a path, with the ids that people know. */
export function placeAt(path: Path, input: unknown): ProblemPlace {
  const [room, id, part, index] = path;
  const place = { path: pointer(path) };
  if (room === 'variables' && id !== undefined) return { ...place, variable: String(id) };
  if (room !== 'passages' || id === undefined) return place;
  const named = { ...place, passage: String(id) };
  if (part !== 'choices' || index === undefined) return named;
  const choiceId = child(child(child(child(child(input, 'passages'), id), 'choices'), index), 'id');
  return typeof choiceId === 'string' ? { ...named, choice: choiceId.slice(0, 80) } : named;
}

/** The schema's issues as problems, in the order found. */
export function problemsOf(error: z.ZodError, input: unknown): readonly Problem[] {
  return error.issues.flatMap((issue) => translate(issue, [], input)).slice(0, MAX_PROBLEMS);
}

type Issue = z.core.$ZodIssue;

function translate(issue: Issue, above: Path, input: unknown): readonly Problem[] {
  const path = [...above, ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))];
  const one = (code: ProblemCode, message: string) => [problemOf(code, placeAt(path, input), message)];
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => problemOf('FAB-G002', placeAt([...path, key], input), `there is no field \`${clip(key)}\` here`));
    case 'invalid_key':
      return one('FAB-G004', `\`${clip(String(path.at(-1)))}\`: ${issue.issues[0]?.message ?? 'not a valid name'}`);
    case 'too_big':
    case 'too_small':
      return one('FAB-G003', issue.message);
    case 'custom':
      return one(codeIn(issue.params) ?? 'FAB-G001', issue.message);
    case 'invalid_union':
      return unionProblems(issue, path, input) ?? one('FAB-G001', `this has none of the allowed forms`);
    default:
      return one('FAB-G001', issue.message);
  }
}

const clip = (text: string): string => (text.length > 80 ? `${text.slice(0, 80)}…` : text);
const codeIn = (params: unknown): ProblemCode | undefined => {
  const code = child(params, 'code');
  return typeof code === 'string' && code.startsWith('FAB-G') ? (code as ProblemCode) : undefined;
};

/** Of several forms the author meant the one with the fewest findings; a plain mismatch of type says nothing about it. */
function unionProblems(issue: Extract<Issue, { code: 'invalid_union' }>, path: Path, input: unknown): readonly Problem[] | undefined {
  const meant = issue.errors
    .filter((branch) => !branch.some((inner) => inner.path.length === 0 && inner.code === 'invalid_type'))
    .toSorted((a, b) => weight(a) - weight(b))[0];
  return meant === undefined || meant.length === 0 ? undefined : meant.flatMap((inner) => translate(inner, path, input));
}

const weight = (issues: readonly Issue[]): number =>
  issues.reduce(
    (sum, issue) => sum + (issue.code === 'unrecognized_keys' ? 1 + issue.keys.length : issue.code === 'invalid_type' ? 1.5 : 1),
    0,
  );
