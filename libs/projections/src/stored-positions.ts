import type { Pool, PoolClient } from 'pg';
import { schemaOf } from './generation-ddl.js';
import type { ProjectionPosition } from './projection-store.js';

interface PositionRecord {
  readonly partition: number;
  readonly log_id: string;
  readonly next_offset: string;
  readonly last_time: string;
  readonly epoch: string;
  readonly accepted: string;
  readonly duplicate: string;
  readonly reused: string;
  readonly conflict: string;
  readonly invalid: string;
}

/** How far a generation has come in every partition. */
export async function readPositions(db: Pool | PoolClient, generation: number): Promise<readonly ProjectionPosition[]> {
  const schema = schemaOf(generation);
  const { rows } = await db.query<PositionRecord>({
    name: `${schema}_positions`,
    text: `select * from ${schema}.positions order by partition`,
  });
  return rows.map((row) => ({
    partition: row.partition,
    logId: row.log_id,
    nextOffset: Number(row.next_offset),
    lastTime: Number(row.last_time),
    epoch: Number(row.epoch),
    verdicts: {
      accepted: Number(row.accepted),
      duplicate: Number(row.duplicate),
      reused: Number(row.reused),
      conflict: Number(row.conflict),
      invalid: Number(row.invalid),
    },
  }));
}
