import { openKafkaLog, openPostgresLog, type EventLog } from '#lib/log';
import { kafkaBrokers, uniqueTopic } from '../support/kafka.js';
import type { TestDatabase } from '../support/postgres.js';

export interface RawRecord {
  readonly key: string;
  readonly value: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A log under a running server, written to by something that is not Fabula and knows no limits of its. */
export interface RawLog {
  readonly log: EventLog;
  append(partition: number, record: RawRecord): Promise<number>;
  close(): Promise<void>;
}

/** How a kind of log is put under a server, and opened beside it once the server has created it. */
export interface RawLogKind {
  readonly env: Readonly<Record<string, string>>;
  open(database: TestDatabase): Promise<RawLog>;
}

export const PARTITIONS = 4;

export async function rawPostgres(): Promise<RawLogKind> {
  return {
    env: { FABULA_PARTITIONS: String(PARTITIONS) },
    async open({ pool }) {
      const log = await openPostgresLog({ pool, partitions: PARTITIONS });
      return {
        log,
        async append(partition, { key, value, headers }) {
          const { rows } = await pool.query<{ offset: string }>(
            `with head as (
               update fabula.log_partitions set next_offset = next_offset + 1, last_time = greatest(last_time, $5) where partition = $1
               returning next_offset - 1 as base, last_time)
             insert into fabula.log_records (partition, "offset", key, value, headers, time)
             select $1, base, $2, $3, $4, last_time from head returning "offset"`,
            [partition, key, value, headers === undefined ? null : JSON.stringify(headers), Date.now()],
          );
          return Number(rows[0]?.offset);
        },
        close: () => log.close(),
      };
    },
  };
}

/** One broker: what it keeps is not safe, and the server is told so. */
export async function rawKafka(): Promise<RawLogKind> {
  const brokers = await kafkaBrokers(1);
  const topic = uniqueTopic('dead-letters');
  return {
    env: {
      FABULA_PARTITIONS: String(PARTITIONS),
      FABULA_LOG: 'kafka',
      FABULA_KAFKA_TOPIC: topic,
      FABULA_KAFKA_ALLOW_UNSAFE: 'on',
      KAFKA_BROKERS: brokers.join(),
      FABULA_ROLES: 'api,engine,projector,auditor,signer',
    },
    async open() {
      const log = await openKafkaLog({ connection: { brokers, clientId: 'not-fabula' }, topic, partitions: PARTITIONS, allowUnsafe: true });
      const { Kafka, logLevel, Partitioners } = await import('kafkajs');
      const kafka = new Kafka({ brokers: [...brokers], clientId: 'not-fabula', logLevel: logLevel.NOTHING });
      const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
      await producer.connect();
      return {
        log,
        async append(partition, { key, value, headers }) {
          const message = { key, value: Buffer.from(value), partition, ...(headers && { headers: { ...headers } }) };
          const [sent] = await producer.send({ topic, acks: -1, messages: [message] });
          return Number(sent?.baseOffset);
        },
        async close() {
          await producer.disconnect();
          await log.close();
        },
      };
    },
  };
}
