import type { AddressInfo } from 'node:net';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { freePort, type Config, type Logger } from '#lib/platform';
import { AppModule } from './app.module.js';
import { endInOrder, type Ending } from './endings.js';
import { limitQueries } from './graphql/graphql-options.js';
import { serveSubscriptions } from './graphql/subscriptions.js';
import { answerError, setUpHttp } from './http/http-setup.js';
import { servePages } from './http/pages.js';
import { ProblemFilter } from './http/problem-filter.js';
import { NestLogger } from './nest-logger.js';
import { FabulaNode } from './node.js';
import { describeApi } from './openapi.js';

export interface RunningServer {
  readonly url: string;
  readonly node: FabulaNode;
  /** Every route that is served, as `GET /audit/logs`. */
  readonly routes: readonly string[];
  /** Takes no more requests, ends those under way, gives its partitions up. `at` is told what is being stopped. */
  stop(at: (what: string) => void): Promise<void>;
}

/** How often connections that have become idle are closed while the server stops. */
const CLOSE_IDLE_MS = 50;

/** A server on a migrated database; ends when it takes requests and has recovered its partitions. */
export async function startServer(config: Config, logger: Logger, databaseUrl: string, root: string): Promise<RunningServer> {
  // Others must know the address before the first partition is taken, so the port is chosen before it is listened on.
  const port = config.port === 0 ? await freePort() : config.port;
  const host = config.host.includes(':') ? `[${config.host}]` : config.host;
  const address = config.address ?? `http://${host === '0.0.0.0' ? '127.0.0.1' : host}:${port}`;
  const node = await FabulaNode.open(config, logger, databaseUrl, address, root);
  try {
    const adapter = new FastifyAdapter({
      bodyLimit: config.maxBodyBytes,
      trustProxy: false,
      routerOptions: { maxParamLength: 400 },
      // What is wrong before a route is found (an address that cannot be decoded) is answered like everything else.
      frameworkErrors: (error: unknown, request: FastifyRequest, reply: FastifyReply) => answerError(error, request, reply, logger),
    });
    // Nest would set its own in place of the one handler that `setUpHttp` sets.
    adapter.setErrorHandler = () => adapter.getInstance();
    const app = await NestFactory.create<NestFastifyApplication>(AppModule.of(node, root), adapter, {
      logger: new NestLogger(logger),
      bodyParser: false,
      abortOnError: false,
    });
    const routes: string[] = [];
    adapter.getInstance().addHook('onRoute', ({ method, url }) => void routes.push(...[method].flat().map((one) => `${one} ${url}`)));
    await setUpHttp(app, config, node.authenticator, node.audit.access, node.tracing, logger);
    app.useGlobalFilters(new ProblemFilter(logger));
    const fastify = app.getHttpAdapter().getInstance();
    if (node.has('api')) {
      await servePages(app, root, node.developmentIssuer);
      let described: object | undefined;
      fastify.get('/admin/openapi.json', () => (described ??= describeApi(app)));
    }
    await app.init();
    const limits = { depth: config.queryDepth, complexity: config.queryComplexity };
    if (node.has('api')) limitQueries(fastify, limits);
    await fastify.ready();
    const sockets = node.has('api')
      ? serveSubscriptions(fastify.server, fastify.graphql.schema, node.authenticator, node.audit.access, limits, logger)
      : undefined;
    await app.listen(port, config.host);
    await node.start();
    const bound = fastify.server.address() as AddressInfo;
    return {
      url: `http://${host === '0.0.0.0' ? '127.0.0.1' : host}:${bound.port}`,
      node,
      routes,
      async stop(at) {
        const endRequests = async (): Promise<void> => {
          // A connection whose request was under way when closing began is kept alive by its client: it would be waited for, and the
          // partitions would be held meanwhile.
          const idle = setInterval(() => fastify.server.closeIdleConnections(), CLOSE_IDLE_MS);
          await app.close().finally(() => clearInterval(idle));
        };
        const endings: readonly Ending[] = [
          ['partitions that others take over', () => node.handOver()],
          ['subscriptions', () => sockets?.close()],
          ['requests', endRequests],
        ];
        await endInOrder(endings, at);
        await node.stop(at);
      },
    };
  } catch (error) {
    await node.stop();
    throw error;
  }
}
