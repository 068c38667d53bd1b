import { createDatabase, openPool } from '../databases.js';
import { EnginePlayer } from '../fabula/engine-player.js';
import { openEngineSide, PARTITIONS } from '../fabula/engine-side.js';
import { readLog, verifyLog } from '../fabula/read-log.js';
import { rebuildFloor, verifyRebuildFloor } from '../floors/batched-rebuild.js';
import { driveEach, type Player } from '../measure/drive.js';
import { interleaved } from '../measure/rounds.js';
import { EmmettPlayer, openEmmett, verifyEmmett } from '../peers/emmett-commands.js';
import { correctDocuments, rebuildEmmett } from '../peers/emmett-rebuild.js';
import { systemClock, systemTimers } from '#lib/platform';
import { foldLog, LiveGeneration, PostgresProjection, readModelDigest, rebuild } from '#lib/projections';
import { verify, type Row } from '../row.js';

const WRITERS = 8;
const EVENTS_EACH = 20;

/** All read models derived anew from a log that 8 writers filled at once, exactly as a fold from the first record has them. */
export const rebuildRow: Row = async (context) => {
  const playthroughs = { fabula: context.smoke ? 150 : 1_000, emmett: context.smoke ? 30 : 150 };
  const events = { fabula: playthroughs.fabula * EVENTS_EACH, emmett: playthroughs.emmett * EVENTS_EACH };
  const fabulaUrl = await createDatabase(context, 'rebuild_fabula', 'fabula');
  const fabula = await openEngineSide(fabulaUrl);
  const emmettUrl = await createDatabase(context, 'rebuild_emmett', 'empty');
  const emmett = await openEmmett(emmettUrl);
  const emmettPool = await openPool(emmettUrl, 2);
  try {
    const engine = await fabula.engine();
    context.progress(`${WRITERS} writers: ${events.fabula} events for Fabula and the floor, ${events.emmett} for Emmett`);
    const play = (count: number, open: () => Player) =>
      driveEach(Array.from({ length: count }, open), WRITERS, async (player) => {
        for (let turn = 0; turn < EVENTS_EACH; turn++) await player.next(turn);
      });
    await play(playthroughs.fabula, () => new EnginePlayer(engine));
    await play(playthroughs.emmett, () => new EmmettPlayer(emmett));
    await engine.stop();
    await fabula.project();

    const parities: string[] = [];
    let correct = Infinity;
    const { sides, foreignCpu } = await interleaved(
      {
        fabula: async () => {
          const begun = performance.now();
          let folded = begun;
          const { records, parity } = await rebuild({
            databaseUrl: fabulaUrl,
            log: fabula.log,
            clock: systemClock,
            timers: systemTimers,
            fresh: true,
            onProgress: () => (folded = Math.max(folded, performance.now())),
          });
          verify('every record was folded again', records === events.fabula, String(records));
          parities.push(parity.kind);
          return { value: events.fabula / ((folded - begun) / 1000), operations: events.fabula };
        },
        peer: async () => {
          const begun = performance.now();
          await rebuildEmmett(emmettUrl);
          const seconds = (performance.now() - begun) / 1000;
          correct = Math.min(correct, await correctDocuments(emmettPool));
          return { value: events.emmett / seconds, operations: events.emmett };
        },
        floor: async () => {
          const begun = performance.now();
          verify('the floor folded every event', (await rebuildFloor(fabula.pool, PARTITIONS)) === events.fabula);
          return { value: events.fabula / ((performance.now() - begun) / 1000), operations: events.fabula };
        },
      },
      {
        rounds: context.rounds,
        processes: [context.postgres.pid],
        onRound: (round, name, { value }) => context.progress(`round ${round}: ${name} ${Math.round(value)} events/s`),
      },
    );
    const oracle = await foldLog(await fabula.log.id(), await readLog(fabula.log));
    const rebuilt = new PostgresProjection(fabula.pool, new LiveGeneration(fabula.pool, systemClock));
    await rebuilt.open(await fabula.log.id(), PARTITIONS);
    const [wanted, found] = [await readModelDigest(oracle), await readModelDigest(rebuilt)];
    return [
      {
        row: 'rebuild',
        unit: 'events/s',
        goals: [
          { to: 'peer', atLeast: 20 },
          { to: 'floor', atLeast: 0.25 },
        ],
        sides,
        foreignCpu,
        verified: [
          await verifyLog(fabula.log, events.fabula),
          verify(
            'each rebuild equals the generation before it',
            parities.every((kind) => kind === 'equal'),
            parities.join(' '),
          ),
          verify('every table equals a fold from the first record, byte for byte', JSON.stringify(wanted) === JSON.stringify(found)),
          await verifyEmmett(emmettPool, events.emmett),
          await verifyRebuildFloor(fabula.pool, events.fabula),
        ],
        peer: 'Emmett 0.42.0 rebuildPostgreSQLProjections, one document per stream',
        floor: 'read 1,000, fold to one document per stream, one unnest upsert with its checkpoint',
        extra: {
          fabulaEvents: events.fabula,
          peerEvents: events.emmett,
          peerCorrectDocuments: `${correct} of ${playthroughs.emmett}`,
          tables: Object.keys(wanted.tables).length,
          rowsDerived: Object.values(wanted.tables).reduce((sum, { rows }) => sum + rows, 0),
        },
      },
    ];
  } finally {
    await Promise.all([fabula.close(), emmett.close(), emmettPool.end()]);
  }
};
