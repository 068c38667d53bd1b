import { createDatabase } from '../databases.js';
import { EnginePlayer } from '../fabula/engine-player.js';
import { openEngineSide, PARTITIONS } from '../fabula/engine-side.js';
import { verifyLog } from '../fabula/read-log.js';
import { bareRead, benchKafka, brokersOf, openBenchLog, topicName } from '../kafka/kafka-side.js';
import { driveEach } from '../measure/drive.js';
import { interleaved } from '../measure/rounds.js';
import { verify, type Row } from '../row.js';
import { Engine, PostgresContentStore } from '#lib/engine';
import { systemClock, systemIds, systemTimers } from '#lib/platform';
import { PostgresColdSource } from '#lib/projections';

const WRITERS = 32;
const TURNS = 20;

/**
 * A process that takes over a log whose projector is a tail behind: connecting, recovering every partition, and the answer to the first
 * command. Beside it a kafkajs consumer that connects, joins a group of its own and counts the same records.
 */
export const kafkaCold: Row = async (context) => {
  const playthroughs = context.smoke ? 100 : 1_000;
  const topic = topicName('cold');
  const openLog = () => openBenchLog(context, topic, PARTITIONS);
  const fabula = await openEngineSide(await createDatabase(context, 'kafka_cold', 'fabula'), openLog);
  const kafka = await benchKafka(context);
  let tail = playthroughs * TURNS;
  try {
    context.progress(`a tail of ${tail} records`);
    const first = await fabula.engine({ hotBytes: 1024 ** 3 });
    const players = Array.from({ length: playthroughs }, () => new EnginePlayer(first));
    await driveEach(players, WRITERS, async (player) => {
      for (let turn = 0; turn < TURNS; turn++) await player.next(turn);
    });
    await first.stop();

    let [opened, read, joined] = [0, 0, 0];
    const { sides, foreignCpu } = await interleaved(
      {
        fabula: async (round) => {
          const begun = performance.now();
          const log = await openLog();
          opened = performance.now() - begun;
          const cold = new PostgresColdSource(fabula.pool, systemClock);
          const content = new PostgresContentStore(fabula.pool);
          // The tail is kept as it is.
          const limits = { tailBytes: 1024 ** 3 };
          const engine = new Engine({ log, clock: systemClock, timers: systemTimers, ids: systemIds, cold, content, limits });
          await engine.start();
          read = performance.now() - begun - opened;
          await (players[round] as EnginePlayer).moveTo(engine).next(TURNS);
          const value = performance.now() - begun;
          tail++;
          await engine.stop();
          await log.close();
          return { value, operations: tail };
        },
        floor: async () => {
          const { ms, readingMs } = await bareRead(kafka, topic, tail);
          joined = ms - readingMs;
          return { value: ms, operations: tail };
        },
      },
      {
        rounds: context.rounds,
        processes: [context.postgres.pid, ...brokersOf(context).pids],
        onRound: (round, name, { value }) => context.progress(`round ${round}: ${name} ${Math.round(value)} ms`),
      },
    );
    return [
      {
        row: 'kafka-cold',
        unit: 'ms',
        goals: [{ to: 'floor', atMost: 1.5 }],
        sides,
        foreignCpu,
        verified: [
          await verifyLog(fabula.log, tail),
          verify('nothing was projected: the tail is the whole log', (await positionsSum(fabula.pool)) === 0),
        ],
        floor: 'a kafkajs consumer: connects, joins, counts the tail',
        extra: {
          tail,
          lastMs: `open ${Math.round(opened)}, recover ${Math.round(read)}; floor before its first record ${Math.round(joined)}`,
        },
      },
    ];
  } finally {
    await fabula.close();
  }
};

async function positionsSum(pool: { query(text: string): Promise<{ rows: { n?: number; sum?: string | null }[] }> }): Promise<number> {
  const { rows } = await pool.query(`select n from fabula.projection_generations where state = 'live'`);
  const { rows: sums } = await pool.query(`select sum(next_offset) as sum from projection_${rows[0]?.n}.positions`);
  return Number(sums[0]?.sum ?? 0);
}
