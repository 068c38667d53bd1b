import type { Pool, PoolClient, QueryResultRow } from 'pg';
import type { LogId } from '#lib/log';
import type { Clock } from '#lib/platform';
import { currentBases, seed } from './base/log-base.js';
import { additionsSince, generationDdl, LAYOUT, schemaOf } from './generation-ddl.js';

/** A retired generation stays this long for readers that have not looked at the pointer since. */
export const RETIRED_KEPT_MS = 60_000;
/** How long a process trusts its pointer to the live generation; far below the time a retired one stays. */
const POINTER_TRUSTED_MS = 2_000;
/** Any fixed number: one process at a time creates or drops generations. */
const GENERATIONS_LOCK = '4701231823412331894';

export interface Generation {
  readonly n: number;
  readonly state: 'building' | 'live' | 'retired';
  readonly layout: number;
  readonly logId: LogId;
  readonly createdAt: Date;
}

/** There is no live generation yet: no projector has run on this database. */
export class NoReadModels extends Error {
  override readonly name = 'NoReadModels';
  constructor() {
    super('there are no read models yet; start a server with the role projector');
  }
}

/** The process's pointer to the live generation, and queries against it. */
export class LiveGeneration {
  private known: { readonly n: number; readonly at: number } | undefined;

  constructor(
    private readonly pool: Pool,
    private readonly clock: Clock,
  ) {}

  /** @throws NoReadModels */
  async current(): Promise<number> {
    const { known } = this;
    return known !== undefined && this.clock.now() - known.at < POINTER_TRUSTED_MS ? known.n : this.refresh();
  }

  /** @throws NoReadModels */
  async refresh(): Promise<number> {
    const at = this.clock.now();
    const { rows } = await this.pool.query<{ n: number }>({
      name: 'projection_live',
      text: `select n from fabula.projection_generations where state = 'live'`,
    });
    const [live] = rows;
    if (live === undefined) throw new NoReadModels();
    this.known = { n: live.n, at };
    return live.n;
  }

  /**
   * Runs one statement against the live generation's tables; once more when that generation was dropped meanwhile.
   * @param statement gets the schema's name
   */
  async query<Row extends QueryResultRow>(
    name: string,
    statement: (schema: string) => string,
    values: readonly unknown[],
  ): Promise<{ readonly rows: readonly Row[]; readonly generation: number }> {
    const generation = await this.current();
    try {
      return { rows: await queryGeneration<Row>(this.pool, generation, name, statement, values), generation };
    } catch (error) {
      if (!isUndefinedTable(error)) throw error;
      const again = await this.refresh();
      return { rows: await queryGeneration<Row>(this.pool, again, name, statement, values), generation: again };
    }
  }
}

/** One prepared statement per generation and name. */
export async function queryGeneration<Row extends QueryResultRow>(
  db: Pool | PoolClient,
  generation: number,
  name: string,
  statement: (schema: string) => string,
  values: readonly unknown[],
): Promise<readonly Row[]> {
  const schema = schemaOf(generation);
  return (await db.query<Row>({ name: `${schema}_${name}`, text: statement(schema), values: [...values] })).rows;
}

/** SQLSTATE undefined_table and invalid_schema_name: the generation was dropped. */
export function isUndefinedTable(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === '42P01' || code === '3F000';
}

/** All generations that are not dropped, oldest first. */
export async function listGenerations(db: Pool | PoolClient): Promise<readonly Generation[]> {
  const { rows } = await db.query<{ n: number; state: Generation['state']; layout: number; log_id: string; created_at: Date }>(
    'select n, state, layout, log_id, created_at from fabula.projection_generations order by n',
  );
  return rows.map((row) => ({ n: row.n, state: row.state, layout: row.layout, logId: row.log_id, createdAt: row.created_at }));
}

/** The live generation; an empty one is created where there is none yet. */
export async function ensureLiveGeneration(pool: Pool, logId: LogId, partitions: number): Promise<Generation> {
  return locked(pool, async (client) => {
    const generations = await listGenerations(client);
    const live = generations.find(({ state }) => state === 'live');
    return live === undefined ? createGeneration(client, generations, 'live', logId, partitions) : completed(client, live);
  });
}

/** For a projector that starts anew: a node of the last release may have made another generation live meanwhile. */
export async function completeLiveGeneration(pool: Pool): Promise<void> {
  await locked(pool, async (client) => {
    const live = (await listGenerations(client)).find(({ state }) => state === 'live');
    if (live !== undefined) await completed(client, live);
  });
}

