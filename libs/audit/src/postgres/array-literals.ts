/*
 * Arrays as Postgres reads them. The driver would write them too, asking of each value what it is and quoting all texts: several times the work
 * for names that nearly always need no quotes.
 */

const PLAIN = /^[\w.:/-]+$/;
const NULL = /^null$/i;

export function textArray(values: readonly (string | null)[]): string {
  return `{${values.map((value) => (value === null ? 'NULL' : PLAIN.test(value) && !NULL.test(value) ? value : quoted(value))).join(',')}}`;
}

const quoted = (value: string): string => `"${value.replaceAll(/["\\]/g, String.raw`\$&`)}"`;

export function numberArray(values: readonly (number | bigint)[]): string {
  return `{${values.join(',')}}`;
}

export function booleanArray(values: readonly boolean[]): string {
  return `{${values.map((value) => (value ? 't' : 'f')).join(',')}}`;
}
