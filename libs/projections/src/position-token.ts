import { canonicalJson } from '#lib/canonical';
import type { LogId, Offset } from '#lib/log';

/** Where a record stands: what a caller gets with an accepted command and may ask reads to have reached. */
export interface RecordPosition {
  readonly logId: LogId;
  readonly partition: number;
  readonly offset: Offset;
}

const MAX_TOKEN_CHARACTERS = 300;

/** Opaque to callers: base64url of canonical JSON. */
export function encodePosition({ logId, partition, offset }: RecordPosition): string {
  return Buffer.from(canonicalJson({ l: logId, o: offset, p: partition }), 'utf8').toString('base64url');
}

/** Undefined for anything that `encodePosition` does not write, to the letter. */
export function decodePosition(token: unknown): RecordPosition | undefined {
  if (typeof token !== 'string' || token.length > MAX_TOKEN_CHARACTERS) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(token, 'base64url').toString('utf8'));
  } catch {
    // Not JSON: not one of ours, and the caller is told so.
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { l, o, p } = value as { readonly [key: string]: unknown };
  if (typeof l !== 'string' || !isCount(o) || !isCount(p)) return undefined;
  const position = { logId: l, partition: p, offset: o };
  return l.isWellFormed() && encodePosition(position) === token ? position : undefined;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
