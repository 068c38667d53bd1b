import path from 'node:path';
import fastifyStatic from '@fastify/static';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { FabulaError, type DevelopmentIssuer } from '#lib/platform';

/** GraphiQL's editor writes style elements and loads its own fonts; nothing else of the policy is loosened, and only for that page. */
const GRAPHIQL_POLICY =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src 'self' data:; worker-src 'self' blob:; connect-src 'self' ws: wss:; object-src 'none'; frame-ancestors 'none'";
const READER_NAME = /^[A-Za-z0-9._-]{1,64}$/;
const TOKEN_SECONDS = 24 * 3600;

/**
 * The pages that the build made: the player, and for development GraphiQL and tokens for the player.
 * `/assets` never changes under a name, so browsers may keep it.
 */
export async function servePages(app: NestFastifyApplication, root: string, issuer: DevelopmentIssuer | undefined): Promise<void> {
  const fastify = app.getHttpAdapter().getInstance();
  const pages = path.join(root, 'dist', 'apps', 'studio');
  await app.register(fastifyStatic, {
    root: path.join(pages, 'assets'),
    prefix: '/assets/',
    immutable: true,
    maxAge: '365d',
    index: false,
  });
  const page = (name: string) => (_request: FastifyRequest, reply: FastifyReply) =>
    reply.header('cache-control', 'no-cache').sendFile(`${name}/index.html`, pages);
  fastify.get('/', (_request, reply) => reply.redirect('/play', 302));
  fastify.get('/play', page('play'));
  fastify.get('/play/icon.svg', (_request, reply) => reply.sendFile('play/icon.svg', pages));
  if (issuer === undefined) return;
  fastify.get('/graphiql', (request, reply) => page('graphiql')(request, reply.header('content-security-policy', GRAPHIQL_POLICY)));
  fastify.get('/play/token', async (request: FastifyRequest<{ Querystring: { reader?: unknown } }>) => {
    const { reader } = request.query;
    if (typeof reader !== 'string' || !READER_NAME.test(reader))
      throw new FabulaError('BAD_INPUT', 'reader is 1 to 64 letters, digits, dots, dashes');
    const token = await issuer.mintToken({ sub: `player-${reader}`, roles: ['reader'], ttlSeconds: TOKEN_SECONDS });
    return { token, expiresAt: Date.now() + TOKEN_SECONDS * 1_000 };
  });
}