/** A live generation of an older layout gets the tables that it lacks: nothing of what they would hold was folded before. */
async function completed(client: PoolClient, live: Generation): Promise<Generation> {
  if (live.layout >= LAYOUT) return live;
  for (const statement of additionsSince(live.layout, live.n)) await client.query(statement);
  await client.query('update fabula.projection_generations set layout = $1 where n = $2', [LAYOUT, live.n]);
  return { ...live, layout: LAYOUT };
}

/** The generation being built: a rebuild that was interrupted goes on, if it was for this log and layout. */
export async function ensureBuildingGeneration(pool: Pool, logId: LogId, partitions: number): Promise<Generation> {
  return locked(pool, async (client) => {
    const generations = await listGenerations(client);
    const building = generations.find(({ state }) => state === 'building');
    if (building !== undefined && building.logId === logId && building.layout === LAYOUT) return building;
    if (building !== undefined) await dropGeneration(client, building.n);
    return createGeneration(client, generations, 'building', logId, partitions);
  });
}

/** Drops generations that were retired long enough ago; answers their numbers. */
export async function dropRetired(pool: Pool, keptMs = RETIRED_KEPT_MS): Promise<readonly number[]> {
  return locked(pool, async (client) => {
    const { rows } = await client.query<{ n: number }>(
      `select n from fabula.projection_generations where state = 'retired' and retired_at < now() - make_interval(secs => $1 / 1000.0)`,
      [keptMs],
    );
    for (const { n } of rows) await dropGeneration(client, n);
    return rows.map(({ n }) => n);
  });
}

export async function dropGeneration(client: PoolClient, n: number): Promise<void> {
  await client.query(`drop schema if exists ${schemaOf(n)} cascade`);
  await client.query('delete from fabula.projection_generations where n = $1', [n]);
}

/** Where the live generation stands; empty before the first projector. */
export async function livePositions(
  pool: Pool,
): Promise<readonly { readonly partition: number; readonly logId: LogId; readonly nextOffset: number }[]> {
  return locked(pool, async (client) => {
    const live = (await listGenerations(client)).find(({ state }) => state === 'live');
    if (live === undefined) return [];
    const { rows } = await client.query<{ partition: number; log_id: string; next_offset: string }>(
      `select partition, log_id, next_offset from ${schemaOf(live.n)}.positions order by partition`,
    );
    return rows.map((row) => ({ partition: row.partition, logId: row.log_id, nextOffset: Number(row.next_offset) }));
  });
}

/** Drops every generation, so that projectors begin at offset 0 of whatever log they follow; `also` in the same transaction. */
export async function forgetGenerations(pool: Pool, also: (client: PoolClient) => Promise<void>): Promise<void> {
  await locked(pool, async (client) => {
    for (const { n } of await listGenerations(client)) await dropGeneration(client, n);
    await also(client);
  });
}

async function createGeneration(
  client: PoolClient,
  generations: readonly Generation[],
  state: 'live' | 'building',
  logId: LogId,
  partitions: number,
): Promise<Generation> {
  const n = generations.reduce((highest, generation) => Math.max(highest, generation.n), 0) + 1;
  await client.query(generationDdl(n));
  await client.query(
    `insert into ${schemaOf(n)}.positions select p, $1, 0, 0, 0, 0, 0, 0, 0, 0 from generate_series(0, $2::integer - 1) p`,
    [logId, partitions],
  );
  // Every fold begins where the log does.
  await seed(client, n, await currentBases(client, logId));
  const { rows } = await client.query<{ created_at: Date }>(
    'insert into fabula.projection_generations (n, state, layout, log_id) values ($1, $2, $3, $4) returning created_at',
    [n, state, LAYOUT, logId],
  );
  return { n, state, layout: LAYOUT, logId, createdAt: rows[0]?.created_at ?? new Date(0) };
}

/** One transaction under the generations' lock. */
export async function locked<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  return transaction(pool, async (client) => {
    await client.query('select pg_advisory_xact_lock($1)', [GENERATIONS_LOCK]);
    return work(client);
  });
}

export async function transaction<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  // A connection that is cut between two statements fails the next one; unheard, the event would end the process.
  const cut = (error: Error): void => void (broken = error);
  client.on('error', cut);
  try {
    await client.query('begin');
    const result = await work(client);
    await client.query('commit');
    return result;
  } catch (error) {
    // A connection whose rollback fails is of no more use: it is closed instead of going back to the pool.
    await client.query('rollback').catch((failure: Error) => (broken = failure));
    throw error;
  } finally {
    client.off('error', cut);
    client.release(broken);
  }
}
