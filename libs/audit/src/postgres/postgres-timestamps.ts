import type { Pool } from 'pg';
import type { LogId } from '#lib/log';
import type { LogName } from '../log-name.js';
import type { KeptTimestamp, TimestampRecords } from '../timestamp/timestamper.js';
import { logOf, numberOf } from './rows.js';

interface TimestampRow {
  readonly log_id: string;
  readonly log: number;
  readonly stamped_at: string;
  readonly size: string;
  readonly note: string;
  readonly authority: string;
  readonly response: Buffer;
}
const COLUMNS = 'log_id, log, stamped_at, size, note, authority, response';

export class PostgresTimestamps implements TimestampRecords {
  constructor(private readonly pool: Pool) {}

  async keepTimestamp({ logId, log, size, note, authority, stampedAt, response }: KeptTimestamp): Promise<void> {
    await this.pool.query(`insert into fabula.audit_timestamps (${COLUMNS}) values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing`, [
      logId,
      numberOf(log),
      stampedAt,
      size,
      note,
      authority,
      response,
    ]);
  }

  async timestamps(logId: LogId, log: LogName, limit: number): Promise<readonly KeptTimestamp[]> {
    const { rows } = await this.pool.query<TimestampRow>(
      `select ${COLUMNS} from fabula.audit_timestamps where log_id = $1 and log = $2 order by stamped_at desc limit $3`,
      [logId, numberOf(log), limit],
    );
    return rows.map(({ log_id, log: tree, stamped_at, size, ...row }) => ({
      ...row,
      logId: log_id,
      log: logOf(tree),
      stampedAt: Number(stamped_at),
      size: BigInt(size),
    }));
  }
}
