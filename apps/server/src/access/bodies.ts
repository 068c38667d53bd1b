import { createHash } from 'node:crypto';
import { canonicalJson, type Json } from '#lib/canonical';
import type { RecordedEvent } from '#lib/decision';
import type { UserRole } from '#lib/platform';
import type { RequestContext } from '../http/auth.js';
import { requireRole } from '../http/auth.js';

/** Whether somebody has opened the glass, for a reason and a time that are recorded. */
export interface BreakGlass {
  open(actor: string, now: number): Promise<boolean>;
}
const CLOSED: BreakGlass = { open: () => Promise.resolve(false) };

/** Who may see what records hold. Operators see that something is there: its type, size and digest. */
export class Bodies {
  breakGlass: BreakGlass = CLOSED;

  constructor(private readonly now: () => number) {}

  /** @param roles whoever has one of these may always; everybody else only behind broken glass, which the access log then says */
  async shownTo({ caller, access }: RequestContext, ...roles: readonly UserRole[]): Promise<boolean> {
    const { actor, roles: own } = requireRole(caller);
    if (roles.some((role) => own.has(role))) return true;
    const open = await this.breakGlass.open(actor, this.now());
    access.target = { ...access.target, bodies: open ? 'break-glass' : 'withheld' };
    return open;
  }
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
