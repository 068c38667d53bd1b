/** A value that canonical JSON can hold: no floats, no undefined, no class instances. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Deeper values are refused, so that hostile input cannot exhaust the stack. */
export const MAX_CANONICAL_DEPTH = 64;

/** A value outside canonical JSON; `path` says where it sits, e.g. `events[0].turn`. */
export class NotCanonical extends TypeError {
  constructor(
    readonly path: string,
    reason: string,
  ) {
    super(`${path === '' ? 'value' : path}: ${reason}`);
    this.name = 'NotCanonical';
  }
}

/**
 * RFC 8785 (JCS) text of a value, restricted to safe integers: the one form that is hashed, signed and stored.
 * Serialises and validates in one pass because it runs for every record.
 * @throws NotCanonical on undefined, functions, non-integers, unsafe integers, lone surrogates, class instances, depth over 64.
 */
export function canonicalJson(value: unknown): string {
  return write(value, '', 0);
}

function write(value: unknown, path: string, depth: number): string {
  switch (typeof value) {
    case 'string':
      return quote(value, path);
    case 'number':
      if (!Number.isSafeInteger(value)) throw new NotCanonical(path, `${value} is not a safe integer`);
      return String(value);
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object':
      if (value === null) return 'null';
      if (depth >= MAX_CANONICAL_DEPTH) throw new NotCanonical(path, `nested deeper than ${MAX_CANONICAL_DEPTH}`);
      return Array.isArray(value) ? writeArray(value, path, depth) : writeObject(value, path, depth);
    default:
      throw new NotCanonical(path, `${typeof value} has no JSON form`);
  }
}

function writeArray(values: readonly unknown[], path: string, depth: number): string {
  if (values.length === 0) return '[]';
  let text = '[';
  for (let i = 0; i < values.length; i++) {
    if (i > 0) text += ',';
    text += write(values[i], `${path}[${i}]`, depth + 1);
  }
  return text + ']';
}

function writeObject(value: object, path: string, depth: number): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) throw new NotCanonical(path, 'class instances have no canonical form');
  // Default sort compares UTF-16 code units, as RFC 8785 §3.2.3 asks.
  const keys = Object.keys(value).sort();
  let text = '{';
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string;
    if (i > 0) text += ',';
    text += quote(key, path) + ':' + write((value as Record<string, unknown>)[key], path === '' ? key : `${path}.${key}`, depth + 1);
  }
  return text + '}';
}

function quote(text: string, path: string): string {
  if (!text.isWellFormed()) throw new NotCanonical(path, 'contains a lone surrogate');
  return JSON.stringify(text);
}
