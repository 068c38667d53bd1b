import type { Pool } from 'pg';
import { Engine, PostgresContentStore, type EngineLimits } from '#lib/engine';
import { openPostgresLog, PacedReads, SharedReads, type EventLog } from '#lib/log';
import { systemClock, systemIds, systemTimers } from '#lib/platform';
import { LiveGeneration, PostgresColdSource, PostgresProjection, Projector } from '#lib/projections';
import { openPool } from '../databases.js';
import { compiledRooms, roomStoryText } from '../story/room-story.js';

/** Fabula as a server runs it, without the HTTP around it. */
export interface EngineSide {
  readonly pool: Pool;
  readonly log: EventLog;
  /** What its followers read, as in a server: once between them. */
  readonly tail: EventLog;
  /** Ends the projectors' pauses. */
  hurry(): void;
  readonly projector: Projector;
  /** A started engine; what was hot in another one is cold in this. */
  engine(limits?: Partial<EngineLimits>): Promise<Engine>;
  /** Every partition's read models to the log's end. */
  project(): Promise<void>;
  close(): Promise<void>;
}

/** As configured by default. */
export const PARTITIONS = 4;

/** How long a server lets records gather for its projectors. */
const PROJECT_EVERY_MS = 50;

/**
 * @param openLog default: the embedded log, in the same database
 * @param paced projectors let records gather, as a server's do while nobody waits for them
 */
export async function openEngineSide(url: string, openLog?: () => Promise<EventLog>, paced = false): Promise<EngineSide> {
  const pool = await openPool(url);
  const log = await (openLog === undefined ? openPostgresLog({ pool, partitions: PARTITIONS }) : openLog());
  const content = new PostgresContentStore(pool);
  await content.put(compiledRooms.hash, roomStoryText);
  const store = new PostgresProjection(pool, new LiveGeneration(pool, systemClock));
  const tail = openLog === undefined ? new SharedReads(log, systemClock, systemTimers).shared() : log;
  const projecting = new PacedReads(systemTimers, PROJECT_EVERY_MS);
  const projector = await Projector.open({ log: paced ? projecting.of(tail) : log, store, timers: systemTimers });
  const engines: Engine[] = [];
  return {
    pool,
    log,
    tail,
    hurry() {
      for (let partition = 0; partition < log.partitions; partition++) projecting.hurry(partition);
    },
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
