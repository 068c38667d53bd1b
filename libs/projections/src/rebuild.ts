import { Pool, type PoolClient } from 'pg';
import { createPostgresReleases, RecordsForgotten, type EventLog, type LogId, type Offset } from '#lib/log';
import type { Clock, Timers } from '#lib/platform';
import { thin } from './base/switch-base.js';
import { RETIRED_EPOCH } from './commit-statement.js';
import { settleDeadLetters } from './dead-letter-statements.js';
import { LAYOUT, schemaOf } from './generation-ddl.js';
import {
  dropGeneration,
  dropRetired,
  ensureBuildingGeneration,
  listGenerations,
  locked,
  transaction,
  type Generation,
} from './generations.js';
import { compareGenerations, type Parity } from './parity.js';
import { Fenced } from './partition-projector.js';
import { PostgresProjection } from './postgres-projection.js';
import { Projector, type PartitionStatus } from './projector.js';
import { readPositions } from './stored-positions.js';
import { TABLE_NAMES, TABLES } from './tables.js';
import type { StreamKinds } from './stream-kinds.js';

export interface RebuildOptions {
  /** The rebuild opens connections of its own: while it holds the live positions, the server's may all be waiting for it. */
  readonly databaseUrl: string;
  readonly log: EventLog;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Called after every batch. */
  readonly onProgress?: (progress: RebuildProgress) => void;
  readonly onError?: (error: unknown, partition: number) => void;
  /** Ends the rebuild between two batches; calling again goes on where it was. */
  readonly signal?: AbortSignal;
  /** `required` (default): switch only when the new generation equals the live one. `reported`: switch whatever the comparison says. */
  readonly parity?: 'required' | 'reported';
  /** Throw an interrupted rebuild away instead of going on with it; default false. */
  readonly fresh?: boolean;
  readonly kinds?: StreamKinds;
  readonly cacheBytes?: number;
}

export interface RebuildProgress {
  readonly partition: number;
  /** Records folded, and the log's end when last looked at. */
  readonly done: Offset;
  readonly end: Offset;
  /** Records per second in this partition since this call began. */
  readonly rate: number;
  readonly etaMs: number | null;
}

export interface RebuildReport {
  readonly generation: number;
  /** The generation that was live before; null if there was none. */
  readonly replaced: number | null;
  /** Records folded by this call. */
  readonly records: number;
  readonly parity: Parity;
}

/** The new generation differs from the live one at the same positions; it is kept, and nothing was switched. */
export class ParityFailed extends Error {
  override readonly name = 'ParityFailed';
  constructor(
    readonly generation: number,
    readonly parity: Parity,
  ) {
    super(
      `generation ${generation} differs from the live one in ${different(parity).join(', ')}; ` +
        'if that is meant (a mended fold, a stream no longer parked), rebuild again accepting differences',
    );
  }
}

export class RebuildRunning extends Error {
  override readonly name = 'RebuildRunning';
  constructor() {
    super('another process is rebuilding the read models');
  }
}

const REBUILD_LOCK = '4701231823412331895';
/** While positions are locked the live projector waits, so what is left to fold must be little. */
const LOCK_TIMEOUT_MS = 5_000;
const ATTEMPTS = 50;
/** With the projector's growing pauses about a minute: beyond it, a person should know. */
const MAX_FAILURES = 20;
/** The guard, a snapshot, the lock on the live positions, and some for folding partitions side by side. */
const CONNECTIONS = 8;

/**
 * Builds the read models anew beside the live ones, compares both at the same positions, and switches in one transaction; readers,
 * writers and the live projector go on meanwhile, in this process or in others. Interrupted, it goes on where it was.
 * @throws RebuildRunning, ParityFailed, PositionRefused; the signal's reason when it aborts
 */
export async function rebuild(options: RebuildOptions): Promise<RebuildReport> {
  return withOwnPool(options.databaseUrl, 'fabula-rebuild', async (pool) => {
    const logId = await options.log.id();
    return aloneWithReadModels(pool, () => new Rebuild(pool, options, logId).run());
  });
}

/** Connections of its own, whose statements take as long as they take. */
export async function withOwnPool<T>(databaseUrl: string, name: string, work: (pool: Pool) => Promise<T>): Promise<T> {
  const pool = new Pool({
    connectionString: databaseUrl,
    max: CONNECTIONS,
    application_name: name,
    // What a crash of Postgres takes, it takes with the position, and it is folded again; the switch itself is durable, and all before it.
    options: '-c synchronous_commit=off',
  });
  // An idle connection that ends is no failure; one in use reports it to its user.
  pool.on('error', () => {});
  try {
    return await work(pool);
  } finally {
    await pool.end();
  }
}

