import { randomUUID } from 'node:crypto';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
/** 128 bits in Crockford's base 32: the first character holds three of them. */
const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/i;
const HEX = /^[0-9a-f]{32}$/i;

/** The caller's correlation id when it is a UUID, a ULID or 32 hex digits, as it was sent; else a new UUID. Anything else could carry personal data into the audit. */
export function correlationIdFrom(header: string | undefined): string {
  return header !== undefined && (UUID.test(header) || ULID.test(header) || HEX.test(header)) ? header : randomUUID();
}
