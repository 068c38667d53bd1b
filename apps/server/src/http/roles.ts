import { type CanActivate, type ExecutionContext, Injectable, SetMetadata } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { FastifyRequest } from 'fastify';
import type { UserRole } from '#lib/platform';
import { requireRole } from './auth.js';

const ALLOWED = 'fabula:roles';

/** Which roles may call a controller or one of its methods; the method's word counts. A method without any is refused. */
export const Roles = (...roles: readonly UserRole[]): ReturnType<typeof SetMetadata> => SetMetadata(ALLOWED, roles);
/** For what everybody may see: health, metrics, the API's own description. */
export const Public = (): ReturnType<typeof SetMetadata> => SetMetadata(ALLOWED, []);

@Injectable()
export class RolesGuard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    // Resolvers ask for roles themselves: a field's rule is part of what it does.
    if (context.getType<string>() !== 'http') return true;
    const allowed = this.reflector.getAllAndOverride<readonly UserRole[] | undefined>(ALLOWED, [context.getHandler(), context.getClass()]);
    if (allowed === undefined) return false;
    if (allowed.length === 0) return true;
    requireRole(context.switchToHttp().getRequest<FastifyRequest>().fabula.caller, ...allowed);
    return true;
  }
}
