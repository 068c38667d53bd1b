import { createDatabase, openPool } from '../databases.js';
import { EnginePlayer } from '../fabula/engine-player.js';
import { openEngineSide } from '../fabula/engine-side.js';
import { verifyLog } from '../fabula/read-log.js';
import { drivenSide, type Player } from '../measure/drive.js';
import { interleaved, type Side } from '../measure/rounds.js';
import { EmmettPlayer, openEmmett, verifyEmmett } from '../peers/emmett-commands.js';
import type { Row } from '../row.js';

const WRITERS = 32;
const SHORT = 20;
const LONG = 200;

/** What a command costs must not grow with the playthrough: rate of playthroughs of 200 commands beside those of 20. */
export const longStreams: Row = async (context) => {
  const fabula = await openEngineSide(await createDatabase(context, 'long_fabula', 'fabula'));
  const engine = await fabula.engine({ hotBytes: 2 * 1024 ** 3 });
  const emmettUrl = await createDatabase(context, 'long_emmett', 'empty');
  const emmett = await openEmmett(emmettUrl);
  const emmettPool = await openPool(emmettUrl, 2);
  const acknowledged = { fabula: 0, emmett: 0 };
  const side = (name: keyof typeof acknowledged, commands: number, open: () => Player): Side =>
    drivenSide(context.seconds, { writers: WRITERS, commands }, open, (operations) => (acknowledged[name] += operations));
  try {
    const { sides, foreignCpu } = await interleaved(
      {
        fabula: side('fabula', LONG, () => new EnginePlayer(engine)),
        peer: side('emmett', LONG, () => new EmmettPlayer(emmett)),
        floor: side('fabula', SHORT, () => new EnginePlayer(engine)),
      },
      {
        rounds: context.rounds,
        processes: [context.postgres.pid],
        onRound: (round, name, { value }) => context.progress(`round ${round}: ${name} ${Math.round(value)}/s`),
      },
    );
    return [
      {
        row: 'long-streams',
        unit: 'commands/s',
        goals: [{ to: 'floor', atLeast: 0.9 }],
        sides,
        foreignCpu,
        verified: [await verifyLog(fabula.log, acknowledged.fabula), await verifyEmmett(emmettPool, acknowledged.emmett)],
        peer: `Emmett 0.42.0 CommandHandler, playthroughs of ${LONG} commands`,
        floor: `Fabula itself, playthroughs of ${SHORT} commands`,
      },
    ];
  } finally {
    await Promise.all([fabula.close(), emmett.close(), emmettPool.end()]);
  }
};
