import { Engine, PostgresContentStore } from '#lib/engine';
import { PostgresAuditStore, rebuildTrees } from '#lib/audit';
import { createKafka, openKafkaLog, type Batch, type EventLog, type ReadOptions } from '#lib/log';
import { systemClock, systemIds, systemTimers } from '#lib/platform';
import { derivedPlaythroughId, playthroughStream } from '#lib/playthrough';
import { LiveGeneration, PostgresColdSource, PostgresProjection, Projector, rebuild } from '#lib/projections';
import { canonicalStory, compileStory } from '#lib/story';
import { bareRead } from '../../bench/kafka/kafka-side.js';
import type { KafkaCluster } from '../../scripts/kafka/cluster.mjs';
import { describeWithOwnKafka, startKafka, uniqueTopic } from '../support/kafka.js';
import { createTestDatabase, type TestDatabase } from '../support/postgres.js';
import { isLong } from '../support/requirement.js';
import { progress, verified } from '../support/verification.js';
import { appendPast } from './bulk-history.js';
import { chaosStory } from './chaos-story.js';

/** FABULA_TEST_TURNS=n tries another size. */
const TURNS = Number(process.env['FABULA_TEST_TURNS'] ?? (isLong ? 1_000_000 : 10_000));
const TURNS_EACH = 40;
const PARTITIONS = 12;
/** Playthroughs that the projector has not seen when an engine starts: what it must read. */
const TAIL = 25;
const STARTS = 5;
const ROW = 'kafka 6 a million turns';
const actor = { id: 'r-abcdefghijklmnopqrstuvwxyz', role: 'reader' } as const;

describeWithOwnKafka(`With a log of ${TURNS.toLocaleString('en')} turns on Kafka`, () => {
  let kafka: KafkaCluster;
  let database: TestDatabase;
  const topic = uniqueTopic('million');
  beforeAll(async () => {
    kafka = await startKafka({ nodes: 1, fullJit: isLong, quickFailover: false });
    database = await createTestDatabase();
  }, 300_000);
  afterAll(async () => {
    await database?.drop();
    await kafka?.destroy();
  }, 60_000);

  const openLog = (): Promise<EventLog> =>
    openKafkaLog({ connection: { brokers: kafka.brokers, clientId: 'million' }, topic, partitions: PARTITIONS, allowUnsafe: true });

  it(
    'an engine starts as quickly as with a tenth of it; read models and audit trees are built anew from it, equal and whole',
    async () => {
      const figures = await verified(ROW, async () => {
        const report = progress(ROW);
        const log = await openLog();
        try {
          const content = new PostgresContentStore(database.pool);
          await content.put(compileStory(chaosStory).hash, canonicalStory(chaosStory));
          const store = new PostgresProjection(database.pool, new LiveGeneration(database.pool, systemClock));
          const projector = await Projector.open({ log, store, timers: systemTimers });
          const all = Array.from({ length: PARTITIONS }, (_, partition) => partition);
          const size = async (): Promise<number> => (await Promise.all(all.map((one) => log.end(one)))).reduce((sum, end) => sum + end, 0);
          const project = (): Promise<unknown> => Promise.all(all.map((one) => projector.catchUp(one)));
          const playthroughs = Math.ceil(TURNS / TURNS_EACH);
          const tenth = Math.ceil(playthroughs / 10);

          const starts: Started[] = [];
          let written = 0;
          for (const [seed, count] of [tenth, playthroughs - tenth].entries()) {
            written += await appendPast(log, count, TURNS_EACH, 100 + seed);
            report(written, TURNS + playthroughs, 'records written');
            await project();
            report(await size(), TURNS + playthroughs, 'records projected');
            written += await appendPast(log, TAIL, TURNS_EACH, 200 + seed);
            starts.push(await started(openLog, database, content));
          }
          await project();
          const records = await size();
          const [early, late] = starts as [Started, Started];
          // What a start costs is what it reads: the tail, however long the history is.
          expect(late.read).toEqual(early.read);
          expect(Math.max(...late.read)).toBeLessThan((TAIL + 1) * (TURNS_EACH + 1) + STARTS);

          const client = await createKafka({ brokers: kafka.brokers, clientId: 'bare' });
          const bare = await bareRead(client, topic, records);
          let parsed = 0;
          const fold = await bareRead(client, topic, records, (value) => {
            parsed += (JSON.parse(value.toString('utf8')) as { events: readonly unknown[] }).events.length;
          });

          const begun = performance.now();
          let folded = begun;
          const rebuilt = await rebuild({
            ...{ databaseUrl: database.url, log, clock: systemClock, timers: systemTimers, fresh: true },
            onProgress: ({ done, end }) => {
              folded = performance.now();
              report(done, end, 'records of a partition rebuilt');
            },
          });
          expect(rebuilt).toMatchObject({ records, parity: { kind: 'equal' } });

          const auditBegun = performance.now();
          const heads = await rebuildTrees({
            ...{ store: new PostgresAuditStore(database.pool), log, timers: systemTimers },
            progress: ({ partition }) => report(partition, PARTITIONS, 'trees built'),
          });
          const auditMs = performance.now() - auditBegun;
          expect(heads.reduce((sum, head) => sum + Number(head.size), 0)).toBe(records);
          expect(parsed).toBeGreaterThanOrEqual(records);

          const rate = (ms: number): number => Math.round(records / (ms / 1_000));
          const over = (ms: number, other: number): string => (other / ms).toFixed(3);
          return {
            ...{ turns: TURNS, records, partitions: PARTITIONS, bytes: bare.bytes },
            ...{ startMsAtTenth: early.ms, startMsAtAll: late.ms, startAllOverTenth: (late.ms / early.ms).toFixed(2) },
            recordsReadByStart: late.read.map(String),
            ...{ bareReadPerSecond: rate(bare.ms), bareFoldPerSecond: rate(fold.ms) },
            ...{ rebuildPerSecond: rate(folded - begun), rebuildOverBareRead: over(folded - begun, bare.ms) },
            ...{ rebuildOverBareFold: over(folded - begun, fold.ms), parity: rebuilt.parity.kind },
            ...{ auditPerSecond: rate(auditMs), auditOverBareRead: over(auditMs, bare.ms), leaves: records },
          };
        } finally {
          await log.close();
        }
      });
      expect(figures).toMatchObject({ parity: 'equal' });
    },
    isLong ? 7_200_000 : 240_000,
  );
});

