import type { Pool } from 'pg';
import { decodeRecord } from '#lib/decision';
import { verify } from '../row.js';

const BATCH = 1_000;

/** One document per playthrough, its checkpoint beside it: the least that a batched projection can do, one statement per 1,000 records. */
export async function rebuildFloor(pool: Pool, partitions: number): Promise<number> {
  await pool.query(`drop table if exists floor_playthroughs, floor_checkpoints;
    create table floor_playthroughs (stream text primary key, events integer not null, passage text not null);
    create table floor_checkpoints (partition integer primary key, next_offset bigint not null)`);
  let events = 0;
  for (let partition = 0; partition < partitions; partition++) {
    for (let from = 0; ;) {
      const { rows } = await pool.query<{ value: Buffer }>({
        name: 'floor_page',
        text: 'select value from fabula.log_records where partition = $1 and "offset" >= $2 order by "offset" limit $3',
        values: [partition, from, BATCH],
      });
      if (rows.length === 0) break;
      const folded = new Map<string, { events: number; passage: string }>();
      for (const { value } of rows) {
        const decoded = decodeRecord(value);
        if (decoded.kind !== 'record') throw new Error(decoded.kind);
        const { stream, events: list } = decoded.record;
        const document = folded.get(stream) ?? { events: 0, passage: '' };
        for (const event of list) {
          document.events++;
          document.passage = typeof event['toPassageId'] === 'string' ? event['toPassageId'] : '';
          events++;
        }
        folded.set(stream, document);
      }
      from += rows.length;
      await pool.query({
        name: 'floor_upsert',
        text: `with folded as (
            insert into floor_playthroughs select * from unnest($1::text[], $2::int[], $3::text[])
            on conflict (stream) do update set events = floor_playthroughs.events + excluded.events, passage = excluded.passage
          )
          insert into floor_checkpoints values ($4, $5) on conflict (partition) do update set next_offset = excluded.next_offset`,
        values: [
          [...folded.keys()],
          [...folded.values()].map((document) => document.events),
          [...folded.values()].map((document) => document.passage),
          partition,
          from,
        ],
      });
    }
  }
  return events;
}

export async function verifyRebuildFloor(pool: Pool, events: number): Promise<string> {
  const { rows } = await pool.query<{ events: string }>('select sum(events) as events from floor_playthroughs');
  return verify(`the floor's documents count ${events} events`, Number(rows[0]?.events) === events, rows[0]?.events);
}
