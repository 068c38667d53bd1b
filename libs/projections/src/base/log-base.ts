import type { Pool, PoolClient } from 'pg';
import type { LogId, Offset } from '#lib/log';
import { LAYOUT, schemaOf } from '../generation-ddl.js';
import { readPositions } from '../stored-positions.js';
import { columnName, TABLE_NAMES, TABLES } from '../tables.js';
import { schemaDigest } from './base-digest.js';

/**
 * What a partition of the log begins with whose first records were forgotten: everything that a fold of them gave and that may still be asked
 * for, as rows in a schema of its own. Primary data: nothing else says it.
 */
export interface LogBase {
  readonly id: number;
  readonly logId: LogId;
  readonly partition: number;
  /** First offset that is not in it. */
  readonly offset: Offset;
  readonly layout: number;
  /** The action of two people that it was taken for. */
  readonly action: string;
  /** `building`, then `folded`: nothing begins with it yet; `current`: every fold of the partition does; `former`: to be dropped. */
  readonly state: 'building' | 'folded' | 'current' | 'former';
  /** Null while it is being built. */
  readonly digest: string | null;
}

/** What the partition begins with is not what was recorded: nothing is built on it. */
export class LogBaseDamaged extends Error {
  override readonly name = 'LogBaseDamaged';
  constructor(
    readonly partition: number,
    readonly offset: Offset,
    what: string,
  ) {
    super(
      `the base of partition ${partition} up to offset ${offset} ${what}: nothing is built on it; ` +
        `restore fabula.log_bases and its schema from a backup, the records themselves were pruned`,
    );
  }
}

interface BaseRecord {
  readonly id: number;
  readonly log_id: string;
  readonly partition: number;
  readonly offset: string;
  readonly layout: number;
  readonly action: string;
  readonly state: LogBase['state'];
  readonly digest: string | null;
}

const COLUMNS = 'id, log_id, partition, "offset", layout, action, state, digest';

export async function listBases(db: Pool | PoolClient, logId: LogId): Promise<readonly LogBase[]> {
  const { rows } = await db.query<BaseRecord>(`select ${COLUMNS} from fabula.log_bases where log_id = $1 order by partition, id`, [logId]);
  return rows.map(({ log_id, offset, ...row }) => ({ ...row, logId: log_id, offset: Number(offset) }));
}

/** What partitions begin with, those that do not begin at offset 0. */
export async function currentBases(db: Pool | PoolClient, logId: LogId): Promise<readonly LogBase[]> {
  return (await listBases(db, logId)).filter(({ state }) => state === 'current');
}

/** The digest of what lies there now; must run in a transaction. @throws LogBaseDamaged when its rows are gone */
export async function digestNow(client: PoolClient, base: LogBase): Promise<string> {
  const { id, logId, partition, offset } = base;
  const schema = schemaOf(-id);
  const { rows } = await client.query<{ there: boolean }>('select to_regnamespace($1) is not null as there', [schema]);
  if (rows[0]?.there !== true) throw new LogBaseDamaged(partition, offset, `is missing: there is no schema ${schema}`);
  const position = (await readPositions(client, -id)).find((one) => one.partition === partition);
  if (position?.nextOffset !== offset || position.logId !== logId)
    throw new LogBaseDamaged(partition, offset, `says that it ends at ${position?.nextOffset ?? 'none'}`);
  return schemaDigest(client, schema, logId, position);
}

/** @throws LogBaseDamaged unless what lies there is what was recorded, in a form that this build reads */
export async function checkBase(client: PoolClient, base: LogBase): Promise<void> {
  const { partition, offset, layout, digest } = base;
  if (layout !== LAYOUT) throw new LogBaseDamaged(partition, offset, `has layout ${layout}, and this build reads ${LAYOUT} alone`);
  const now = await digestNow(client, base);
  if (now !== digest) throw new LogBaseDamaged(partition, offset, `has the digest ${now}, and ${digest ?? 'none'} was recorded`);
}

/** Fills an empty generation with what its log's partitions begin with, in the client's transaction. @throws LogBaseDamaged */
export async function seed(client: PoolClient, generation: number, bases: readonly LogBase[]): Promise<void> {
  if (bases.length === 0) return;
  await client.query('set local statement_timeout = 0');
  const schema = schemaOf(generation);
  for (const base of bases) {
    await checkBase(client, base);
    const from = schemaOf(-base.id);
    for (const name of TABLE_NAMES) {
      const columns = Object.keys(TABLES[name].columns).map(columnName).join(', ');
      await patient(
        client,
        `insert into ${schema}.${TABLES[name].sql} (${columns}) select ${columns} from ${from}.${TABLES[name].sql} where partition = $1`,
        [base.partition],
      );
    }
    await client.query(
      `update ${schema}.positions p set next_offset = b.next_offset, last_time = b.last_time, accepted = b.accepted, duplicate = b.duplicate,
         reused = b.reused, conflict = b.conflict, invalid = b.invalid
       from ${from}.positions b where b.partition = p.partition and p.partition = $1`,
      [base.partition],
    );
  }
}

/** Longer than a pool lets its ordinary statements take on the client's side. */
const DAY_MS = 86_400_000;
export function patient(client: PoolClient, text: string, values: readonly unknown[] = []): Promise<{ readonly rowCount: number | null }> {
  const statement = { text, values: [...values], query_timeout: DAY_MS };
  return client.query(statement);
}

/** Rows of a base and of the row that tells of it go. */
export async function dropBase(client: PoolClient, { id }: Pick<LogBase, 'id'>): Promise<void> {
  await client.query(`drop schema if exists ${schemaOf(-id)} cascade`);
  await client.query('delete from fabula.log_bases where id = $1', [id]);
}