interface Started {
  /** Median, from opening the log to the answer of the first command. */
  readonly ms: number;
  /** Records that each start read. */
  readonly read: readonly number[];
}

/** Cold starts, one after the other, each of an engine that knows nothing; each adds the record of its one command to the tail. */
async function started(openLog: () => Promise<EventLog>, database: TestDatabase, content: PostgresContentStore): Promise<Started> {
  const took: number[] = [];
  const read: number[] = [];
  for (let i = 0; i < STARTS; i++) {
    const begun = performance.now();
    const log = new CountingLog(await openLog());
    const cold = new PostgresColdSource(database.pool, systemClock);
    const engine = new Engine({ log, clock: systemClock, timers: systemTimers, ids: systemIds, cold, content });
    await engine.start();
    read.push(log.records);
    const commandId = `c:${systemIds.uuid()}`;
    const command = { type: 'start', storyId: chaosStory.id, versionHash: compileStory(chaosStory).hash, preview: false } as const;
    const outcome = await engine.execute({
      ...{ stream: playthroughStream(derivedPlaythroughId(actor.id, commandId)), commandId, digestInput: command, command, actor },
      ...{ correlationId: systemIds.hex(16), causationId: null },
    });
    took.push(performance.now() - begun);
    expect(outcome).toMatchObject({ kind: 'accepted', version: 1 });
    await engine.stop();
    await log.close();
  }
  return { ms: Math.round(took.toSorted((a, b) => a - b)[Math.floor(STARTS / 2)] ?? Number.NaN), read };
}

/** Counts the records that pass. */
class CountingLog implements EventLog {
  records = 0;

  constructor(private readonly log: EventLog) {}

  get partitions(): number {
    return this.log.partitions;
  }
  async *read(partition: number, from: number, options?: ReadOptions): AsyncIterable<Batch> {
    for await (const batch of this.log.read(partition, from, options)) {
      this.records += batch.records.length;
      yield batch;
    }
  }
  append: EventLog['append'] = (partition, records) => this.log.append(partition, records);
  end: EventLog['end'] = (partition) => this.log.end(partition);
  begin: EventLog['begin'] = (partition) => this.log.begin(partition);
  forget: EventLog['forget'] = (partition, before) => this.log.forget(partition, before);
  id: EventLog['id'] = () => this.log.id();
  close: EventLog['close'] = () => this.log.close();
}
