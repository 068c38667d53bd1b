import { pongoSingleStreamProjection, rebuildPostgreSQLProjections, type Projection } from '@event-driven-io/emmett-postgresql';
import type { Pool } from 'pg';

/** What both sides derive here: how many commands a playthrough has, and where it stands. */
interface PlaythroughDocument {
  readonly events: number;
  readonly passage: string;
}

const COLLECTION = 'playthroughs';

const projection: Projection = pongoSingleStreamProjection<PlaythroughDocument>({
  collectionName: COLLECTION,
  canHandle: ['PlaythroughStarted', 'ChoiceMade', 'PlaythroughEnded'],
  initialState: () => ({ events: 0, passage: '' }),
  evolve: (document, event) => ({ events: document.events + 1, passage: passageOf(event.data) }),
});

function passageOf(data: object): string {
  return 'toPassageId' in data && typeof data.toPassageId === 'string' ? data.toPassageId : '';
}

/** Rebuilds the projection from the first event on, as Emmett's documentation does it. */
export async function rebuildEmmett(url: string): Promise<void> {
  const consumer = rebuildPostgreSQLProjections({ connectionString: url, projections: [{ projection, startFrom: 'BEGINNING' }] });
  try {
    await consumer.start();
  } finally {
    await consumer.close();
  }
}

/** Documents that hold exactly what their stream's events say. */
export async function correctDocuments(pool: Pool): Promise<number> {
  const { rows } = await pool.query<{ correct: string }>(
    `select count(*) as correct
     from (select stream_id, count(*) as events,
             (array_agg(coalesce(message_data->>'toPassageId', '') order by stream_position desc))[1] as passage
           from emt_messages where message_kind = 'E' group by stream_id) s
     join ${COLLECTION} d on d._id = s.stream_id
     where (d.data->>'events')::int = s.events and d.data->>'passage' = s.passage`,
  );
  return Number(rows[0]?.correct);
}
