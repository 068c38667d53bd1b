import type { Pool } from 'pg';
import {
  createKafkaOwnership,
  createPostgresOwnership,
  SoleOwnership,
  type KafkaOwnership,
  type Ownership,
  type PartitionWork,
  type Rebalance,
} from '#lib/engine';
import {
  createMemoryLog,
  describeFindings,
  kafkaConnection,
  openEventStoreDbLog,
  openKafkaLog,
  openPostgresLog,
  SharedReads,
  type EventLog,
  type Offset,
} from '#lib/log';
import { systemClock, systemIds, systemTimers, type Config, type Logger } from '#lib/platform';
import { mayCreate, recogniseLog, type LogPlace } from './known-log.js';

export interface LogOfRecordOptions {
  readonly config: Config;
  readonly pool: Pool;
  readonly databaseUrl: string;
  readonly logger: Logger;
  readonly alarm: (message: string) => void;
  readonly onRebalance?: (work: PartitionWork, rebalance: Rebalance) => void;
}

/** The log that was configured, and how the processes on it share its partitions. */
export interface LogOfRecord {
  readonly log: EventLog;
  /** The same, for the followers of this process. */
  readonly tail: EventLog;
  /** @param observer only looks who has what */
  share(work: PartitionWork, observer: boolean): Ownership;
  /** Shows tools for Kafka how far a role of this process is; never waits, and nothing depends on it. */
  tellLag(work: PartitionWork, positions: ReadonlyMap<number, Offset>): void;
}

const tellNobody = (): void => undefined;

/** @throws LogDiffers, UnsafeTopic, TopicMissing, PartitionCountDiffers, NotDurable, … : what is wrong with the log, and what mends it */
export async function openLogOfRecord(options: LogOfRecordOptions): Promise<LogOfRecord> {
  const { config, pool, alarm } = options;
  const place = placeOf(config);
  const opened = await open(options, place);
  try {
    const adopted = await recogniseLog(pool, opened.log, place, config.adoptLog);
    if (adopted) alarm(`the read models of another log were forgotten; this database follows log ${await opened.log.id()} from now on`);
  } catch (error) {
    await opened.log.close();
    throw error;
  }
  return opened;
}

function placeOf({ log: kind, kafkaTopic, eventStoreDbPrefix }: Config): LogPlace {
  return { kind, place: kind === 'kafka' ? kafkaTopic : kind === 'eventstoredb' ? eventStoreDbPrefix : '' };
}

async function open(options: LogOfRecordOptions, place: LogPlace): Promise<LogOfRecord> {
  const { config, pool } = options;
  switch (config.log) {
    case 'memory': {
      const log = createMemoryLog({ partitions: config.partitions, clock: systemClock });
      return { log, tail: log, share: () => new SoleOwnership(log.partitions), tellLag: tellNobody };
    }
    case 'postgres': {
      const log = await openPostgresLog({ pool, partitions: config.partitions });
      // A page of it is a query that answers in hexadecimal digits: projector, auditor and publisher ask once between them.
      const tail = new SharedReads(log, systemClock, systemTimers).shared();
      return { log, tail, share: sharedThroughPostgres(options, log), tellLag: tellNobody };
    }
    case 'eventstoredb': {
      const { eventStoreDbUrl: url = '', eventStoreDbPrefix: prefix } = config;
      const log = await openEventStoreDbLog({ url, prefix, partitions: config.partitions });
      return { log, tail: log, share: sharedThroughPostgres(options, log), tellLag: tellNobody };
    }
    case 'kafka':
      return onKafka(options, place);
  }
}

/** Sessions of the database that everything derived lives in. */
function sharedThroughPostgres({ databaseUrl, logger }: LogOfRecordOptions, log: EventLog): LogOfRecord['share'] {
  return (work, observer) =>
    createPostgresOwnership({
      work,
      connection: { connectionString: databaseUrl },
      partitions: log.partitions,
      timers: systemTimers,
      observer,
      onProblem: (what, error) => logger.warn({ error }, `${work}: ${what}`),
    });
}

async function onKafka({ config, pool, logger, alarm, onRebalance }: LogOfRecordOptions, place: LogPlace): Promise<LogOfRecord> {
  const connection = await kafkaConnection(config);
  const topic = config.kafkaTopic;
  const log = await openKafkaLog({
    connection,
    topic,
    partitions: config.partitions,
    allowUnsafe: config.kafkaAllowUnsafe,
    expectExisting: !(await mayCreate(pool, place, config.adoptLog)),
    onNotice: ({ message, details }) => logger.debug({ from: 'kafkajs', ...details }, message),
    onReconnect: (broker) => logger.info({ broker }, 'connected to the broker again'),
  });
  if (log.findings.length > 0) alarm(`accepted because FABULA_KAFKA_ALLOW_UNSAFE=on. ${describeFindings(topic, log.findings)}`);
  const shares = new Map<PartitionWork, KafkaOwnership>();
  return {
    log,
    tail: log,
    tellLag: (work, positions) => shares.get(work)?.commitLag(positions),
    share(work, observer) {
      const ownership = createKafkaOwnership({
        kafka: connection,
        topic,
        work,
        partitions: log.partitions,
        timers: systemTimers,
        clock: systemClock,
        ids: systemIds,
        observer,
        // Nobody waits for the others as callers wait for an engine.
        ...(work === 'engine' ? {} : { timing: { heartbeatMs: 1_000 } }),
        onProblem: (what, error) => logger.warn({ error }, `${work}: ${what}`),
        onRecovered: (what, ms) => logger.info({ ms }, `${work}: ${what} succeeds again`),
        onRebalance: (rebalance) => {
          logger.info({ work, ...rebalance }, 'the partitions were shared anew');
          onRebalance?.(work, rebalance);
        },
      });
      shares.set(work, ownership);
      return ownership;
    },
  };
}
