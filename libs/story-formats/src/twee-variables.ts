import type { Variable } from '#lib/story';
import { excerpt } from './source-text.js';
import { readText, trimmed, writeText, type ClauseText } from './twee-clauses.js';
import type { PassageSource } from './twee-reader.js';

/*
 * The special passages StoryVariables and StoryEndings: one declaration a line.
 *   gold: int 0..99 = 10, public, label "Gold coins"
 *   mood: enum(calm, "very angry") = calm
 */

export interface AuthorVariable {
  readonly type: 'bool' | 'int' | 'enum' | 'set';
  readonly min?: number;
  readonly max?: number;
  readonly values?: readonly string[];
  readonly default?: boolean | number | string | readonly string[];
  readonly public?: boolean;
  readonly label?: string;
}

const EXAMPLE = 'gold: int 0..99 = 10, public';

/** Lines with content: blank ones and those that begin with `#` are left out. */
export function declarationLines(source: PassageSource): readonly ClauseText[] {
  const lines: ClauseText[] = [];
  let at = 0;
  for (const line of source.text.split('\n')) {
    const declaration = trimmed({ text: line, at });
    if (declaration.text !== '' && !declaration.text.startsWith('#')) lines.push(declaration);
    at += line.length + 1;
  }
  return lines;
}

/** `name: …` of one declaration line. */
export function declaredName(line: ClauseText): { readonly name: string; readonly rest: ClauseText } | undefined {
  const quoted = line.text.startsWith('"') ? readText(line) : undefined;
  const head = /^[^:"]+/.exec(line.text)?.[0] ?? '';
  const name = quoted?.value ?? head.trim();
  const rest = quoted?.rest ?? trimmed({ text: line.text.slice(head.length), at: line.at + head.length });
  return name === '' || !rest.text.startsWith(':') ? undefined : { name, rest: trimmed({ text: rest.text.slice(1), at: rest.at + 1 }) };
}

export function readVariable(rest: ClauseText): AuthorVariable | string {
  const type = /^(bool|int|enum|set)\b/.exec(rest.text)?.[1] as AuthorVariable['type'] | undefined;
  if (type === undefined) return 'the type must be bool, int, enum or set';
  const cursor = new Cursor({ text: rest.text.slice(type.length), at: rest.at + type.length });
  const variable: { -readonly [K in keyof AuthorVariable]: AuthorVariable[K] } = { type };
  if (type === 'int') {
    const range = cursor.match(/^(-?\d{1,16})\s*\.\.\s*(-?\d{1,16})/);
    if (range === null) return 'an int needs its bounds';
    variable.min = Number(range[1]);
    variable.max = Number(range[2]);
  } else if (type !== 'bool') {
    const values = cursor.list();
    if (values === undefined) return `${type} needs its values in brackets`;
    variable.values = values;
  }
  if (cursor.match(/^=/) !== null) {
    const value = type === 'set' ? cursor.list() : cursor.text();
    if (value === undefined) return 'the default is not understood';
    if (type === 'int' && !/^-?\d{1,16}$/.test(String(value))) return 'the default of an int is a whole number';
    if (type === 'bool' && value !== 'true' && value !== 'false') return 'the default of a bool is true or false';
    variable.default = type === 'int' ? Number(value) : type === 'bool' ? value === 'true' : value;
  }
  while (cursor.match(/^,/) !== null) {
    if (cursor.match(/^public\b/) !== null) variable.public = true;
    else if (cursor.match(/^label\b/) !== null) {
      const label = cursor.text();
      if (label === undefined) return 'the label is not understood';
      variable.label = label;
    } else break;
  }
  return cursor.atEnd() ? variable : `\`${excerpt(cursor.left(), 60)}\` is not understood`;
}

class Cursor {
  constructor(private rest: ClauseText) {
    this.rest = trimmed(rest);
  }

  match(pattern: RegExp): RegExpExecArray | null {
    const found = pattern.exec(this.rest.text);
    if (found !== null) this.rest = trimmed({ text: this.rest.text.slice(found[0].length), at: this.rest.at + found[0].length });
    return found;
  }

  text(): string | undefined {
    const bare = /^[^\s"',()]+/.exec(this.rest.text)?.[0];
    if (bare !== undefined) return this.match(/^[^\s"',()]+/)?.[0];
    const read = readText(this.rest);
    if (read === undefined) return undefined;
    this.rest = read.rest;
    return read.value;
  }

  list(): readonly string[] | undefined {
    if (this.match(/^\(/) === null) return undefined;
    const values: string[] = [];
    while (this.match(/^\)/) === null) {
      if (values.length > 0 && this.match(/^,/) === null) return undefined;
      const value = this.text();
      if (value === undefined) return undefined;
      values.push(value);
    }
    return values;
  }

  atEnd(): boolean {
    return this.rest.text === '';
  }

  left(): string {
    return this.rest.text;
  }
}

export function readStoryVariables(source: PassageSource): { readonly [name: string]: AuthorVariable } {
  const variables: { [name: string]: AuthorVariable } = {};
  for (const line of declarationLines(source)) {
    const declared = declaredName(line);
    const variable = declared === undefined ? 'a declaration is `name: type`' : readVariable(declared.rest);
    if (declared === undefined || typeof variable === 'string') source.problem(line.at, String(variable), `Write it like: ${EXAMPLE}`);
    else if (declared.name === '__proto__' || Object.hasOwn(variables, declared.name))
      source.problem(line.at, `the variable \`${excerpt(declared.name, 80)}\` cannot be declared (again)`, 'Take one declaration out.');
    else variables[declared.name] = variable;
  }
  return variables;
}

export function readStoryEndings(source: PassageSource): ReadonlyMap<string, string> {
  const endings = new Map<string, string>();
  for (const line of declarationLines(source)) {
    const declared = declaredName(line);
    if (declared === undefined) source.problem(line.at, 'an ending is `id: Title`', 'Write it like: home: Home again');
    else
      endings.set(declared.name, (declared.rest.text.startsWith('"') ? readText(declared.rest)?.value : undefined) ?? declared.rest.text);
  }
  return endings;
}

/** One declaration line; `readVariable` gives the same variable back. */
export function writeVariable(name: string, variable: Variable): string {
  const list = (values: readonly string[]): string => `(${values.map(writeText).join(', ')})`;
  const form =
    variable.type === 'int'
      ? `int ${variable.min}..${variable.max} = ${variable.default}`
      : variable.type === 'bool'
        ? `bool = ${String(variable.default)}`
        : variable.type === 'enum'
          ? `enum${list(variable.values)} = ${writeText(variable.default)}`
          : `set${list(variable.values)} = ${list(variable.default)}`;
  return `${name}: ${form}${variable.public ? ', public' : ''}${variable.label === undefined ? '' : `, label ${JSON.stringify(variable.label)}`}`;
}

export const writeEnding = (id: string, title: string): string => `${writeText(id)}: ${JSON.stringify(title)}`;
