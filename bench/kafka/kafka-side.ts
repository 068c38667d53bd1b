import { randomBytes } from 'node:crypto';
import type { Kafka } from 'kafkajs';
import { createKafka, openKafkaLog, type AppendReport, type KafkaLog } from '#lib/log';
import { verify, type RowContext } from '../row.js';

export const topicName = (what: string): string => `bench-${what}-${randomBytes(4).toString('hex')}`;

export function brokersOf({ kafka }: RowContext): { readonly brokers: readonly string[]; readonly pids: readonly number[] } {
  if (kafka === undefined) throw new Error('this row needs brokers');
  return kafka;
}

/** Fabula's log on a topic; one broker replicates nothing, which is accepted here. */
export function openBenchLog(
  context: RowContext,
  topic: string,
  partitions: number,
  onAppend?: (report: AppendReport) => void,
): Promise<KafkaLog> {
  const connection = { brokers: brokersOf(context).brokers, clientId: 'fabula-bench' };
  return openKafkaLog({ connection, topic, partitions, allowUnsafe: true, ...(onAppend && { onAppend }) });
}

/** kafkajs as the floors use it, without kafkajs' idle loop, which Fabula cures too. */
export function benchKafka(context: RowContext): Promise<Kafka> {
  return createKafka({ brokers: brokersOf(context).brokers, clientId: 'bench-floor' });
}

export interface BareRead {
  readonly records: number;
  readonly bytes: number;
  /** From before connecting to the last record. */
  readonly ms: number;
  /** From the first record to the last. */
  readonly readingMs: number;
}

/** What a bare kafkajs consumer needs to read a topic to its end as it is now; `each` sees every value. */
export async function bareRead(kafka: Kafka, topic: string, total: number, each: (value: Buffer) => void = () => {}): Promise<BareRead> {
  const begun = performance.now();
  const consumer = kafka.consumer({ groupId: topicName('reader'), maxBytesPerPartition: 1024 * 1024, maxWaitTimeInMs: 100 });
  let [records, bytes, firstAt, lastAt] = [0, 0, 0, 0];
  try {
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    await new Promise<void>((resolve, reject) => {
      // A coordinator that is still loading is asked again by itself.
      consumer.on(consumer.events.CRASH, ({ payload }) => {
        if (!payload.restart) reject(payload.error);
      });
      void consumer
        .run({
          autoCommit: false,
          eachBatchAutoResolve: true,
          eachBatch: async ({ batch }) => {
            firstAt ||= performance.now();
            for (const { value } of batch.messages) {
              if (value === null) continue;
              each(value);
              bytes += value.length;
              records++;
            }
            lastAt = performance.now();
            if (records >= total) resolve();
          },
        })
        .catch(reject);
    });
  } finally {
    await consumer.disconnect();
  }
  verify(`the bare consumer read ${total} records`, records === total, String(records));
  return { records, bytes, ms: lastAt - begun, readingMs: lastAt - firstAt };
}