/** Runs `work` while nobody rebuilds read models, or changes what they begin with. @throws RebuildRunning */
export async function aloneWithReadModels<T>(pool: Pool, work: () => Promise<T>): Promise<T> {
  const guard = await pool.connect();
  // Should the guard be cut, another one may begin: positions and rows fence one of the two.
  guard.on('error', () => {});
  try {
    const { rows } = await guard.query<{ locked: boolean }>('select pg_try_advisory_lock($1) as locked', [REBUILD_LOCK]);
    if (rows[0]?.locked !== true) throw new RebuildRunning();
    try {
      return await work();
    } finally {
      // So that who comes next finds it free: a connection's end is heard a moment later. A guard that was cut holds nothing any more.
      await guard.query('select pg_advisory_unlock($1)', [REBUILD_LOCK]).catch(() => {});
    }
  } finally {
    // Closed, not given back: its end releases the lock, whatever happened.
    guard.release(true);
  }
}

class Rebuild {
  private records = 0;
  /** Failures in a row without any progress, and what to do when they are too many: set while catching up. */
  private failures = 0;
  private giveUp: (error: unknown) => void = () => {};
  /** A partition may have halted: then there is nothing to wait for. */
  private lookAgain: () => void = () => {};
  private readonly signal: AbortSignal;

  constructor(
    private readonly pool: Pool,
    private readonly options: RebuildOptions,
    private readonly logId: LogId,
  ) {
    this.signal = options.signal ?? new AbortController().signal;
  }

  async run(): Promise<RebuildReport> {
    const { pool } = this;
    const { log } = this.options;
    await dropRetired(pool);
    if (this.options.fresh === true) await dropBuilding(pool);
    const building = await ensureBuildingGeneration(pool, this.logId, log.partitions);
    const projector = await this.projectorOf(building.n);
    const stop = projector.onCommit((changes) => (this.records += changes.to - changes.from));
    try {
      await this.catchUp(projector);
      await analyse(pool, building.n);
      const live = (await listGenerations(pool)).find(({ state }) => state === 'live');
      // What a pruning that was broken off has not taken from it yet.
      if (live?.layout === LAYOUT && live.logId === this.logId) await thin(pool, live.n, this.logId, this.signal);
      const parity = await this.compare(projector, building, live);
      if (parity.kind === 'different' && this.options.parity !== 'reported') throw new ParityFailed(building.n, parity);
      await this.switchTo(projector, building, live);
      return { generation: building.n, replaced: live?.n ?? null, records: this.records, parity };
    } finally {
      stop();
    }
  }

  private projectorOf(generation: number): Promise<Projector> {
    const { log, timers, kinds, cacheBytes, onError } = this.options;
    const store = new PostgresProjection(this.pool, generation);
    return Projector.open({
      log,
      store,
      timers,
      releases: createPostgresReleases(this.pool, this.logId),
      ...(kinds && { kinds }),
      ...(cacheBytes !== undefined && { cacheBytes }),
      onError: (error, partition) => {
        onError?.(error, partition);
        // Records that were pruned do not come back.
        if (++this.failures > MAX_FAILURES || error instanceof RecordsForgotten) this.giveUp(error);
        this.lookAgain();
      },
    });
  }

  /** Every partition to the log's end, side by side; failures are retried by the projector's own loops. */
  private async catchUp(projector: Projector): Promise<void> {
    const { log, clock, onProgress } = this.options;
    const ends = await Promise.all(projector.status().map(({ partition }) => log.end(partition)));
    const begun = projector.status().map(({ nextOffset }) => ({ at: clock.now(), nextOffset }));
    const caughtUp = (): boolean =>
      projector.status().every(({ partition, nextOffset, state }) => nextOffset >= (ends[partition] ?? 0) || state === 'halted');
    let unsubscribe = (): void => {};
    let halted: PartitionStatus | undefined;
    await new Promise<void>((resolve, reject) => {
      const aborted = (): void => reject(abortReason(this.signal));
      if (this.signal.aborted) return aborted();
      this.signal.addEventListener('abort', aborted, { once: true });
      this.failures = 0;
      this.giveUp = reject;
      unsubscribe = projector.onCommit(({ partition, to }) => {
        this.failures = 0;
        onProgress?.(progress(partition, to, ends[partition] ?? to, begun[partition], clock.now()));
        if (caughtUp()) resolve();
      });
      this.lookAgain = () => {
        if (caughtUp()) resolve();
      };
      if (caughtUp()) resolve();
      else projector.start();
    }).finally(() => {
      unsubscribe();
      this.lookAgain = () => {};
      // Before it stops: then it stands nowhere any more.
      halted = projector.status().find(({ state }) => state === 'halted');
      return projector.stop();
    });
    if (halted !== undefined) throw new Error(`partition ${halted.partition} cannot be rebuilt: ${halted.error}`);
  }

  /** Both generations at the same positions in one snapshot; the live projector waits only until that snapshot is taken. */
  private async compare(projector: Projector, building: Generation, live: Generation | undefined): Promise<Parity> {
    const reason = await this.incomparable(live);
    if (live === undefined || reason !== undefined) return { kind: 'incomparable', reason: reason ?? 'there is no live generation' };
    return transaction(this.pool, async (snapshot) => {
      await this.whileEqual(projector, live.n, async () => {
        await snapshot.query('set transaction isolation level repeatable read');
        // The first statement takes the snapshot.
        await snapshot.query('select 1');
      });
      return compareGenerations(snapshot, live.n, building.n);
    });
  }

