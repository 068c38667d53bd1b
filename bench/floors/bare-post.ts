import Fastify from 'fastify';

/** The least that a validated POST can cost: Fastify, a schema, a small answer. Prints its port and serves until its parent goes. */
const server = Fastify({ bodyLimit: 64 * 1024 });
const string = { type: 'string', maxLength: 4_096 };
const schema = {
  body: {
    type: 'object',
    required: ['query', 'variables'],
    additionalProperties: false,
    properties: { query: string, variables: { type: 'object', required: ['input'], properties: { input: { type: 'object' } } } },
  },
  response: { 200: { type: 'object', properties: { accepted: { type: 'boolean' }, length: { type: 'integer' } } } },
} as const;
server.post<{ Body: { readonly query: string } }>('/command', { schema }, async (request) => ({
  accepted: true,
  length: request.body.query.length,
}));

process.once('disconnect', () => process.exit());
process.send?.({ url: await server.listen({ host: '127.0.0.1', port: Number(process.argv[2]) }) });
