/*
 * What may be a name. Ids are keys of plain objects in state, events and read models, so whatever an object inherits is refused everywhere:
 * no map of ours can then be tricked into reading or writing a prototype.
 */

const inherited: ReadonlySet<string> = new Set([
  '__proto__',
  '__defineGetter__',
  '__defineSetter__',
  '__lookupGetter__',
  '__lookupSetter__',
  'constructor',
  'hasOwnProperty',
  'isPrototypeOf',
  'propertyIsEnumerable',
  'prototype',
  'toLocaleString',
  'toString',
  'valueOf',
]);

/** CEL's reserved words, and the names guards give a meaning of their own. */
const reserved: ReadonlySet<string> = new Set(
  (
    'true false null in as break const continue else for function if import let loop package namespace return var void while ' +
    'turn visits chosen size'
  ).split(' '),
);

/** Names that plain objects inherit; refused as keys of any map. */
export const isInheritedName = (name: string): boolean => inherited.has(name);
export const isReservedWord = (name: string): boolean => reserved.has(name);

/** A story's id names a stream, so it has no blanks: letters, digits and `_ . -`, at most 120 characters. */
export const isStoryId = (id: string): boolean => /^[A-Za-z0-9][A-Za-z0-9_.-]{0,119}$/.test(id) && !inherited.has(id);

/** Passage ids may be Twine names: any printable Unicode without `/` and outer blanks, at most 120 UTF-16 units. */
export const isPassageId = (id: string): boolean =>
  id.length > 0 && id.length <= 120 && id.isWellFormed() && id.trim() === id && !/[\p{Cc}\u2028\u2029/]/u.test(id) && !inherited.has(id);

/** Unique within the passage only; has no `:` so that it cannot look like a storylet's offer. */
export const isChoiceId = (id: string): boolean => /^[a-z0-9][a-z0-9_.-]{0,79}$/.test(id) && !inherited.has(id);

export const isVariableName = (name: string): boolean =>
  /^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(name) && !reserved.has(name) && !inherited.has(name);

/** Members of enums and sets, tags, endings: printable, at most 120 UTF-16 units. */
export const isMember = (text: string): boolean =>
  text.length > 0 && text.length <= 120 && text.isWellFormed() && text.trim() === text && !/\p{Cc}/u.test(text) && !inherited.has(text);

/** Compares by UTF-16 code units: the one order for everything that is hashed, in any locale. */
export const byCodeUnits = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Members of a set in their one order, without repetition. */
export const sortedMembers = (members: readonly string[]): readonly string[] => [...new Set(members)].sort();