  private async incomparable(live: Generation | undefined): Promise<string | undefined> {
    if (live === undefined) return 'there is no live generation';
    if (live.layout !== LAYOUT) return `the live generation has layout ${live.layout}, this one ${LAYOUT}`;
    const positions = await readPositions(this.pool, live.n);
    if (positions.length !== this.options.log.partitions) return 'the live generation has another number of partitions';
    if (positions.some(({ logId }) => logId !== this.logId)) return 'the live generation is of another log';
    for (const { partition, nextOffset } of positions) {
      if (nextOffset > (await this.options.log.end(partition)))
        return `the live generation is beyond the log's end in partition ${partition}`;
      if (nextOffset < (await this.options.log.begin(partition)))
        return `the live generation is older than what partition ${partition} begins with`;
    }
    return undefined;
  }

  private async switchTo(projector: Projector, building: Generation, live: Generation | undefined): Promise<void> {
    const flip = (client: PoolClient): Promise<void> => flipped(client, building.n, live?.n);
    if (live === undefined || (await this.incomparable(live)) !== undefined) {
      // Nothing to be equal with: as far as the log goes now.
      await this.catchUp(projector);
      await locked(this.pool, flip);
    } else {
      await this.whileEqual(projector, live.n, flip);
    }
  }

  /**
   * Runs `work` at a moment when both generations stand at the same positions: the live positions are locked, so that its projector
   * waits, and the few records that are missing are folded. Given up and tried again when that takes too long.
   */
  private async whileEqual(projector: Projector, live: number, work: (client: PoolClient) => Promise<void>): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      await this.catchUp(projector);
      await this.bringLive(live, projector);
      try {
        return await locked(this.pool, async (client) => {
          await client.query(`set local lock_timeout = ${LOCK_TIMEOUT_MS}`);
          const { rows } = await client.query<{ partition: number; next_offset: string }>(
            `select partition, next_offset from ${schemaOf(live)}.positions order by partition for update`,
          );
          for (const { partition, next_offset: target } of rows) {
            if ((await projector.catchUp(partition, Number(target))) !== Number(target)) throw new NotEqual();
          }
          await work(client);
        });
      } catch (error) {
        if (!(error instanceof NotEqual || isLockTimeout(error)) || attempt >= ATTEMPTS) throw error;
      }
    }
  }

  /** The live generation at least as far as the new one, even when nobody else projects; another projector there is no harm. */
  private async bringLive(live: number, projector: Projector): Promise<void> {
    const own = await this.projectorOf(live);
    for (const { partition, nextOffset } of projector.status()) {
      for (let attempt = 1; ; attempt++) {
        try {
          if ((await own.catchUp(partition, nextOffset)) >= nextOffset) break;
        } catch (error) {
          if (!(error instanceof Fenced) || attempt >= ATTEMPTS) throw error;
        }
      }
    }
  }
}

/** The live generation went on where the new one could not follow exactly: look again. */
class NotEqual extends Error {}

function isLockTimeout(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === '55P03';
}

/** The switch: one transaction; the retired generation's projectors are fenced by its epoch, its rows stay for readers. */
async function flipped(client: PoolClient, next: number, live: number | undefined): Promise<void> {
  await client.query('set local synchronous_commit = on');
  if (live !== undefined) {
    await client.query(`update fabula.projection_generations set state = 'retired', retired_at = now() where n = $1`, [live]);
    await client.query(`update ${schemaOf(live)}.positions set epoch = ${RETIRED_EPOCH}`);
  }
  await client.query(`update fabula.projection_generations set state = 'live', switched_at = now() where n = $1`, [next]);
  await settleDeadLetters(client, schemaOf(next));
}

/** Fresh tables have no statistics until autovacuum comes by; the API's first queries should not be planned blindly. */
async function analyse(pool: Pool, generation: number): Promise<void> {
  for (const name of TABLE_NAMES) await pool.query(`analyze ${schemaOf(generation)}.${TABLES[name].sql}`);
}

async function dropBuilding(pool: Pool): Promise<void> {
  await locked(pool, async (client) => {
    for (const { n, state } of await listGenerations(client)) if (state === 'building') await dropGeneration(client, n);
  });
}

function progress(
  partition: number,
  done: Offset,
  end: Offset,
  begun: { at: number; nextOffset: Offset } | undefined,
  now: number,
): RebuildProgress {
  const ms = now - (begun?.at ?? now);
  const rate = ms > 0 ? ((done - (begun?.nextOffset ?? 0)) * 1000) / ms : 0;
  return { partition, done, end, rate, etaMs: rate > 0 ? Math.max(0, Math.ceil(((end - done) * 1000) / rate)) : null };
}

function different(parity: Parity): readonly string[] {
  return parity.kind === 'different' ? parity.tables.filter(({ equal }) => !equal).map(({ table }) => table) : [];
}

function abortReason(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error('the rebuild was interrupted');
}
