import { createDatabase } from '../databases.js';
import { EnginePlayer } from '../fabula/engine-player.js';
import { openEngineSide, PARTITIONS } from '../fabula/engine-side.js';
import { readLog, verifyLog } from '../fabula/read-log.js';
import { bareRead, benchKafka, brokersOf, openBenchLog, topicName } from '../kafka/kafka-side.js';
import { driveEach } from '../measure/drive.js';
import { interleaved } from '../measure/rounds.js';
import { systemClock, systemTimers } from '#lib/platform';
import { foldLog, LiveGeneration, PostgresProjection, readModelDigest, rebuild } from '#lib/projections';
import { verify, type Row } from '../row.js';

const WRITERS = 32;
const EVENTS_EACH = 20;

/** All read models derived anew from a topic, beside the least that a kafkajs consumer can make of it: one document per stream, in memory. */
export const kafkaRebuild: Row = async (context) => {
  const playthroughs = context.smoke ? 150 : 1_000;
  const events = playthroughs * EVENTS_EACH;
  const topic = topicName('rebuild');
  const url = await createDatabase(context, 'kafka_rebuild', 'fabula');
  const fabula = await openEngineSide(url, () => openBenchLog(context, topic, PARTITIONS));
  const kafka = await benchKafka(context);
  try {
    const engine = await fabula.engine({ hotBytes: 1024 ** 3 });
    context.progress(`${WRITERS} writers: ${events} events`);
    const players = Array.from({ length: playthroughs }, () => new EnginePlayer(engine));
    await driveEach(players, WRITERS, async (player) => {
      for (let turn = 0; turn < EVENTS_EACH; turn++) await player.next(turn);
    });
    await engine.stop();
    await fabula.project();

    const parities: string[] = [];
    const { sides, foreignCpu } = await interleaved(
      {
        fabula: async () => {
          const begun = performance.now();
          let folded = begun;
          const { records, parity } = await rebuild({
            ...{ databaseUrl: url, log: fabula.log, clock: systemClock, timers: systemTimers, fresh: true },
            onProgress: () => (folded = Math.max(folded, performance.now())),
          });
          verify('every record was folded again', records === events, String(records));
          parities.push(parity.kind);
          return { value: events / ((folded - begun) / 1000), operations: events };
        },
        floor: async () => {
          const { ms, documents } = await bareFold(kafka, topic, events);
          verify('the floor has a document per playthrough', documents === playthroughs, String(documents));
          return { value: events / (ms / 1000), operations: events };
        },
      },
      {
        rounds: context.rounds,
        processes: [context.postgres.pid, ...brokersOf(context).pids],
        onRound: (round, name, { value }) => context.progress(`round ${round}: ${name} ${Math.round(value)} events/s`),
      },
    );
    const wanted = await readModelDigest(await foldLog(await fabula.log.id(), await readLog(fabula.log)));
    const rebuilt = new PostgresProjection(fabula.pool, new LiveGeneration(fabula.pool, systemClock));
    await rebuilt.open(await fabula.log.id(), PARTITIONS);
    const same = JSON.stringify(wanted) === JSON.stringify(await readModelDigest(rebuilt));
    return [
      {
        row: 'kafka-rebuild',
        unit: 'events/s',
        goals: [{ to: 'floor', atLeast: 0.25 }],
        sides,
        foreignCpu,
        verified: [
          await verifyLog(fabula.log, events),
          verify(
            'each rebuild equals the generation before it',
            parities.every((kind) => kind === 'equal'),
            parities.join(' '),
          ),
          verify('every table equals a fold from the first record, byte for byte', same),
        ],
        floor: 'a kafkajs consumer: connects, joins, JSON.parse, a Map of documents in memory; nothing is stored',
        extra: {
          events,
          tables: Object.keys(wanted.tables).length,
          rowsDerived: Object.values(wanted.tables).reduce((sum, { rows }) => sum + rows, 0),
        },
      },
    ];
  } finally {
    await fabula.close();
  }
};

type Document = { events: number; passage: string };
interface Shown {
  readonly stream: string;
  readonly events: readonly { readonly toPassageId?: string }[];
}

async function bareFold(kafka: Parameters<typeof bareRead>[0], topic: string, events: number): Promise<{ ms: number; documents: number }> {
  const documents = new Map<string, Document>();
  const { ms } = await bareRead(kafka, topic, events, (value) => {
    const { stream, events: list } = JSON.parse(value.toString('utf8')) as Shown;
    const document = documents.get(stream) ?? { events: 0, passage: '' };
    for (const { toPassageId } of list) {
      document.events++;
      document.passage = toPassageId ?? document.passage;
    }
    documents.set(stream, document);
  });
  return { ms, documents: documents.size };
}
