import { createDatabase, openPool } from '../databases.js';
import { EnginePlayer } from '../fabula/engine-player.js';
import { openEngineSide, PARTITIONS } from '../fabula/engine-side.js';
import { verifyLog } from '../fabula/read-log.js';
import { sampleRecords } from '../fabula/sample-records.js';
import { createFloorTable, FloorPlayer, GroupCommit, verifyFloor } from '../floors/group-commit.js';
import { drivenSide, type Player } from '../measure/drive.js';
import { byLatency, interleaved, type Side, type SideName } from '../measure/rounds.js';
import { EmmettPlayer, openEmmett, verifyEmmett } from '../peers/emmett-commands.js';
import type { Row } from '../row.js';

const WRITERS = 32;
const COMMANDS = 20;

/** Commands per second and their p99: 32 writers, 20 commands per playthrough. */
export const commands: Row = async (context) => {
  const fabula = await openEngineSide(await createDatabase(context, 'commands_fabula', 'fabula'));
  // Nobody projects here, so nothing may be evicted.
  const engine = await fabula.engine({ hotBytes: 1024 ** 3 });
  const emmettUrl = await createDatabase(context, 'commands_emmett', 'empty');
  const emmett = await openEmmett(emmettUrl);
  const emmettPool = await openPool(emmettUrl, 2);
  const floorPool = await openPool(await createDatabase(context, 'commands_floor', 'empty'));
  await createFloorTable(floorPool);
  const records = await sampleRecords(COMMANDS);
  const floor = new GroupCommit(floorPool);

  const acknowledged = { fabula: 0, peer: 0, floor: 0 };
  const side = (name: SideName, open: () => Player): Side =>
    drivenSide(context.seconds, { writers: WRITERS, commands: COMMANDS }, open, (operations) => (acknowledged[name] += operations));
  try {
    const { sides, foreignCpu } = await interleaved(
      {
        fabula: side('fabula', () => new EnginePlayer(engine)),
        peer: side('peer', () => new EmmettPlayer(emmett)),
        floor: side('floor', () => new FloorPlayer(floor, records)),
      },
      {
        rounds: context.rounds,
        processes: [context.postgres.pid],
        onRound: (round, name, { value }) => context.progress(`round ${round}: ${name} ${Math.round(value)}/s`),
      },
    );
    const verified = [
      await verifyLog(fabula.log, acknowledged.fabula),
      await verifyEmmett(emmettPool, acknowledged.peer),
      await verifyFloor(floorPool, acknowledged.floor),
      'fsync and synchronous_commit are on',
    ];
    const bytes = Math.round(records.reduce((sum, record) => sum + record.length, 0) / records.length);
    const common = {
      verified,
      foreignCpu,
      peer: 'Emmett 0.42.0 CommandHandler with the same decider',
      floor: 'group commit: INSERT … unnest of the same bytes, one batch in flight',
      extra: { writers: WRITERS, commandsPerPlaythrough: COMMANDS, partitions: PARTITIONS, bytesPerRecord: bytes },
    };
    return [
      {
        row: 'commands',
        unit: 'commands/s',
        goals: [
          { to: 'peer', atLeast: 5 },
          { to: 'floor', atLeast: 0.4 },
        ],
        sides,
        ...common,
      },
      { row: 'commands-p99', unit: 'ms', goals: [{ to: 'peer', atMost: 0.4 }], sides: byLatency(sides, 'p99'), ...common },
    ];
  } finally {
    await Promise.all([fabula.close(), emmett.close(), emmettPool.end(), floorPool.end()]);
  }
};
