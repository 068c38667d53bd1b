import type { Pool } from 'pg';
import { createKafka, type KafkaConnection } from '#lib/log';
import { LOCKS } from './postgres-ownership.js';

/**
 * Engines that share the partitions of a log through this database, by address where they own a partition, else by their session.
 * A database that no server has used has none.
 */
export async function enginesOnPostgres(pool: Pool): Promise<readonly string[]> {
  const { rows } = await pool.query<{ engine: string }>(
    `select coalesce(min(o.address), 'session ' || l.pid) as engine
     from pg_locks l
     left join fabula.partition_owners o on l.classid::int = $1::int and o.partition = l.objid::int
     where l.locktype = 'advisory' and l.granted and l.objsubid = 2 and l.classid::int in ($1::int, $2::int)
       and l.database = (select oid from pg_database where datname = current_database())
     group by l.pid order by 1`,
    [LOCKS.engine.owner, LOCKS.engine.present],
  );
  return rows.map(({ engine }) => engine);
}

/** Members of the group that shares the partitions of a topic: each is an engine. */
export async function enginesOnKafka(connection: KafkaConnection, topic: string): Promise<readonly string[]> {
  const admin = (await createKafka(connection)).admin();
  await admin.connect();
  try {
    const { groups } = await admin.describeGroups([`${topic}.engine`]);
    return groups.flatMap(({ members }) => members.map(({ memberId, clientHost }) => `${memberId} at ${clientHost}`));
  } finally {
    await admin.disconnect();
  }
}
