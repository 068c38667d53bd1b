import type { Pool } from 'pg';
import type { LogId } from '#lib/log';
import { schemaOf } from './generation-ddl.js';
import { listGenerations } from './generations.js';

/** Where the live read models of a partition stand, and what they counted up to there. */
export interface LiveCounts {
  readonly partition: number;
  readonly nextOffset: number;
  readonly accepted: number;
  readonly duplicate: number;
  readonly reused: number;
  readonly conflict: number;
  readonly invalid: number;
}

/** By partition; empty before the first projector, and for read models of another log. */
export async function liveCounts(pool: Pool, logId: LogId): Promise<readonly LiveCounts[]> {
  const live = (await listGenerations(pool)).find(({ state }) => state === 'live');
  if (live === undefined || live.logId !== logId) return [];
  const { rows } = await pool.query<Record<keyof LiveCounts, string | number>>(
    `select partition, next_offset as "nextOffset", accepted, duplicate, reused, conflict, invalid from ${schemaOf(live.n)}.positions order by partition`,
  );
  return rows.map((row) => ({
    partition: Number(row.partition),
    nextOffset: Number(row.nextOffset),
    accepted: Number(row.accepted),
    duplicate: Number(row.duplicate),
    reused: Number(row.reused),
    conflict: Number(row.conflict),
    invalid: Number(row.invalid),
  }));
}
