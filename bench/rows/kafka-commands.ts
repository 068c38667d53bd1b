import { createDatabase, openPool } from '../databases.js';
import { EnginePlayer } from '../fabula/engine-player.js';
import { openEngineSide, PARTITIONS } from '../fabula/engine-side.js';
import { verifyLog } from '../fabula/read-log.js';
import { sampleRecords } from '../fabula/sample-records.js';
import { KafkaFloorPlayer, KafkaGroupCommit, verifyKafkaFloor } from '../floors/kafka-group-commit.js';
import { benchKafka, brokersOf, openBenchLog, topicName } from '../kafka/kafka-side.js';
import { drivenSide, type Player } from '../measure/drive.js';
import { byLatency, interleaved, type Side, type SideName } from '../measure/rounds.js';
import { EmmettPlayer, openEmmett, verifyEmmett } from '../peers/emmett-commands.js';
import type { Row } from '../row.js';

const WRITERS = 32;
const COMMANDS = 20;

/** As `commands`, with a topic of Kafka as the log; the peer stays Emmett on Postgres, which knows no Kafka. */
export const kafkaCommands: Row = async (context) => {
  const [topic, floorTopic] = [topicName('commands'), topicName('commands-floor')];
  let [requests, recordsSent] = [0, 0];
  const openLog = () =>
    openBenchLog(context, topic, PARTITIONS, ({ records }) => {
      requests++;
      recordsSent += records;
    });
  const fabula = await openEngineSide(await createDatabase(context, 'kafka_commands_fabula', 'fabula'), openLog);
  // Nobody projects here, so nothing may be evicted.
  const engine = await fabula.engine({ hotBytes: 1024 ** 3 });
  const emmettUrl = await createDatabase(context, 'kafka_commands_emmett', 'empty');
  const emmett = await openEmmett(emmettUrl);
  const emmettPool = await openPool(emmettUrl, 2);
  const kafka = await benchKafka(context);
  const floor = await KafkaGroupCommit.open(kafka, floorTopic, PARTITIONS);
  const records = await sampleRecords(COMMANDS);

  const acknowledged = { fabula: 0, peer: 0, floor: 0 };
  const side = (name: SideName, open: () => Player): Side =>
    drivenSide(context.seconds, { writers: WRITERS, commands: COMMANDS }, open, (operations) => (acknowledged[name] += operations));
  try {
    const { sides, foreignCpu } = await interleaved(
      {
        fabula: side('fabula', () => new EnginePlayer(engine)),
        peer: side('peer', () => new EmmettPlayer(emmett)),
        floor: side('floor', () => new KafkaFloorPlayer(floor, records)),
      },
      {
        rounds: context.rounds,
        processes: [context.postgres.pid, ...brokersOf(context).pids],
        onRound: (round, name, { value }) => context.progress(`round ${round}: ${name} ${Math.round(value)}/s`),
      },
    );
    const verified = [
      await verifyLog(fabula.log, acknowledged.fabula),
      await verifyEmmett(emmettPool, acknowledged.peer),
      await verifyKafkaFloor(kafka, floorTopic, acknowledged.floor),
    ];
    const bytes = Math.round(records.reduce((sum, record) => sum + record.length, 0) / records.length);
    const common = {
      verified,
      foreignCpu,
      peer: 'Emmett 0.42.0 CommandHandler with the same decider, on Postgres',
      floor: 'group commit through the public producer of kafkajs: the same bytes, as many partitions, acks of all, one request in flight',
      extra: {
        ...{ writers: WRITERS, commandsPerPlaythrough: COMMANDS, partitions: PARTITIONS, bytesPerRecord: bytes },
        recordsPerRequest: Number((recordsSent / Math.max(1, requests)).toFixed(1)),
        floorRecordsPerRequest: Number((acknowledged.floor / Math.max(1, floor.requests)).toFixed(1)),
      },
    };
    return [
      {
        row: 'kafka-commands',
        unit: 'commands/s',
        goals: [
          { to: 'peer', atLeast: 5 },
          { to: 'floor', atLeast: 0.4 },
        ],
        sides,
        ...common,
      },
      { row: 'kafka-commands-p50', unit: 'ms', goals: [{ to: 'floor', atMost: 2 }], sides: byLatency(sides, 'p50'), ...common },
    ];
  } finally {
    await Promise.all([fabula.close(), emmett.close(), emmettPool.end(), floor.close()]);
  }
};
