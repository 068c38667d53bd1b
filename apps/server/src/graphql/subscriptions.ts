import type { Server } from 'node:http';
import { GraphQLError, getOperationAST, parse, type GraphQLSchema } from 'graphql';
import { CloseCode } from 'graphql-ws';
import { useServer, type Extra } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';
import type { AccessRecorder } from '#lib/audit';
import { FabulaError, type Logger } from '#lib/platform';
import { admitSubscription, refuseSocket, tellSubscription } from '../access/subscription-accesses.js';
import type { Authenticator, Caller, RequestContext } from '../http/auth.js';
import { correlationIdOf } from '../http/correlation.js';
import { publicError } from './graphql-errors.js';
import { assertWithinLimits, type QueryLimits } from './query-limits.js';

/** A client sends small documents only. */
const MAX_MESSAGE_BYTES = 64 * 1024;
const MAX_SUBSCRIPTIONS_PER_SOCKET = 50;
const MAX_SOCKETS = 10_000;

interface SocketState {
  caller?: Caller;
  expiry?: NodeJS.Timeout;
}

/**
 * GraphQL subscriptions over `graphql-transport-ws` on `/graphql`. The token travels in `connection_init`
 * (`{token}` or `{authorization: "Bearer …"}`); a refused or expired one closes the socket with 4403.
 */
export function serveSubscriptions(
  http: Server,
  schema: GraphQLSchema,
  authenticator: Authenticator,
  recorder: AccessRecorder,
  limits: QueryLimits,
  logger: Logger,
): { close(): Promise<void> } {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES, handleProtocols: () => 'graphql-transport-ws' });
  http.on('upgrade', (request, socket, head) => {
    const path = (request.url ?? '').split('?')[0];
    if (path !== '/graphql' || sockets.clients.size >= MAX_SOCKETS) {
      socket.end(`HTTP/1.1 ${path === '/graphql' ? '503 Service Unavailable' : '404 Not Found'}\r\nConnection: close\r\n\r\n`);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (client) => sockets.emit('connection', client, request));
  });

  const server = useServer<Record<string, unknown>, SocketState & Record<PropertyKey, unknown>>(
    {
      schema,
      connectionInitWaitTimeout: 5_000,
      onConnect: async (context) => {
        const token = tokenOf(context.connectionParams);
        try {
          const caller = await authenticator.authenticate(token);
          context.extra.caller = caller;
          context.extra.expiry = setTimeout(
            () => context.extra.socket.close(CloseCode.Forbidden, 'the token has expired'),
            Math.min(caller.expiresAt - Date.now(), 2 ** 31 - 1),
          ).unref();
          return true;
        } catch (error) {
          if (!(error instanceof FabulaError)) throw error;
          refuseSocket(recorder, error, correlationIdOf(context.extra.request.headers['x-correlation-id']));
          return false; // graphql-ws closes with 4403
        }
      },
      onDisconnect: (context) => clearTimeout(context.extra.expiry),
      onSubscribe: async (context, _id, payload) => {
        if (Object.keys(context.subscriptions).length > MAX_SUBSCRIPTIONS_PER_SOCKET) {
          return [located(new FabulaError('RATE_LIMITED', `a socket carries at most ${MAX_SUBSCRIPTIONS_PER_SOCKET} subscriptions`))];
        }
        try {
          const document = parse(payload.query, { maxTokens: 2_000 });
          if (getOperationAST(document, payload.operationName)?.operation !== 'subscription') {
            throw new FabulaError('BAD_INPUT', 'the socket takes subscriptions only; send queries and mutations by POST /graphql');
          }
          const { caller, request } = context.extra;
          await admitSubscription(recorder, caller, document, correlationIdOf(request.headers['x-correlation-id']));
          assertWithinLimits(limits, schema, document, payload.variables ?? {}, payload.operationName ?? undefined);
        } catch (error) {
          return [located(error)];
        }
        return undefined;
      },
      context: (context): RequestContext => ({
        caller: context.extra.caller,
        correlationId: correlationIdOf(context.extra.request.headers['x-correlation-id']),
        access: {},
      }),
      onOperation: async (_context, _id, _payload, args, result) => {
        const refused = await tellSubscription(recorder, args, result);
        return refused === undefined ? undefined : { errors: [located(refused)] };
      },
      onError: (context, id, _payload, errors) => errors.map((error) => asGraphQLError(error, context.extra, id, logger)),
      onNext: (context, id, _payload, _args, result) =>
        result.errors === undefined
          ? undefined
          : { ...result, errors: result.errors.map((error) => asGraphQLError(error, context.extra, id, logger)) },
    },
    sockets,
  );
  return {
    close: async () => {
      await server.dispose();
      await new Promise<void>((resolve) => sockets.close(() => resolve()));
    },
  };
}

function tokenOf(parameters: Readonly<Record<string, unknown>> | undefined): string | undefined {
  const { token, authorization, Authorization } = parameters ?? {};
  const given = token ?? authorization ?? Authorization;
  return typeof given === 'string' ? given.replace(/^Bearer /i, '') : undefined;
}

/** An error as `onError` takes it, which makes it public: only there, for what is public already has lost its code's origin. */
function located(error: unknown): GraphQLError {
  if (error instanceof GraphQLError) return error;
  return new GraphQLError('', { originalError: error instanceof Error ? error : new Error(String(error)) });
}

function asGraphQLError(error: unknown, extra: Extra, id: string, logger: Logger): GraphQLError {
  return publicError(error, correlationIdOf(extra.request.headers['x-correlation-id']), logger, { subscription: id });
}
