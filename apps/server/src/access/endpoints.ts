import 'reflect-metadata';
import { RequestMethod, type Type } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import type { UserRole } from '#lib/platform';
import { ALLOWED, RECORDED, SEPARATED } from '../http/roles.js';
import { defaultEvent, graphqlRule } from './access-hook.js';
import type { AccessRule } from './access-trail.js';

/** One thing that can be asked of the server, and who may. */
export interface Endpoint {
  /** `GET`, `POST`…, or `query`, `mutation`, `subscription`. */
  readonly method: string;
  /** The route, or the field of a GraphQL operation. */
  readonly path: string;
  /** Empty: everybody, without a token. Undefined: nobody said, so nobody may. */
  readonly roles: readonly UserRole[] | undefined;
  /** Whoever has one of these may not, whatever else they have. */
  readonly separated: readonly UserRole[];
  /** What the access log says of staff who call it; undefined: nothing. */
  readonly rule: AccessRule | undefined;
}

const RESOLVER_TYPE = 'graphql:resolver_type';
const RESOLVER_NAME = 'graphql:resolver_name';
const ROOTS = ['Query', 'Mutation', 'Subscription'];

type Handler = (...given: never[]) => unknown;

/** What the decorators of these controllers and resolvers declare, in order of method and path: the one source of who may do what. */
export function endpointsOf(controllers: readonly Type[], resolvers: readonly Type[]): readonly Endpoint[] {
  return [...controllers.flatMap(restEndpoints), ...resolvers.flatMap(graphqlEndpoints)];
}

function restEndpoints(controller: Type): Endpoint[] {
  const base = textOf(Reflect.getMetadata(PATH_METADATA, controller));
  return handlersOf(controller).flatMap(({ handler }) => {
    const kind = Reflect.getMetadata(METHOD_METADATA, handler) as RequestMethod | undefined;
    if (kind === undefined) return [];
    const method = RequestMethod[kind];
    const path = `/${[base, textOf(Reflect.getMetadata(PATH_METADATA, handler))].flatMap((part) => part.split('/').filter(Boolean)).join('/')}`;
    const recorded = declared<AccessRule>(RECORDED, controller, handler) ?? {
      event: defaultEvent(method),
      telling: 'before-answer' as const,
    };
    return [endpoint(controller, handler, method, path, recorded)];
  });
}

function graphqlEndpoints(resolver: Type): Endpoint[] {
  return handlersOf(resolver).flatMap(({ name, handler }) => {
    const root = Reflect.getMetadata(RESOLVER_TYPE, handler) as string | undefined;
    if (root === undefined || !ROOTS.includes(root)) return [];
    const field = (Reflect.getMetadata(RESOLVER_NAME, handler) as string | undefined) ?? name;
    const method = root.toLowerCase();
    return [endpoint(resolver, handler, method, field, graphqlRule(method))];
  });
}

function endpoint(owner: Type, handler: Handler, method: string, path: string, rule: AccessRule): Endpoint {
  const roles = declared<readonly UserRole[]>(ALLOWED, owner, handler);
  const separated = declared<readonly UserRole[]>(SEPARATED, owner, handler) ?? [];
  return { method, path, roles, separated, rule: roles === undefined || roles.length === 0 ? undefined : rule };
}

/** The method's word counts before the class's, as for the guard. */
const declared = <T>(key: string, owner: Type, handler: Handler): T | undefined =>
  (Reflect.getMetadata(key, handler) ?? Reflect.getMetadata(key, owner)) as T | undefined;

function handlersOf(owner: Type): { readonly name: string; readonly handler: Handler }[] {
  const prototype = owner.prototype as Readonly<Record<string, unknown>>;
  return Object.getOwnPropertyNames(prototype).flatMap((name) => {
    const handler = name === 'constructor' ? undefined : Object.getOwnPropertyDescriptor(prototype, name)?.value;
    return typeof handler === 'function' ? [{ name, handler: handler as Handler }] : [];
  });
}

const textOf = (path: unknown): string => (typeof path === 'string' ? path : '');
