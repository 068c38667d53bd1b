import { randomUUID } from 'node:crypto';
import { CommandHandler, type EventStore } from '@event-driven-io/emmett';
import { getPostgreSQLEventStore } from '@event-driven-io/emmett-postgresql';
import { isRejection } from '#lib/decision';
import { systemIds } from '#lib/platform';
import { playthrough, type PlaythroughCommand, type PlaythroughEvent, type PlaythroughState } from '#lib/playthrough';
import type { Pool } from 'pg';
import type { Player } from '../measure/drive.js';
import { verify } from '../row.js';
import { choiceAt, compiledRooms } from '../story/room-story.js';

interface EmmettEvent {
  readonly type: string;
  readonly data: PlaythroughEvent;
}
interface EmmettState {
  readonly playthrough: PlaythroughState | null;
}

/** Emmett's own command handling (load, fold, append with the expected version) around the very decider that Fabula runs. */
const handle = CommandHandler<EmmettState, EmmettEvent>({
  initialState: () => ({ playthrough: null }),
  evolve: (state, { data }) => ({ playthrough: playthrough.evolve(state.playthrough, data) }),
});

export async function openEmmett(url: string): Promise<EventStore> {
  const store = getPostgreSQLEventStore(url);
  await store.schema.migrate();
  return store;
}

export class EmmettPlayer implements Player {
  readonly id = randomUUID();

  constructor(private readonly store: EventStore) {}

  async next(turn: number): Promise<void> {
    const command: PlaythroughCommand =
      turn === 0
        ? { type: 'start', storyId: 'rooms', versionHash: compiledRooms.hash, preview: false }
        : { type: 'choose', choiceId: choiceAt(turn), turn: turn - 1 };
    const { newEvents, nextExpectedStreamVersion } = await handle(this.store, `playthrough-${this.id}`, (state) => {
      const decision = playthrough.decide(command, state.playthrough, {
        story: compiledRooms,
        now: Date.now(),
        playthroughId: this.id,
        reader: 'r-abcdefghijklmnopqrstuvwxyz',
        entropy: systemIds.hex(16),
      });
      if (isRejection(decision)) throw new Error(`${decision.rejected}: ${decision.message}`);
      return decision.map((event) => ({ type: event.type, data: event }));
    });
    if (newEvents.length !== 1 || nextExpectedStreamVersion !== BigInt(turn + 1)) throw new Error(`turn ${turn} was not stored as such`);
  }
}

export async function verifyEmmett(pool: Pool, acknowledged: number): Promise<string> {
  const { rows } = await pool.query<{ stored: string; dense: boolean }>(
    `select coalesce(sum(n), 0)::bigint as stored, coalesce(bool_and(n = last), true) as dense
     from (select count(*) as n, max(stream_position) as last from emt_messages group by stream_id) streams`,
  );
  const [row] = rows;
  return verify(
    `Emmett stored ${acknowledged} events on dense streams`,
    Number(row?.stored) === acknowledged && row?.dense === true,
    JSON.stringify(row),
  );
}
