import type { Pool } from 'pg';
import { createDatabase, openPool } from '../databases.js';
import { EnginePlayer } from '../fabula/engine-player.js';
import { openEngineSide } from '../fabula/engine-side.js';
import { verifyLog } from '../fabula/read-log.js';
import { sampleRecords } from '../fabula/sample-records.js';
import { createFloorTable, FloorPlayer, GroupCommit, verifyFloor } from '../floors/group-commit.js';
import { driveEach, type Player } from '../measure/drive.js';
import { interleaved, type Side } from '../measure/rounds.js';
import { EmmettPlayer, openEmmett, verifyEmmett } from '../peers/emmett-commands.js';
import { verify, type Row } from '../row.js';

const WRITERS = 32;
/** Turns that a playthrough has when the measured command comes. */
const TURNS = 10;

/** Every command meets a playthrough that nobody holds in memory: a fresh engine each round, each playthrough once. */
export const cold: Row = async (context) => {
  const playthroughs = context.smoke ? 200 : 1_500;
  const fabula = await openEngineSide(await createDatabase(context, 'cold_fabula', 'fabula'));
  const emmettUrl = await createDatabase(context, 'cold_emmett', 'empty');
  const emmett = await openEmmett(emmettUrl);
  const emmettPool = await openPool(emmettUrl, 2);
  const floorPool = await openPool(await createDatabase(context, 'cold_floor', 'empty'));
  await createFloorTable(floorPool);
  const records = await sampleRecords(TURNS);
  const floor = new GroupCommit(floorPool, (streams) => loadStreams(floorPool, streams));
  try {
    const count = (open: () => Player): Player[] => Array.from({ length: playthroughs }, open);
    const first = await fabula.engine({ hotBytes: 1024 ** 3 });
    const enginePlayers = Array.from({ length: playthroughs }, () => new EnginePlayer(first));
    const emmettPlayers = count(() => new EmmettPlayer(emmett));
    const floorPlayers = count(() => new FloorPlayer(floor, records));
    context.progress(`playing ${playthroughs} playthroughs to turn ${TURNS - 1} on each side`);
    for (const players of [enginePlayers, emmettPlayers, floorPlayers]) {
      await driveEach(players, WRITERS, async (player) => {
        for (let turn = 0; turn < TURNS; turn++) await player.next(turn);
      });
    }
    await first.stop();

    const side =
      (players: readonly Player[]): Side =>
      (round) =>
        driveEach(players, WRITERS, (player) => player.next(TURNS + round));
    const { sides, foreignCpu } = await interleaved(
      {
        fabula: async (round) => {
          const engine = await fabula.engine();
          verify('the engine holds no playthrough before the round', engine.hot(`playthrough/${enginePlayers[0]?.id}`) === undefined);
          return side(enginePlayers.map((player) => player.moveTo(engine)))(round);
        },
        peer: side(emmettPlayers),
        floor: side(floorPlayers),
      },
      {
        rounds: context.rounds,
        processes: [context.postgres.pid],
        between: () => fabula.project(),
        onRound: (round, name, { value }) => context.progress(`round ${round}: ${name} ${Math.round(value)}/s`),
      },
    );
    const commands = playthroughs * (TURNS + context.rounds + 1);
    return [
      {
        row: 'cold',
        unit: 'commands/s',
        goals: [{ to: 'peer', atLeast: 3 }],
        sides,
        foreignCpu,
        verified: [
          await verifyLog(fabula.log, commands),
          await verifyEmmett(emmettPool, commands),
          await verifyFloor(floorPool, commands),
          'no playthrough was in memory when its command came',
        ],
        peer: 'Emmett 0.42.0 CommandHandler with the same decider',
        floor: 'group commit that reads the whole streams of a batch first',
        extra: { playthroughs, turns: TURNS },
      },
    ];
  } finally {
    await Promise.all([fabula.close(), emmett.close(), emmettPool.end(), floorPool.end()]);
  }
};

async function loadStreams(pool: Pool, streams: readonly string[]): Promise<void> {
  const { rows } = await pool.query<{ data: Buffer }>({
    name: 'floor_load',
    text: 'select stream, version, data from floor_records where stream = any($1::text[]) order by stream, version',
    values: [streams],
  });
  for (const { data } of rows) JSON.parse(data.toString('utf8'));
}
