import type { Pool } from 'pg';
import { Engine, PostgresContentStore, type EngineLimits } from '#lib/engine';
import { openPostgresLog, type EventLog } from '#lib/log';
import { systemClock, systemIds, systemTimers } from '#lib/platform';
import { LiveGeneration, PostgresColdSource, PostgresProjection, Projector } from '#lib/projections';
import { openPool } from '../databases.js';
import { compiledRooms, roomStoryText } from '../story/room-story.js';

/** Fabula as a server runs it, without the HTTP around it. */
export interface EngineSide {
  readonly pool: Pool;
  readonly log: EventLog;
  readonly projector: Projector;
  /** A started engine; what was hot in another one is cold in this. */
  engine(limits?: Partial<EngineLimits>): Promise<Engine>;
  /** Every partition's read models to the log's end. */
  project(): Promise<void>;
  close(): Promise<void>;
}

/** As configured by default. */
export const PARTITIONS = 4;

/** @param openLog default: the embedded log, in the same database */
export async function openEngineSide(url: string, openLog?: () => Promise<EventLog>): Promise<EngineSide> {
  const pool = await openPool(url);
  const log = await (openLog === undefined ? openPostgresLog({ pool, partitions: PARTITIONS }) : openLog());
  const content = new PostgresContentStore(pool);
  await content.put(compiledRooms.hash, roomStoryText);
  const store = new PostgresProjection(pool, new LiveGeneration(pool, systemClock));
  const projector = await Projector.open({ log, store, timers: systemTimers });
  const engines: Engine[] = [];
  return {
    pool,
    log,
    projector,
    async engine(limits = {}) {
      const cold = new PostgresColdSource(pool, systemClock);
      const engine = new Engine({ log, clock: systemClock, timers: systemTimers, ids: systemIds, cold, content, limits });
      engines.push(engine);
      await engine.start();
      return engine;
    },
    async project() {
      for (let partition = 0; partition < log.partitions; partition++) await projector.catchUp(partition);
    },
    async close() {
      await Promise.all(engines.map((engine) => engine.stop()));
      await projector.stop();
      await log.close();
      await pool.end();
    },
  };
}
