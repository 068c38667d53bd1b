import { type CanActivate, type ExecutionContext, Injectable, SetMetadata } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { GqlExecutionContext } from '@nestjs/graphql';
import type { FastifyRequest } from 'fastify';
import type { AccessEvent } from '#lib/audit';
import { FabulaError, type UserRole } from '#lib/platform';
import { defaultEvent } from '../access/access-hook.js';
import type { AccessRule, Telling } from '../access/access-trail.js';
import { requireRole, type RequestContext } from './auth.js';

export const ALLOWED = 'fabula:roles';
export const SEPARATED = 'fabula:separated';
export const RECORDED = 'fabula:recorded';

/** Which roles may call a controller or one of its methods; the method's word counts. A method without any is refused. */
export const Roles = (...roles: readonly UserRole[]): ReturnType<typeof SetMetadata> => SetMetadata(ALLOWED, roles);
/** Roles that may not do this, whatever other roles the same person has: duties that must not meet. */
export const Separated = (...roles: readonly UserRole[]): ReturnType<typeof SetMetadata> => SetMetadata(SEPARATED, roles);
/** As what the access log tells a call, and when; without it a `GET` is a `sensitive_read` and all else `authz_admin`, told before the answer. */
export const Recorded = (event: AccessEvent, telling: Telling = 'before-answer'): ReturnType<typeof SetMetadata> =>
  SetMetadata(RECORDED, { event, telling } satisfies AccessRule);
/** For what everybody may see: health, metrics, the API's own description. */
export const Public = (): ReturnType<typeof SetMetadata> => SetMetadata(ALLOWED, []);

@Injectable()
export class RolesGuard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    const declared = [context.getHandler(), context.getClass()];
    const allowed = this.reflector.getAllAndOverride<readonly UserRole[] | undefined>(ALLOWED, declared);
    if (allowed === undefined) return false;
    if (context.getType<string>() !== 'http') {
      requireRole(GqlExecutionContext.create(context).getContext<RequestContext>().caller, ...allowed);
      return true;
    }
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const recorded = this.reflector.getAllAndOverride<AccessRule | undefined>(RECORDED, declared);
    const { caller, access } = request.fabula;
    access.rule = allowed.length === 0 ? 'public' : (recorded ?? { event: defaultEvent(request.method), telling: 'before-answer' });
    if (allowed.length === 0) return true;
    const { roles } = requireRole(caller, ...allowed);
    const separated = this.reflector.getAllAndOverride<readonly UserRole[] | undefined>(SEPARATED, declared) ?? [];
    const conflicting = separated.find((role) => roles.has(role));
    if (conflicting !== undefined)
      throw new FabulaError('FORBIDDEN', `Nobody with the role ${conflicting} may do this: take a token without it.`);
    return true;
  }
}
