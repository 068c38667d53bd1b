import type { FastifyReply, FastifyRequest } from 'fastify';
import { traceHeadersFrom, type Span, type Tracing } from '#lib/platform';

/** Asked for by machines every few seconds, or continued elsewhere: no request of anybody's. */
const UNTRACED = ['/health/', '/metrics', '/internal/'];

/** The span of one request, continuing the caller's trace; undefined for what is not traced. */
export function startRequestSpan(tracing: Tracing, request: FastifyRequest, correlationId: string): Span | undefined {
  if (!tracing.on || UNTRACED.some((prefix) => request.url.startsWith(prefix))) return undefined;
  return tracing.start(request.method, {
    kind: 'server',
    parent: traceHeadersFrom(request.headers),
    attributes: {
      'http.request.method': request.method,
      'url.path': request.url.split('?')[0] ?? '',
      'fabula.correlation_id': correlationId,
    },
  });
}

export function endRequestSpan(span: Span, request: FastifyRequest, reply: FastifyReply): void {
  const route = request.routeOptions.url ?? 'no route';
  span.rename(`${request.method} ${route}`);
  span.set({ 'http.route': route, 'http.response.status_code': reply.statusCode });
  const graphql = route === '/graphql' ? graphqlOperation(request.body) : undefined;
  if (graphql !== undefined) {
    // The name is the caller's and may be anything: it is an attribute, not a part of the span's name.
    span.rename(`graphql ${graphql.type}`);
    span.set({ 'graphql.operation.type': graphql.type, 'graphql.operation.name': graphql.name });
  }
  span.end(reply.statusCode >= 500 ? `HTTP ${reply.statusCode}` : undefined);
}

function graphqlOperation(body: unknown): { readonly type: string; readonly name: string } | undefined {
  const query = typeof body === 'object' && body !== null && 'query' in body ? body.query : undefined;
  if (typeof query !== 'string') return undefined;
  // The document gate has left one operation; fragments may stand before it.
  const [, type = 'query', name = ''] = /(?:^|\n)(query|mutation|subscription)\b[ \t]*(\w*)/.exec(query) ?? [];
  return { type, name: name.slice(0, 100) };
}
