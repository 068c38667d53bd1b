import { createHash } from 'node:crypto';
import { FabulaError, type TraceHeaders, type TokenVerifier, type UserRole } from '#lib/platform';
import type { AccessTrail } from '../access/access-trail.js';
import { beforeItsEffect } from './database-outage.js';

/** Who calls, as far as the token proves it. */
export interface Caller {
  /** Pseudonym that stands in records and leaves; the token's subject never does. */
  readonly actor: string;
  readonly roles: ReadonlySet<UserRole>;
  /** End of the token, ms since the epoch. */
  readonly expiresAt: number;
}

/** What every request carries on its way through resolvers, controllers and handlers. */
export interface RequestContext {
  readonly caller: Caller | undefined;
  readonly correlationId: string;
  /** Trace context of the request's span, while tracing is on. */
  readonly trace?: TraceHeaders | undefined;
  /** What the access log is told of it. */
  readonly access: AccessTrail;
}

/** What a command is told of the request it came with. */
export type Origin = Pick<RequestContext, 'correlationId' | 'trace'>;

/** Verifying a signature costs more than a whole turn; a verified token is remembered until it expires. */
const REMEMBERED_TOKENS = 20_000;

export class Authenticator {
  private readonly known = new Map<string, Caller>();
  private forgotten = 0;

  constructor(
    private readonly verifier: TokenVerifier,
    private readonly pseudonymOf: (subject: string) => Promise<string>,
    private readonly now: () => number,
  ) {}

  /** @throws FabulaError UNAUTHENTICATED; OVERLOADED while nobody can say who a new subject is */
  async authenticate(token: string | undefined): Promise<Caller> {
    if (token === undefined || token === '') throw new FabulaError('UNAUTHENTICATED', 'A bearer token is needed.');
    const key = createHash('sha256').update(token).digest('base64');
    const remembered = this.known.get(key);
    if (remembered !== undefined) {
      if (remembered.expiresAt > this.now()) return remembered;
      this.known.delete(key);
    }
    const { forgotten } = this;
    const { subject, roles, expiresAt } = await this.verifier.verify(token);
    const caller: Caller = { actor: await beforeItsEffect(this.pseudonymOf(subject)), roles, expiresAt };
    // Somebody was forgotten meanwhile, this one perhaps: not to be remembered, the next request asks anew.
    if (forgotten !== this.forgotten) return caller;
    if (this.known.size >= REMEMBERED_TOKENS) this.known.delete(this.known.keys().next().value as string);
    this.known.set(key, caller);
    return caller;
  }

  /** No token stands for that pseudonym any more; the person behind it gets a new one with its next request. */
  forget(pseudonym: string): void {
    this.forgotten += 1;
    // Erasures are rare: no second map is kept for them.
    for (const [key, { actor }] of this.known) if (actor === pseudonym) this.known.delete(key);
  }
}

/** The token of an `Authorization: Bearer …` header. */
export function bearerOf(header: string | undefined): string | undefined {
  return /^Bearer +([\x21-\x7e]+)$/i.exec(header ?? '')?.[1];
}

/**
 * The caller, if it has one of the roles; with none named, whoever it is.
 * @throws FabulaError UNAUTHENTICATED, FORBIDDEN
 */
export function requireRole(caller: Caller | undefined, ...allowed: readonly UserRole[]): Caller {
  if (caller === undefined) throw new FabulaError('UNAUTHENTICATED', 'A bearer token is needed.');
  if (allowed.length > 0 && !allowed.some((role) => caller.roles.has(role))) {
    throw new FabulaError('FORBIDDEN', `This needs the role ${allowed.join(' or ')}.`, { details: { role: allowed[0] } });
  }
  return caller;
}
