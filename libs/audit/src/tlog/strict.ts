/*
 * Parsing that accepts exactly one spelling of each value. JavaScript's own parsers are too kind for evidence:
 * BigInt('') is 0n, BigInt('0x10') is 16n, and Buffer.from('AA-_!!AA', 'base64') succeeds.
 */

const DECIMAL = /^(?:0|[1-9][0-9]{0,18})$/;
const HEX = /^(?:[0-9a-f]{2})*$/;
const MAX_COUNT = 2n ** 63n - 1n;

/** A count below 2^63 without sign, spaces or leading zeros; undefined when it is anything else. */
export function parseDecimal(text: string): bigint | undefined {
  if (!DECIMAL.test(text)) return undefined;
  const value = BigInt(text);
  return value <= MAX_COUNT ? value : undefined;
}

/** Standard padded base64 of exactly those bytes (`length`, when given); undefined when another text decodes to the same. */
export function parseBase64(text: string, length?: number): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) return undefined;
  return length === undefined || bytes.length === length ? bytes : undefined;
}

/** Lower-case hex; undefined for anything else. */
export function parseHex(text: string, length?: number): Buffer | undefined {
  if (!HEX.test(text)) return undefined;
  return length === undefined || text.length === 2 * length ? Buffer.from(text, 'hex') : undefined;
}
