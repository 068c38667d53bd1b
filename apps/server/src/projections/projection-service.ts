import type { Pool } from 'pg';
import type { EventLog, Releases } from '#lib/log';
import { errorText, FabulaError, systemClock, systemTimers, type Logger } from '#lib/platform';
import {
  dropRetired,
  KNOWN_FIELDS,
  Projector,
  rebuild,
  type DeadLetterNotice,
  type DeadLetters,
  type Drift,
  type PartitionStatus,
  type PostgresProjection,
  type RebuildProgress,
  type RebuildReport,
  type RetryOutcome,
} from '#lib/projections';
import { Stalls } from './stalls.js';

interface ProjectionServiceOptions {
  readonly log: EventLog;
  /** The same log as the projector follows it. */
  readonly followed: EventLog;
  readonly projection: PostgresProjection;
  readonly pool: Pool;
  readonly databaseUrl: string;
  readonly logger: Logger;
  readonly alarm: (message: string) => void;
  readonly releases: Releases;
  readonly deadLetters: DeadLetters;
  readonly metrics: { deadLetter(kind: string): void; drift(drift: Drift): void };
}

/** Retired generations are looked for this often; they stay a minute longer than any reader can hold their name. */
const CLEAN_EVERY_MS = 60_000;

/** How a rebuild ordered in this process goes, or how the last one ended. */
export type RebuildState =
  | { readonly state: 'none' }
  | { readonly state: 'running'; readonly startedAt: number; readonly partitions: readonly RebuildProgress[] }
  | { readonly state: 'done'; readonly finishedAt: number; readonly report: RebuildReport }
  | { readonly state: 'failed'; readonly finishedAt: number; readonly error: string };

/** The projector of one process on the live generation, and rebuilds beside it. */
export class ProjectionService {
  private readonly cleaning: NodeJS.Timeout;
  private rebuilding: RebuildState = { state: 'none' };
  private running: { readonly abort: AbortController; readonly done: Promise<void> } | undefined;

  private constructor(
    private readonly projector: Projector,
    private readonly stalls: Stalls,
    private readonly options: ProjectionServiceOptions,
  ) {
    const { pool, logger, deadLetters } = options;
    const clean = (): void => {
      void dropRetired(pool).catch((error: unknown) => logger.debug({ error: errorText(error) }, 'retired generations stay for now'));
      void deadLetters
        .settle()
        .catch((error: unknown) => logger.debug({ error: errorText(error) }, 'dead letters stay as they are for now'));
    };
    this.cleaning = setInterval(clean, CLEAN_EVERY_MS).unref();
  }

  static async open(options: ProjectionServiceOptions): Promise<ProjectionService> {
    const { followed, projection, logger, alarm, releases, metrics } = options;
    const stalls = new Stalls(systemClock.now, alarm);
    const projector: Projector = await Projector.open({
      log: followed,
      store: projection,
      timers: systemTimers,
      onError: (error, partition) => {
        logger.warn({ partition, error: errorText(error) }, 'the projector tries again');
        stalls.failed(partition, projector.status()[partition]?.nextOffset ?? 0, errorText(error));
      },
      onParked: ({ stream, code, reason }, partition) => alarm(`${stream} on partition ${partition} is parked: ${code}, ${reason}`),
      releases,
      knownFields: KNOWN_FIELDS,
      onDrift: (drift) => drift.forEach((one) => metrics.drift(one)),
      onDeadLetters: (letters) => {
        for (const { kind } of letters) metrics.deadLetter(kind);
        const alarming = deadLetterAlarm(letters);
        if (alarming !== undefined) alarm(alarming);
      },
    });
    return new ProjectionService(projector, stalls, options);
  }

  get databaseUrl(): string {
    return this.options.databaseUrl;
  }
  follow(partition: number): void {
    this.projector.start([partition]);
  }
  leave(partition: number): Promise<void> {
    return this.projector.stop([partition]);
  }
  async stop(): Promise<void> {
    clearInterval(this.cleaning);
    this.running?.abort.abort(new Error('the server stops'));
    await this.running?.done;
    await this.projector.stop();
  }
  status(): readonly PartitionStatus[] {
    return this.projector.status();
  }
  /** Partitions that have failed at one place for long, and why. */
  stalled(): Readonly<Record<number, string>> {
    return this.stalls.of(this.projector.status());
  }
  onCommit(listener: (commit: { readonly partition: number; readonly to: number }) => void): void {
    this.projector.onCommit(listener);
  }

  /**
   * Starts building the read models anew; `rebuildProgress` tells how it goes. An interrupted one is taken up where it was.
   * @throws FabulaError CONFLICT while one is running here
   */
  rebuild(): RebuildState {
    if (this.running !== undefined) throw new FabulaError('CONFLICT', 'a rebuild is running already');
    const { log, databaseUrl, logger } = this.options;
    const abort = new AbortController();
    const startedAt = systemClock.now();
    const partitions = new Map<number, RebuildProgress>();
    const started: RebuildState = { state: 'running', startedAt, partitions: [] };
    this.rebuilding = started;
    const done = rebuild({
      databaseUrl,
      log,
      clock: systemClock,
      timers: systemTimers,
      signal: abort.signal,
      onProgress: (progress) => {
        partitions.set(progress.partition, progress);
        this.rebuilding = {
          state: 'running',
          startedAt,
          partitions: [...partitions.values()].toSorted((a, b) => a.partition - b.partition),
        };
      },
      onError: (error, partition) => logger.warn({ partition, error: errorText(error) }, 'the rebuild tries again'),
    })
      .then(
        (report): RebuildState => ({ state: 'done', finishedAt: systemClock.now(), report }),
        (error: unknown): RebuildState => ({ state: 'failed', finishedAt: systemClock.now(), error: errorText(error) }),
      )
      .then((ended) => {
        this.rebuilding = ended;
        this.running = undefined;
        logger.info(ended, 'the rebuild ended');
      });
    this.running = { abort, done };
    return started;
  }

  rebuildProgress(): RebuildState {
    return this.rebuilding;
  }

  retryParked(stream: string): Promise<RetryOutcome> {
    return this.options.projection.retryParked(stream);
  }
}

/** One alarm for all that a batch brought; parked streams have alarms of their own. */
function deadLetterAlarm(letters: readonly DeadLetterNotice[]): string | undefined {
  const counted = letters.filter(({ kind }) => kind === 'invalid' || kind === 'unknown-envelope');
  const [first] = counted;
  if (first === undefined) return undefined;
  const { partition, offset, kind, reason } = first;
  const more = counted.length === 1 ? '' : ` (and ${counted.length - 1} more)`;
  return `the record at ${offset} of partition ${partition} is a dead letter, ${kind}: ${reason}${more}`;
}
