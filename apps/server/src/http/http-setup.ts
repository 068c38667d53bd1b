import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import underPressure from '@fastify/under-pressure';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { FabulaError, type Config, type Logger, type Span, type Tracing } from '#lib/platform';
import type { AccessRecorder } from '#lib/audit';
import { tellAccesses } from '../access/access-hook.js';
import { DocumentGate } from '../graphql/document-gate.js';
import { bearerOf, type Authenticator, type RequestContext } from './auth.js';
import { correlationIdOf } from './correlation.js';
import { asFabulaError, problemJson } from './problem.js';
import { endRequestSpan, startRequestSpan } from './request-span.js';
import { parseStrictJson } from './strict-json.js';

declare module 'fastify' {
  interface FastifyRequest {
    fabula: RequestContext;
    /** Why there is no caller, when a token was sent. */
    refusal: FabulaError | undefined;
    span: Span | undefined;
  }
}

const IMPORT_PATH = '/admin/stories';
/** A story in any format travels as the raw body of an import. */
const TEXT_BODIES = ['text/plain', 'application/yaml', 'application/x-yaml', 'text/yaml', 'text/x-twee', 'text/vnd.yaml'];

/** What holds for every request: correlation id, caller, limits, strict bodies, headers, and one shape of error. */
export async function setUpHttp(
  app: NestFastifyApplication,
  config: Config,
  authenticator: Authenticator,
  recorder: AccessRecorder,
  tracing: Tracing,
  logger: Logger,
): Promise<void> {
  const fastify = app.getHttpAdapter().getInstance();
  // Nest's filter sees what controllers throw; hooks, body parsers and plain routes end here.
  fastify.setErrorHandler((error, request, reply) => answerError(error, request, reply, logger));
  fastify.decorateRequest('fabula');
  fastify.decorateRequest('refusal');
  fastify.decorateRequest('span');

  fastify.addHook('onRequest', async (request: FastifyRequest, reply: FastifyReply) => {
    const correlationId = correlationIdOf(request.headers['x-correlation-id']);
    void reply.header('x-correlation-id', correlationId);
    request.span = startRequestSpan(tracing, request, correlationId);
    const trace = request.span?.headers;
    request.fabula = { caller: undefined, correlationId, trace, access: {} };
    if (request.headers.authorization === undefined) return;
    try {
      const caller = await authenticator.authenticate(bearerOf(request.headers.authorization));
      request.fabula = { ...request.fabula, caller };
    } catch (error) {
      if (!(error instanceof FabulaError)) throw error;
      request.refusal = error;
    }
  });
  // A token that was sent and is wrong is answered so, even where none is needed.
  fastify.addHook('preParsing', async (request: FastifyRequest) => {
    if (request.refusal !== undefined) throw request.refusal;
  });

  tellAccesses(fastify, recorder, () => Date.now());
  const gate = new DocumentGate();
  fastify.addHook('preValidation', async (request: FastifyRequest) => {
    if (isGraphql(request)) request.body = gate.admit(request.method, request.body);
  });

  await app.register(helmet, {
    contentSecurityPolicy: {
      directives: {
        defaultSrc: ["'self'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'"],
        imgSrc: ["'self'", 'data:'],
        connectSrc: ["'self'", 'ws:', 'wss:'],
        workerSrc: ["'self'", 'blob:'],
        objectSrc: ["'none'"],
        frameAncestors: ["'none'"],
        // Plain HTTP on loopback is the default way to run; upgrading would break every page there.
        upgradeInsecureRequests: null,
      },
    },
    hsts: config.production,
  });
  await app.register(underPressure, {
    maxEventLoopDelay: 2_000,
    retryAfter: 1,
    pressureHandler: () => refuseWhenLate(),
    healthCheckInterval: 0,
  });
  if (config.requestsPerMinute > 0) {
    await app.register(rateLimit, {
      max: config.requestsPerMinute,
      timeWindow: 60_000,
      cache: 50_000,
      keyGenerator: (request: FastifyRequest) => request.fabula.caller?.actor ?? request.ip,
      allowList: (request: FastifyRequest) => request.url.startsWith('/health/') || request.url.startsWith('/internal/'),
      errorResponseBuilder: (_request, { ttl }) => new FabulaError('RATE_LIMITED', 'Too many requests.', { retryAfterMs: ttl }),
    });
  }

  fastify.removeContentTypeParser('application/json');
  fastify.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    try {
      // A story is read by its importer, which knows lines and columns; everything else is a request of ours.
      done(null, request.routeOptions.url === IMPORT_PATH ? body : parseStrictJson(body as string));
    } catch (error) {
      done(error as Error);
    }
  });
  fastify.addContentTypeParser(TEXT_BODIES, { parseAs: 'buffer' }, (_request, body, done) => {
    try {
      done(null, new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body as Buffer));
    } catch {
      // The decoder says nothing more than that the bytes are not UTF-8.
      done(new FabulaError('BAD_INPUT', 'the body is not UTF-8'));
    }
  });
  fastify.addHook('onResponse', async (request: FastifyRequest, reply: FastifyReply) => {
    const { method, url } = request;
    if (request.span !== undefined) endRequestSpan(request.span, request, reply);
    logger.debug(
      {
        correlationId: request.fabula?.correlationId,
        ...(request.span?.traceId !== undefined && { traceId: request.span.traceId }),
        method,
        url: url.split('?')[0],
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
      },
      'request',
    );
  });
}

const isGraphql = (request: FastifyRequest): boolean => request.url.split('?')[0] === '/graphql';

function refuseWhenLate(): never {
  throw new FabulaError('OVERLOADED', 'The server is busy.');
}

/** REST errors as RFC 9457 problems, GraphQL errors in GraphQL's own shape with HTTP 200; the details of unexpected ones go to the log only. */
export function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply, logger: Logger): void {
  const correlationId = request.fabula?.correlationId ?? correlationIdOf(request.headers['x-correlation-id']);
  const problem = asFabulaError(error);
  if (request.fabula !== undefined) request.fabula.access.outcome = problem.code;
  if (problem.code === 'INTERNAL')
    logger.error({ error, correlationId, method: request.method, url: request.url.split('?')[0] }, 'request failed');
  if (problem.retryAfterMs !== undefined) void reply.header('retry-after', Math.max(1, Math.ceil(problem.retryAfterMs / 1_000)));
  if (isGraphql(request)) {
    const { code, message, retryable, retryAfterMs, details } = problem;
    const extensions = { ...details, code, retryable, ...(retryAfterMs === undefined ? {} : { retryAfterMs }), correlationId };
    void reply
      .status(200)
      .type('application/json')
      .send({ data: null, errors: [{ message, extensions }] });
    return;
  }
  void reply.status(problem.status).type('application/problem+json').send(problemJson(problem, correlationId));
}
