import { decodeRecord } from '#lib/decision';
import { LogRefused, LogUnavailable, type Batch, type EventLog, type LogRecord, type Offset, type ReadOptions } from '#lib/log';
import { errorText, isSampled, type Span, type SpanLink, type Tracing } from '#lib/platform';

export type AppendOutcome = 'stored' | 'unavailable' | 'unknown' | 'refused';

interface ObservedLogOptions {
  readonly tracing: Tracing;
  /** `messaging.system`: which log this is. */
  readonly system: string;
  readonly onAppended: (outcome: AppendOutcome, seconds: number) => void;
}

/** A span may follow from a thousand commands; so many of them are named. */
const MAX_LINKS = 32;

/**
 * The log as one process uses it, watched: how long appends take, and spans that link what is done in batches (append, projection, leaf) to
 * the requests it is done for. Batches that no kept trace belongs to make no span.
 */
export class ObservedLog {
  /** Batches that a follower has read and not yet committed, by role and partition. */
  private readonly following = new Map<string, { readonly span: Span; readonly to: Offset }[]>();

  constructor(
    private readonly log: EventLog,
    private readonly options: ObservedLogOptions,
  ) {}

  /** For the engine. */
  appended(): EventLog {
    return { ...passed(this.log), append: (partition, records) => this.append(partition, records) };
  }

  /**
   * For a role that follows the log: each batch it reads is a span, until it asks for the next one, or, where it reads ahead of its commits,
   * until `committed`.
   */
  followed(log: EventLog, role: string, ends: 'at-next' | 'at-commit'): EventLog {
    if (!this.options.tracing.on) return log;
    return { ...passed(log), read: (partition, from, options) => this.read(log, role, ends, partition, from, options) };
  }

  committed(role: string, partition: number, to: Offset): void {
    const open = this.following.get(`${role} ${partition}`);
    if (open === undefined) return;
    const done = open.findIndex((batch) => batch.to > to);
    for (const { span } of open.splice(0, done < 0 ? open.length : done)) span.end();
  }

  private async append(partition: number, records: readonly LogRecord[]): Promise<Offset> {
    const { onAppended } = this.options;
    const span = this.batchSpan('append', 'producer', partition, records);
    const started = performance.now();
    const done = (outcome: AppendOutcome, failure?: string): void => {
      onAppended(outcome, (performance.now() - started) / 1_000);
      span?.set({ 'fabula.append.outcome': outcome });
      span?.end(failure);
    };
    try {
      const base = await this.log.append(partition, records);
      span?.set({ 'fabula.offset': base });
      done('stored');
      return base;
    } catch (error) {
      done(error instanceof LogUnavailable ? 'unavailable' : error instanceof LogRefused ? 'refused' : 'unknown', errorText(error));
      throw error;
    }
  }

  private async *read(
    log: EventLog,
    role: string,
    ends: 'at-next' | 'at-commit',
    partition: number,
    from: Offset,
    options?: ReadOptions,
  ): AsyncGenerator<Batch> {
    const key = `${role} ${partition}`;
    const open = this.following.get(key) ?? [];
    this.following.set(key, open);
    try {
      for await (const batch of log.read(partition, from, options)) {
        const first = batch.records[0]?.offset ?? from;
        const span = this.batchSpan(role, 'consumer', partition, batch.records);
        span?.set({ 'fabula.offset': first });
        if (span !== undefined) open.push({ span, to: first + batch.records.length });
        yield batch;
        if (ends === 'at-next') for (const { span: read } of open.splice(0)) read.end();
      }
    } finally {
      // The reader broke off: what it read was not, or not provably, done.
      for (const { span } of open.splice(0)) span.end('given up');
    }
  }

  private batchSpan(what: string, kind: 'producer' | 'consumer', partition: number, records: readonly LogRecord[]): Span | undefined {
    const { tracing, system } = this.options;
    if (!tracing.on) return undefined;
    const traced = records.filter(({ headers }) => isSampled(headers));
    if (traced.length === 0) return undefined;
    const links = traced.slice(0, MAX_LINKS).map(linkTo);
    const correlation = new Set(links.flatMap(({ attributes }) => attributes?.['fabula.correlation_id'] ?? []));
    return tracing.start(`${what} batch`, {
      kind,
      links,
      attributes: {
        'messaging.system': system,
        'messaging.operation.name': what,
        'messaging.operation.type': kind === 'producer' ? 'send' : 'process',
        'messaging.destination.name': 'fabula.log',
        'messaging.destination.partition.id': String(partition),
        'messaging.batch.message_count': records.length,
        'fabula.partition': partition,
        'fabula.traced_records': traced.length,
        // All of them are on the links; the first few also here, to be searched for.
        'fabula.correlation_id': [...correlation].slice(0, 5).join(' '),
      },
    });
  }
}

function linkTo({ headers = {}, value }: LogRecord & { readonly offset?: Offset }): SpanLink {
  const decoded = decodeRecord(value);
  if (decoded.kind !== 'record') return { headers };
  const { correlationId, stream, commandId } = decoded.record;
  return { headers, attributes: { 'fabula.correlation_id': correlationId, 'fabula.stream': stream, 'fabula.command_id': commandId } };
}

const passed = (log: EventLog): EventLog => ({
  partitions: log.partitions,
  append: (partition, records) => log.append(partition, records),
  read: (partition, from, options) => log.read(partition, from, options),
  end: (partition) => log.end(partition),
  begin: (partition) => log.begin(partition),
  forget: (partition, before) => log.forget(partition, before),
  id: () => log.id(),
  close: () => log.close(),
});
