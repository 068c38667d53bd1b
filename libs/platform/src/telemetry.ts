import type { Attributes, Context, Link, Span as ApiSpan, SpanKind } from '@opentelemetry/api';

/** W3C trace context as it travels: in requests, between processes, beside records in the log. */
export type TraceHeaders = Readonly<Record<string, string>>;
export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

export interface SpanLink {
  readonly headers: TraceHeaders;
  readonly attributes?: SpanAttributes;
}

export interface SpanOptions {
  readonly kind?: 'internal' | 'server' | 'client' | 'producer' | 'consumer';
  /** Trace context of what this is a part of; without it, or with one that makes no sense, a new trace begins. */
  readonly parent?: TraceHeaders | undefined;
  readonly links?: readonly SpanLink[];
  readonly attributes?: SpanAttributes;
}

export interface Span {
  /** To be sent on to whatever this causes; undefined while tracing is off. */
  readonly headers: TraceHeaders | undefined;
  readonly traceId: string | undefined;
  set(attributes: SpanAttributes): void;
  rename(name: string): void;
  /** `failure`: why it did not succeed. */
  end(failure?: string): void;
}

/** Spans by hand: nothing of ours is patched, and what belongs together is handed on explicitly. */
export interface Tracing {
  readonly on: boolean;
  start(name: string, options?: SpanOptions): Span;
  /** Sends what is left, for at most two seconds. Never rejects. */
  stop(): Promise<void>;
}

const NO_SPAN: Span = { headers: undefined, traceId: undefined, set: () => undefined, rename: () => undefined, end: () => undefined };

/** Costs nothing and loads nothing. */
export const NO_TRACING: Tracing = { on: false, start: () => NO_SPAN, stop: () => Promise.resolve() };

export interface TracingOptions {
  /** OTLP over HTTP: spans go to `<endpoint>/v1/traces`. Undefined: no tracing. */
  readonly endpoint: string | undefined;
  /** `service.instance.id`: tells the processes of one deployment apart. */
  readonly instance: string;
}

/** A trace context that others sent is short, or it is none. */
const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
const MAX_TRACESTATE = 512;
const FLUSH_WITHIN_MS = 2_000;

/** The trace context among a request's headers, if it is one. */
export function traceHeadersFrom(headers: Readonly<Record<string, string | string[] | undefined>>): TraceHeaders | undefined {
  const { traceparent, tracestate } = headers;
  if (typeof traceparent !== 'string' || !TRACEPARENT.test(traceparent)) return undefined;
  const fits = typeof tracestate === 'string' && tracestate.length <= MAX_TRACESTATE && /^[\x20-\x7e]+$/.test(tracestate);
  return fits ? { traceparent, tracestate } : { traceparent };
}

/** Whether whoever began that trace keeps it: a link to one that nobody keeps leads nowhere. */
export function isSampled(headers: TraceHeaders | undefined): boolean {
  const traceparent = headers?.['traceparent'];
  return traceparent !== undefined && TRACEPARENT.test(traceparent) && (Number.parseInt(traceparent.slice(-2), 16) & 1) === 1;
}

/** OpenTelemetry's SDK is loaded here, and only if there is somewhere to send spans. Sampling follows `OTEL_TRACES_SAMPLER`. */
export async function openTracing({ endpoint, instance }: TracingOptions): Promise<Tracing> {
  if (endpoint === undefined) return NO_TRACING;
  const [api, { tracing, resources, core }, { OTLPTraceExporter }] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/sdk-node'),
    import('@opentelemetry/exporter-trace-otlp-http'),
  ]);
  const exporter = new OTLPTraceExporter({ url: `${endpoint.replace(/\/+$/, '')}/v1/traces` });
  const provider = new tracing.BasicTracerProvider({
    resource: resources
      .defaultResource()
      .merge(resources.resourceFromAttributes({ 'service.name': 'fabula', 'service.instance.id': instance }))
      .merge(resources.detectResources({ detectors: [resources.envDetector] })),
    // Bounded: while the collector is down, the oldest wait and the newest are dropped; requests never wait.
    spanProcessors: [new tracing.BatchSpanProcessor(exporter, { maxQueueSize: 4_096, scheduledDelayMillis: 1_000 })],
    spanLimits: { attributeValueLengthLimit: 256, attributeCountLimit: 64, linkCountLimit: 128 },
  });
  const tracer = provider.getTracer('fabula');
  const propagator = new core.W3CTraceContextPropagator();
  const kinds = {
    internal: api.SpanKind.INTERNAL,
    server: api.SpanKind.SERVER,
    client: api.SpanKind.CLIENT,
    producer: api.SpanKind.PRODUCER,
    consumer: api.SpanKind.CONSUMER,
  } as const satisfies Record<string, SpanKind>;
  const contextOf = (headers: TraceHeaders | undefined): Context =>
    headers === undefined ? api.ROOT_CONTEXT : propagator.extract(api.ROOT_CONTEXT, headers, api.defaultTextMapGetter);
  const headersOf = (span: ApiSpan): TraceHeaders => {
    const carrier: Record<string, string> = {};
    propagator.inject(api.trace.setSpan(api.ROOT_CONTEXT, span), carrier, api.defaultTextMapSetter);
    return carrier;
  };
  return {
    on: true,
    start(name, { kind = 'internal', parent, links = [], attributes = {} } = {}) {
      const linked = links.flatMap((link): Link[] => {
        const context = api.trace.getSpanContext(contextOf(link.headers));
        return context === undefined ? [] : [{ context, attributes: { ...link.attributes } satisfies Attributes }];
      });
      const span = tracer.startSpan(name, { kind: kinds[kind], links: linked, attributes: { ...attributes } }, contextOf(parent));
      return {
        headers: headersOf(span),
        traceId: span.spanContext().traceId,
        set: (more) => void span.setAttributes({ ...more }),
        rename: (other) => void span.updateName(other),
        end(failure) {
          if (failure !== undefined) span.setStatus({ code: api.SpanStatusCode.ERROR, message: failure });
          span.end();
        },
      };
    },
    async stop() {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, FLUSH_WITHIN_MS)));
      // A collector that is down must not keep the process from stopping: its spans are lost, nothing else.
      await Promise.race([provider.shutdown().catch(() => undefined), late]);
      clearTimeout(timer);
    },
  };
}
