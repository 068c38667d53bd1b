import type { Pool } from 'pg';
import type { LogId, LogPosition, Offset } from '#lib/log';

/** How far each partition has been published to a topic. */
export interface FeedPositions {
  /** The kept position; undefined when nothing was published yet. */
  read(partition: number): Promise<LogPosition | undefined>;
  /** All kept positions, by partition. */
  readAll(): Promise<ReadonlyMap<number, LogPosition>>;
  /** The kept position; 0 in `logId` when there is none yet. */
  open(partition: number, logId: LogId): Promise<LogPosition>;
  /** Moves it if it still stands where the caller thinks; else somebody else publishes, or it was set. */
  move(partition: number, logId: LogId, from: Offset, to: Offset): Promise<boolean>;
  /** Sets it, whatever it was, also to another log's. */
  set(partition: number, logId: LogId, to: Offset): Promise<void>;
}

/** Positions in `fabula.feed_positions`, for one topic: another topic begins anew. */
export class PostgresFeedPositions implements FeedPositions {
  constructor(
    private readonly pool: Pool,
    private readonly topic: string,
  ) {}

  async read(partition: number): Promise<LogPosition | undefined> {
    const { rows } = await this.pool.query<{ log_id: string; next_offset: string }>(
      'select log_id, next_offset from fabula.feed_positions where topic = $1 and partition = $2',
      [this.topic, partition],
    );
    const [row] = rows;
    return row === undefined ? undefined : { logId: row.log_id, offset: Number(row.next_offset) };
  }

  async readAll(): Promise<ReadonlyMap<number, LogPosition>> {
    const { rows } = await this.pool.query<{ partition: number; log_id: string; next_offset: string }>({
      name: 'feed-positions',
      text: 'select partition, log_id, next_offset from fabula.feed_positions where topic = $1',
      values: [this.topic],
    });
    return new Map(rows.map((row) => [row.partition, { logId: row.log_id, offset: Number(row.next_offset) }]));
  }

  async open(partition: number, logId: LogId): Promise<LogPosition> {
    await this.pool.query(
      'insert into fabula.feed_positions (topic, partition, log_id, next_offset) values ($1, $2, $3, 0) on conflict (topic, partition) do nothing',
      [this.topic, partition, logId],
    );
    return (await this.read(partition)) as LogPosition;
  }

  async move(partition: number, logId: LogId, from: Offset, to: Offset): Promise<boolean> {
    const { rowCount } = await this.pool.query({
      name: 'feed-move',
      text: 'update fabula.feed_positions set next_offset = $5 where topic = $1 and partition = $2 and log_id = $3 and next_offset = $4',
      values: [this.topic, partition, logId, from, to],
    });
    return rowCount === 1;
  }

  async set(partition: number, logId: LogId, to: Offset): Promise<void> {
    await this.pool.query(
      `insert into fabula.feed_positions (topic, partition, log_id, next_offset) values ($1, $2, $3, $4)
       on conflict (topic, partition) do update set log_id = excluded.log_id, next_offset = excluded.next_offset`,
      [this.topic, partition, logId, to],
    );
  }
}
