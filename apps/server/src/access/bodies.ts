import { createHash } from 'node:crypto';
import { canonicalJson, type Json } from '#lib/canonical';
import type { RecordedEvent } from '#lib/decision';
import type { UserRole } from '#lib/platform';
import { requireRole, type RequestContext } from '../http/auth.js';

/** Glass that somebody has broken: for a reason and a time that are recorded. */
export interface BrokenGlass {
  open(actor: string, now: number): Promise<{ readonly id: string } | undefined>;
}

/**
 * Whether a caller may see what records hold. Operators see that something is there: its type, size and digest.
 * @param roles whoever has one of these may always; everybody else only behind glass they have broken, which the access log then names
 */
export async function bodiesShown(
  { caller, access }: RequestContext,
  glass: BrokenGlass,
  now: number,
  ...roles: readonly UserRole[]
): Promise<boolean> {
  const { actor, roles: own } = requireRole(caller);
  if (roles.some((role) => own.has(role))) return true;
  const open = await glass.open(actor, now);
  access.target = { ...access.target, ...(open === undefined ? { bodies: 'withheld' } : { breakGlass: open.id }) };
  return open !== undefined;
}

/** An event as those see it who may not see what it says. */
export interface WithheldEvent {
  readonly type: string;
  readonly v: number;
  /** SHA-256 of the event as canonical JSON, and how many bytes that is. */
  readonly sha256: string;
  readonly bytes: number;
}

export function withheld(event: RecordedEvent): WithheldEvent {
  const bytes = Buffer.from(canonicalJson(event as unknown as Json), 'utf8');
  return { type: event.type, v: event.v, sha256: createHash('sha256').update(bytes).digest('hex'), bytes: bytes.length };
}
