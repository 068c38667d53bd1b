import { randomBytes, randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { ApiClient } from '../support/api-client.js';
import { startOtlpReceiver, type ReceivedSpan } from '../support/otlp-receiver.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { ServerProcess, temporaryDataDir } from '../support/server-process.js';
import { eventually } from './expectations.js';
import { publishStory } from './publish-story.js';
import { threeDoors } from './small-stories.js';

jest.setTimeout(60_000);

const STORY = 'three-doors';
const START =
  'mutation Begin($input: StartPlaythroughInput!) { startPlaythrough(input: $input) { position correlationId playthrough { id } } }';
type Begun = { startPlaythrough: { position: string; correlationId: string; playthrough: { id: string } } };

describe('the trace of one request', () => {
  let database: TestDatabase;
  let collector: Awaited<ReturnType<typeof startOtlpReceiver>>;
  let owner: ServerProcess | undefined;
  let edge: ServerProcess | undefined;
  let edgeDir = '';

  beforeAll(async () => {
    collector = await startOtlpReceiver();
    database = await createTestDatabase();
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint };
    const decides = (owner = await ServerProcess.start({ databaseUrl: database.url, env }));
    await publishStory(new ApiClient(decides.url, await decides.token(['author'])), threeDoors(STORY));
    edgeDir = await temporaryDataDir();
    edge = await ServerProcess.start({ databaseUrl: database.url, dataDir: edgeDir, env: { ...env, FABULA_ROLES: 'api' } });
  });
  afterAll(async () => {
    await edge?.stop();
    await owner?.stop();
    await rm(edgeDir, { recursive: true, force: true });
    await database.drop();
    await collector.stop();
  });

  const begin = async (traceparent: string | undefined, correlationId: string): Promise<Begun['startPlaythrough']> => {
    const server = edge as ServerProcess;
    const client = new ApiClient(server.url, await server.token(['reader']));
    const headers = { 'x-correlation-id': correlationId, ...(traceparent !== undefined && { traceparent }) };
    const { data } = await client.graphql<Begun>(START, { input: { storyId: STORY, commandId: randomUUID() } }, headers);
    return (data as Begun).startPlaythrough;
  };
  const spanOf = (what: string, wanted: (span: ReceivedSpan) => boolean): Promise<ReceivedSpan> =>
    eventually(async () => collector.spans.find(wanted), `the span of ${what} arrives`);

  test('goes from the client through two processes and is linked from append, projection and leaf, with its correlation id', async () => {
    const [traceId, clientSpan] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
    const correlationId = randomUUID();
    const begun = await begin(`00-${traceId}-${clientSpan}-01`, correlationId);
    const named = (name: string) => (span: ReceivedSpan) => span.traceId === traceId && span.name === name;

    const request = await spanOf('the request', named('graphql mutation'));
    const command = await spanOf('the command', named('command start'));
    const forwarded = await spanOf('the forwarded command', named('forwarded command start'));
    expect(request).toMatchObject({ parentSpanId: clientSpan, instance: edge?.url });
    expect(command).toMatchObject({ parentSpanId: request.spanId, instance: edge?.url });
    expect(forwarded).toMatchObject({ parentSpanId: command.spanId, instance: owner?.url });
    const stream = `playthrough/${begun.playthrough.id}`;
    expect(request.attributes).toMatchObject({
      'graphql.operation.name': 'Begin',
      'http.response.status_code': 200,
      'fabula.correlation_id': correlationId,
    });
    expect(forwarded.attributes).toMatchObject({
      'fabula.correlation_id': correlationId,
      'fabula.stream': stream,
      'fabula.verdict': 'accepted',
    });

    const { p, o } = JSON.parse(Buffer.from(begun.position, 'base64url').toString()) as { p: number; o: number };
    for (const [what, name] of [
      ['the append', 'append batch'],
      ['the projection', 'projector batch'],
      ['the leaf', 'auditor batch'],
    ] as const) {
      const batch = await spanOf(what, (span) => span.name === name && span.links.some((link) => link.traceId === traceId));
      expect(batch.links).toContainEqual({
        traceId,
        spanId: forwarded.spanId,
        attributes: expect.objectContaining({ 'fabula.correlation_id': correlationId, 'fabula.stream': stream }) as unknown,
      });
      expect(batch).toMatchObject({ instance: owner?.url, failed: false });
      expect(batch.traceId).not.toBe(traceId);
      expect(batch.attributes).toMatchObject({ 'messaging.system': 'postgres', 'messaging.destination.partition.id': String(p) });
      expect(batch.attributes['fabula.correlation_id']).toContain(correlationId);
    }

    const { rows } = await database.pool.query<{ leaf: string; headers: string }>(
      `select convert_from(leaf, 'UTF8') as leaf, headers from fabula.audit_leaves
       join fabula.log_records on partition = log and "offset" = log_offset where log = $1 and log_offset = $2`,
      [p, o],
    );
    expect(JSON.parse(rows[0]?.leaf ?? '{}')).toMatchObject({ correlationId });
    expect(JSON.parse(rows[0]?.headers ?? '{}')).toEqual({ traceparent: `00-${traceId}-${forwarded.spanId}-01` });
  });

  test('begins here when the client sends none, or nonsense', async () => {
    const correlationId = randomUUID();
    await begin('00-nonsense', correlationId);
    const request = await spanOf(
      'the request',
      (span) => span.name === 'graphql mutation' && span.attributes['fabula.correlation_id'] === correlationId,
    );
    expect(request.parentSpanId ?? '').toBe('');
    await spanOf('the append', (span) => span.name === 'append batch' && span.links.some(({ traceId }) => traceId === request.traceId));
  });

  test('that its client does not keep is not kept here either, and makes no spans of batches', async () => {
    const traceId = randomBytes(16).toString('hex');
    await begin(`00-${traceId}-${randomBytes(8).toString('hex')}-00`, randomUUID());
    const later = randomUUID();
    await begin(undefined, later);
    const kept = await spanOf('a later append', ({ attributes }) => String(attributes['fabula.correlation_id']) === later);
    expect(kept.traceId).not.toBe(traceId);
    expect(collector.spans.filter((span) => span.traceId === traceId || span.links.some((link) => link.traceId === traceId))).toEqual([]);
  });
});
