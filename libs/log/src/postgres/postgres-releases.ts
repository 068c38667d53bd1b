import type { Pool } from 'pg';
import type { LogId } from '../event-log.js';
import type { Releases } from '../releases.js';

/** Releases of a log as the database holds them; asked anew each time, so that one made anywhere is seen at the next look. */
export function createPostgresReleases(pool: Pool, logId: LogId): Releases {
  return {
    has: async (partition, offset, digest) => {
      const { rowCount } = await pool.query(
        `select 1 from fabula.releases
         where log_id = $1 and partition = $2 and "offset" = $3 and digest = $4 and kind = 'unknown-envelope'`,
        [logId, partition, offset, digest],
      );
      return rowCount === 1;
    },
  };
}
