import fs from 'node:fs';
import path from 'node:path';
import type { MercuriusDriverConfig } from '@nestjs/mercurius';
import { MercuriusDriver } from '@nestjs/mercurius';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { GraphQLError, type DocumentNode, type GraphQLSchema } from 'graphql';
import type { Logger } from '#lib/platform';
import type { RequestContext } from '../http/auth.js';
import { describeOperation } from '../access/graphql-operation.js';
import { publicError } from './graphql-errors.js';
import { assertWithinLimits, type QueryLimits } from './query-limits.js';
import { DateTimeScalar, JsonScalar, PositionScalar } from './scalars.js';

/** `schema.graphql` is the contract and the source; resolvers fulfil it. */
export function graphqlOptions(root: string, logger: Logger): MercuriusDriverConfig & { driver: typeof MercuriusDriver } {
  return {
    driver: MercuriusDriver,
    typeDefs: fs.readFileSync(path.join(root, 'schema.graphql'), 'utf8'),
    resolvers: { DateTime: DateTimeScalar, Position: PositionScalar, JSON: JsonScalar },
    // Subscriptions are served by graphql-ws: it speaks the protocol to the letter, close codes included.
    subscription: false,
    graphiql: false,
    jit: 1,
    context: (request: FastifyRequest): RequestContext => request.fabula,
    errorFormatter: (execution, context) => {
      const correlationId = (context as Partial<RequestContext> | undefined)?.correlationId ?? '';
      const errors = (execution.errors ?? [])
        .flatMap((error) => withoutWrapper(error))
        .map((error) => publicError(error, correlationId, logger));
      const trail = (context as Partial<RequestContext> | undefined)?.access;
      if (trail !== undefined && errors[0] !== undefined) trail.outcome = String(errors[0].extensions['code']);
      return { statusCode: 200, response: { data: execution.data ?? null, errors } };
    },
  };
}

/** Mercurius wraps the errors of a refused document in one of its own. */
function withoutWrapper(error: GraphQLError): readonly GraphQLError[] {
  const inner = (error.originalError as { errors?: readonly GraphQLError[] } | undefined)?.errors;
  return inner === undefined || inner.length === 0 ? [error] : inner;
}

/** Depth and cost are bounded before anything of a document runs. */
export function limitQueries(fastify: FastifyInstance, limits: QueryLimits): void {
  fastify.graphql.addHook(
    'preExecution',
    async (schema: GraphQLSchema, document: DocumentNode, context: unknown, variables: Record<string, unknown>) => {
      describeOperation((context as RequestContext).access, document, variables ?? {});
      assertWithinLimits(limits, schema, document, variables ?? {});
    },
  );
}
