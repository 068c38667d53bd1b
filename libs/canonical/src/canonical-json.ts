/** A value that canonical JSON can hold: no floats, no undefined, no class instances. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Deeper values are refused, so that hostile input cannot exhaust the stack. */
export const MAX_CANONICAL_DEPTH = 64;

/** A value outside canonical JSON; `path` says where it sits, e.g. `events[0].turn`. */
export class NotCanonical extends TypeError {
  constructor(
    readonly path: string,
    readonly reason: string,
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
  try {
    return write(value, 0);
  } catch (error) {
    // Keeping track of the path would cost every value; the rare refused one is walked again to find it.
    throw error instanceof NotCanonical ? new NotCanonical(pathOf(value, 0), error.reason) : error;
  }
}

function write(value: unknown, depth: number): string {
  switch (typeof value) {
    case 'string':
      return quote(value);
    case 'number':
      if (!Number.isSafeInteger(value)) throw new NotCanonical('', `${value} is not a safe integer`);
      return String(value);
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object':
      if (value === null) return 'null';
      if (depth >= MAX_CANONICAL_DEPTH) throw new NotCanonical('', `nested deeper than ${MAX_CANONICAL_DEPTH}`);
      return Array.isArray(value) ? writeArray(value, depth) : writeObject(value, depth);
    default:
      throw new NotCanonical('', `${typeof value} has no JSON form`);
  }
}

function writeArray(values: readonly unknown[], depth: number): string {
  if (values.length === 0) return '[]';
  let text = '[';
  for (let i = 0; i < values.length; i++) {
    if (i > 0) text += ',';
    text += write(values[i], depth + 1);
  }
  return text + ']';
}

function writeObject(value: object, depth: number): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) throw new NotCanonical('', 'class instances have no canonical form');
  const keys = sortedKeys(value);
  let text = '{';
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string;
    if (i > 0) text += ',';
    text += quote(key) + ':' + write((value as Record<string, unknown>)[key], depth + 1);
  }
  return text + '}';
}

/** Most objects are made with their keys in order, and looking is cheaper than sorting. */
function sortedKeys(value: object): readonly string[] {
  const keys = Object.keys(value);
  for (let i = 1; i < keys.length; i++) {
    // Default sort compares UTF-16 code units, as RFC 8785 §3.2.3 asks; so does `<`.
    if ((keys[i] as string) < (keys[i - 1] as string)) return keys.sort();
  }
  return keys;
}

/** Printable ASCII that needs no escape: nearly all ids, names and hashes. */
const PLAIN = /^[ !#-[\]-~]*$/;

function quote(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`;
  if (!text.isWellFormed()) throw new NotCanonical('', 'contains a lone surrogate');
  return JSON.stringify(text);
}

/** Path of the first value within `value` that cannot be written; '' when it is `value` itself (a key of it included). */
function pathOf(value: unknown, depth: number): string {
  if (typeof value !== 'object' || value === null || depth >= MAX_CANONICAL_DEPTH) return '';
  const isArray = Array.isArray(value);
  for (const key of isArray ? value.keys() : Object.keys(value).sort()) {
    if (typeof key === 'string' && !key.isWellFormed()) return '';
    const member: unknown = (value as Record<string | number, unknown>)[key];
    try {
      write(member, depth + 1);
    } catch {
      // Found: what is wrong inside is all the same here, its place is asked for.
      const inner = pathOf(member, depth + 1);
      return (isArray ? `[${key}]` : String(key)) + (inner === '' || inner.startsWith('[') ? inner : `.${inner}`);
    }
  }
  return '';
}
