import type { Pool, PoolClient } from 'pg';
import { assertBegins, refuseUnfinishedCopy, type EventLog, type LogId } from '#lib/log';
import { currentBases, forgetGenerations, livePositions } from '#lib/projections';

/** Where a log is kept, as the settings name it. */
export interface LogPlace {
  readonly kind: string;
  /** Topic, stream prefix; empty where a kind has one log only. */
  readonly place: string;
}

interface KnownLog extends LogPlace {
  readonly logId: LogId;
  readonly partitions: number;
}

/** What is derived in this database comes from another log, or from more of this one than there is. */
export class LogDiffers extends Error {
  override readonly name = 'LogDiffers';
  /** @param adopt what FABULA_ADOPT_LOG must say to take the log of the settings */
  constructor(difference: string, adopt: string) {
    super(
      `${difference}\n` +
        '  - If the settings are wrong (FABULA_LOG, KAFKA_BROKERS, FABULA_KAFKA_TOPIC, EVENTSTOREDB_URL, DATABASE_URL), set them right: nothing in the database was changed.\n' +
        `  - If this is the log from now on, stop every server on this database and start one with FABULA_ADOPT_LOG=${adopt}: it forgets the read models\n` +
        '    and builds them anew from this log. Then `fabula audit rebuild` and, with a public feed, `fabula feed reset --to end`; signed notes stay.',
    );
  }
}

/** @returns undefined when this database has derived nothing yet */
export async function knownLog(pool: Pool): Promise<KnownLog | undefined> {
  const { rows } = await pool.query<{ kind: string; place: string; log_id: string; partitions: number }>(
    'select kind, place, log_id, partitions from fabula.known_log',
  );
  const [row] = rows;
  return row && { kind: row.kind, place: row.place, logId: row.log_id, partitions: row.partitions };
}

/**
 * Whether a topic or stream that is not there may be created: not where this database knows one by that name, because then it was lost.
 * @param adopt the setting FABULA_ADOPT_LOG
 */
export async function mayCreate(pool: Pool, { kind, place }: LogPlace, adopt: string | undefined): Promise<boolean> {
  const known = await knownLog(pool);
  return adopt === ADOPT_NEW || known === undefined || known.kind !== kind || known.place !== place;
}

/** Takes whatever log is there, if it is empty. */
export const ADOPT_NEW = 'new';

/**
 * Compares the opened log with what this database was derived from, and remembers it at first.
 * @param adopt the setting FABULA_ADOPT_LOG: the id of the log that is to be taken from now on, or `new`
 * @returns true when the read models of another log were forgotten
 * @throws LogDiffers, CopyUnfinished; LogDamaged when the log begins after what was kept of its pruned records
 */
export async function recogniseLog(pool: Pool, log: EventLog, place: LogPlace, adopt: string | undefined): Promise<boolean> {
  const logId = await log.id();
  const bases = await currentBases(pool, logId);
  // Before anything else: whatever is adopted, what neither the log nor a base has cannot be derived.
  await assertBegins(log, (partition) => bases.find((base) => base.partition === partition)?.offset ?? 0);
  const difference = await differenceFrom(pool, log, logId, place);
  if (difference === undefined) {
    if ((await knownLog(pool)) === undefined) await refuseUnfinishedCopy(log);
    await remember(pool, { ...place, logId, partitions: log.partitions });
    return false;
  }
  // A log in memory is another one at every start: nothing is lost that would not be anyway. Not so where the database followed another kind.
  const inMemory = place.kind === 'memory';
  const again = inMemory && (await knownLog(pool))?.kind === 'memory';
  const meant = again || adopt === logId || (adopt === ADOPT_NEW && (await isEmpty(log)));
  if (!meant) throw new LogDiffers(difference, inMemory ? ADOPT_NEW : logId);
  await refuseUnfinishedCopy(log);
  await forgetGenerations(pool, (client) => remember(client, { ...place, logId, partitions: log.partitions }));
  return true;
}

async function differenceFrom(pool: Pool, log: EventLog, logId: LogId, place: LogPlace): Promise<string | undefined> {
  const known = await knownLog(pool);
  const opened = `log ${logId} (${describe(place)})`;
  if (known !== undefined && known.logId !== logId) {
    return `This database was derived from log ${known.logId} (${describe(known)}), but the settings lead to ${opened}.`;
  }
  const positions = await livePositions(pool);
  const foreign = positions.find((position) => position.logId !== logId);
  if (foreign !== undefined)
    return `The read models of this database were derived from log ${foreign.logId}, but the settings lead to ${opened}.`;
  for (const { partition, nextOffset } of positions) {
    const end = await log.end(partition);
    if (nextOffset > end) {
      return `The read models of this database hold partition ${partition} of ${opened} up to offset ${nextOffset}, but it ends at ${end}: records are gone.`;
    }
    const begin = await log.begin(partition);
    if (nextOffset < begin)
      return `The read models of this database hold partition ${partition} of ${opened} up to offset ${nextOffset} only, but it begins at ${begin}: they are older than its pruning.`;
  }
  return undefined;
}

const describe = ({ kind, place }: LogPlace): string => (place === '' ? kind : `${kind} ${place}`);

async function isEmpty(log: EventLog): Promise<boolean> {
  for (let partition = 0; partition < log.partitions; partition++) if ((await log.end(partition)) > 0) return false;
  return true;
}

async function remember(db: Pool | PoolClient, { kind, place, logId, partitions }: KnownLog): Promise<void> {
  await db.query(
    `insert into fabula.known_log (kind, place, log_id, partitions) values ($1, $2, $3, $4)
     on conflict (one) do update set kind = excluded.kind, place = excluded.place, log_id = excluded.log_id,
       partitions = excluded.partitions, since = now()
     where (known_log.kind, known_log.place, known_log.log_id) is distinct from (excluded.kind, excluded.place, excluded.log_id)`,
    [kind, place, logId, partitions],
  );
}
