import type { Pool } from 'pg';
import { AuditVerdicts, partitionOfLog, PostgresAuditStore } from '#lib/audit';
import {
  FeedTopicDiffers,
  KafkaFeedSink,
  openFeedKey,
  PostgresFeedPositions,
  Publisher,
  readerMarks,
  type FeedPositions,
  type FeedSink,
  type PublisherStatus,
  type ReaderMark,
} from '#lib/feed';
import { createKafka, kafkaConnection, UnsafeTopic, type EventLog, type LogId, type LogPosition, type Offset } from '#lib/log';
import { errorText, FabulaError, systemClock, systemTimers, type Config, type Logger } from '#lib/platform';

interface FeedServiceOptions {
  readonly config: Config;
  readonly pool: Pool;
  readonly log: EventLog;
  readonly logId: LogId;
  readonly logger: Logger;
  readonly alarm: (message: string) => void;
  /** As of `LogOfRecord`. */
  readonly tellLag: (work: 'publisher', positions: ReadonlyMap<number, Offset>) => void;
}

/** How far one partition has been published, by whomever. */
export interface FeedProgress {
  readonly partition: number;
  readonly nextOffset: Offset;
  readonly end: Offset;
  readonly lagRecords: number;
  /** The kept position is of another log or beyond the end of this one: nothing is published until it is reset. */
  readonly foreign: boolean;
}

/** The public feed of one process: what it publishes, and what operators ask and set. Without brokers there is none. */
export class FeedService {
  private readonly alarmed = new Set<string>();
  private readonly publisher: Publisher | undefined;

  private constructor(
    private readonly options: FeedServiceOptions,
    private readonly positions?: FeedPositions,
    out?: { readonly sink: FeedSink; readonly mark: ReaderMark },
  ) {
    if (positions === undefined || out === undefined) return;
    const { log, logId, pool, alarm, tellLag } = options;
    this.publisher = new Publisher({
      ...{ log, logId, verdicts: new AuditVerdicts(pool), positions, ...out },
      clock: systemClock,
      timers: systemTimers,
      onMoved: (partition, to) => tellLag('publisher', new Map([[partition, to]])),
      onError: (error, partition) => this.failed(error, partition),
      onStopped: (message, partition) => alarm(`the publisher of partition ${partition} stopped: ${message}`),
    });
  }

  /** @throws KafkaFileUnreadable; brokers that do not answer are waited for while it runs */
  static async open(options: FeedServiceOptions): Promise<FeedService> {
    const { config, pool, log, logger } = options;
    const publishes = config.roles.includes('publisher');
    const { kafkaBrokers, kafkaFeedTopic: topic } = config;
    if (kafkaBrokers === undefined) {
      if (publishes) logger.info('there is no public feed: KAFKA_BROKERS is not set');
      return new FeedService(options);
    }
    const positions = new PostgresFeedPositions(pool, topic);
    if (!publishes) return new FeedService(options, positions);
    await beginAfterPruned(pool, options.logId, positions);
    const kafka = await createKafka(await kafkaConnection(config, 'fabula-publisher'));
    const sink = new KafkaFeedSink({ kafka, topic, partitions: log.partitions, allowUnsafe: config.kafkaAllowUnsafe });
    return new FeedService(options, positions, { sink, mark: readerMarks(await openFeedKey(pool)) });
  }

  /** Whether this process takes a share of the publishing. */
  get publishes(): boolean {
    return this.publisher !== undefined;
  }

  follow(partition: number): void {
    this.publisher?.follow(partition);
  }
  async leave(partition: number): Promise<void> {
    await this.publisher?.leave(partition);
  }
  async stop(): Promise<void> {
    await this.publisher?.stop();
  }
  /** Partitions that this process publishes. */
  status(): readonly PublisherStatus[] {
    return this.publisher?.status() ?? [];
  }

  /** As kept, those of another log too. @throws FabulaError CONFLICT without a feed */
  async positionsOf(): Promise<ReadonlyMap<number, LogPosition>> {
    return this.kept().readAll();
  }

  /** @throws FabulaError CONFLICT without a feed */
  async progress(): Promise<{ readonly topic: string; readonly partitions: readonly FeedProgress[] }> {
    const { log, logId, config } = this.options;
    const positions = await this.kept().readAll();
    const partitions = Array.from({ length: log.partitions }, async (_, partition): Promise<FeedProgress> => {
      const position = positions.get(partition);
      const end = await log.end(partition);
      const nextOffset = position?.offset ?? 0;
      const foreign = (position !== undefined && position.logId !== logId) || nextOffset > end;
      return { partition, nextOffset, end, lagRecords: foreign ? end : end - nextOffset, foreign };
    });
    return { topic: config.kafkaFeedTopic, partitions: await Promise.all(partitions) };
  }

  /**
   * Sets where publishing goes on, in every partition: at the start everything is published again (the same events with the same ids) whose
   * leaves are kept, at the end what is not yet published never is. Whoever publishes notices, in this process or another.
   * @throws FabulaError CONFLICT without a feed
   */
  async reset(to: 'start' | 'end'): Promise<void> {
    const positions = this.kept();
    const { log, logId, logger, pool } = this.options;
    const starts = await startsOf(pool, logId);
    for (let partition = 0; partition < log.partitions; partition++)
      await positions.set(partition, logId, to === 'start' ? (starts.get(partition) ?? 0) : await log.end(partition));
    logger.warn({ to }, 'the public feed was set to go on elsewhere');
  }

  private kept(): FeedPositions {
    if (this.positions === undefined) throw new FabulaError('CONFLICT', 'there is no public feed: KAFKA_BROKERS is not set');
    return this.positions;
  }

  private failed(error: unknown, partition: number | undefined): void {
    const { logger, alarm } = this.options;
    const problem = errorText(error);
    logger.warn({ partition, error: problem }, 'the publisher tries again');
    // Trying again does not mend these.
    if (!(error instanceof UnsafeTopic || error instanceof FeedTopicDiffers) || this.alarmed.has(problem)) return;
    this.alarmed.add(problem);
    alarm(`the public feed cannot be written: ${problem}`);
  }
}

/** Where verdicts begin in partitions that leaves were pruned of: before, nobody can say what was accepted. */
async function startsOf(pool: Pool, logId: LogId): Promise<ReadonlyMap<number, Offset>> {
  const bases = await new PostgresAuditStore(pool).bases(logId);
  return new Map(bases.map(({ log, nextOffset }) => [partitionOfLog(log) ?? -1, nextOffset]));
}

/** A topic that nothing was published to yet. */
async function beginAfterPruned(pool: Pool, logId: LogId, positions: FeedPositions): Promise<void> {
  for (const [partition, start] of await startsOf(pool, logId))
    if ((await positions.read(partition)) === undefined) await positions.set(partition, logId, start);
}
