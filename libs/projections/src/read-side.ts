import type { Pool } from 'pg';
import type { LogId } from '#lib/log';
import type { Clock, Timers } from '#lib/platform';
import { LiveGeneration } from './generations.js';
import { PositionWaiter } from './position-waiter.js';
import { PostgresColdSource } from './postgres-cold-source.js';
import { PostgresProjection } from './postgres-projection.js';
import { ReadModels } from './read-models.js';

export interface ReadSideOptions {
  readonly pool: Pool;
  readonly logId: LogId;
  readonly partitions: number;
  readonly clock: Clock;
  readonly timers: Timers;
  /** A read waits for a record of that partition. */
  readonly onWait?: (partition: number) => void;
}

/** What one process needs of the live read models. All parts share one pointer to the live generation, so a switch is seen by all at once. */
export interface ReadSide {
  readonly live: LiveGeneration;
  /** The store for this process's Projector. */
  readonly projection: PostgresProjection;
  readonly cold: PostgresColdSource;
  readonly reads: ReadModels;
  /** Give its `committed` to `Projector.onCommit`. */
  readonly waiter: PositionWaiter;
}

export function createReadSide({ pool, logId, partitions, clock, timers, onWait }: ReadSideOptions): ReadSide {
  const live = new LiveGeneration(pool, clock);
  const cold = new PostgresColdSource(pool, clock, live);
  return {
    live,
    cold,
    projection: new PostgresProjection(pool, live),
    reads: new ReadModels(pool, clock, live),
    waiter: new PositionWaiter({
      logId,
      partitions,
      timers,
      position: (partition, fresh) => {
        onWait?.(partition);
        return cold.position(partition, fresh);
      },
    }),
  };
}
