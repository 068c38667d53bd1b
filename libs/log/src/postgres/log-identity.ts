import type { Pool, PoolClient } from 'pg';
import { errorCode } from '#lib/platform';
import type { LogId } from '../event-log.js';

/** The partition count is written once: placement of every stream depends on it. */
export class PartitionCountDiffers extends Error {
  override readonly name = 'PartitionCountDiffers';
  constructor(
    readonly written: number,
    readonly configured: number,
  ) {
    super(
      `This log was created with ${written} partitions, but ${configured} are configured. ` +
        `Set FABULA_PARTITIONS=${written}; the way to another count is a copy into a new log.`,
    );
  }
}

/** The database may lose what it has acknowledged. */
export class NotDurable extends Error {
  override readonly name = 'NotDurable';
  constructor(setting: string) {
    super(
      `The database runs with ${setting} = off: it can lose turns that were acknowledged. ` +
        `Switch ${setting} on; only tests may allow this.`,
    );
  }
}

/** The tables of the log are not there. */
export class LogNotMigrated extends Error {
  override readonly name = 'LogNotMigrated';
  constructor() {
    super('The tables of the log do not exist in this database: a server that starts on it makes them.');
  }
}

/** Reads the log's identity, creating the log at first. Many processes may do this at once: one creates, all read the same. */
export async function openIdentity(pool: Pool, partitions: number, proposedId: LogId): Promise<LogId> {
  const client = await pool.connect();
  try {
    return await createOrRead(client, partitions, proposedId);
  } catch (error) {
    if (errorCode(error) === '42P01' || errorCode(error) === '3F000') throw new LogNotMigrated();
    throw error;
  } finally {
    client.release();
  }
}

async function createOrRead(client: PoolClient, partitions: number, proposedId: LogId): Promise<LogId> {
  // One statement, so one transaction: identity and head rows appear together. A second process waits here for the first.
  await client.query(
    `with created as (
       insert into fabula.log_identity (id, partitions) values ($1, $2) on conflict do nothing returning partitions
     )
     insert into fabula.log_partitions (partition) select generate_series(0, partitions - 1) from created`,
    [proposedId, partitions],
  );
  const { rows } = await client.query<{ id: string; partitions: number }>('select id, partitions from fabula.log_identity');
  const identity = rows[0];
  if (identity === undefined) throw new LogNotMigrated();
  if (identity.partitions !== partitions) throw new PartitionCountDiffers(identity.partitions, partitions);
  return identity.id;
}

/** @throws NotDurable */
export async function refuseWithoutDurability(pool: Pool): Promise<void> {
  const { rows } = await pool.query<{ name: string }>(
    `select name from pg_settings where name in ('fsync', 'synchronous_commit', 'full_page_writes') and setting = 'off' order by name`,
  );
  const setting = rows[0];
  if (setting !== undefined) throw new NotDurable(setting.name);
}

/** Id and partition count of the log that a database holds, if it holds one. Creates nothing. */
export async function findPostgresLog(pool: Pool): Promise<{ readonly id: LogId; readonly partitions: number } | undefined> {
  try {
    return (await pool.query<{ id: string; partitions: number }>('select id, partitions from fabula.log_identity')).rows[0];
  } catch (error) {
    if (errorCode(error) === '42P01' || errorCode(error) === '3F000') return undefined;
    throw error;
  }
}
