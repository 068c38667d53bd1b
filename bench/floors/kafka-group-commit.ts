import { randomUUID } from 'node:crypto';
import type { Kafka, Producer } from 'kafkajs';
import type { Player } from '../measure/drive.js';
import { verify } from '../row.js';

interface Waiting {
  readonly partition: number;
  readonly key: string;
  readonly bytes: Buffer;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

const MOST = 1_000;

/**
 * The least that a replicated append can cost through kafkajs: whatever waits goes into one produce request of the public producer
 * (`acks` of all, not idempotent), one request in flight. It knows no story, keeps no state, checks no version.
 */
export class KafkaGroupCommit {
  private waiting: Waiting[] = [];
  private busy = false;
  private sent = 0;

  private constructor(
    private readonly producer: Producer,
    private readonly topic: string,
    readonly partitions: number,
  ) {}

  static async open(kafka: Kafka, topic: string, partitions: number): Promise<KafkaGroupCommit> {
    const admin = kafka.admin();
    await admin.connect();
    await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions: partitions }] });
    await admin.disconnect();
    const producer = kafka.producer({ allowAutoTopicCreation: false, idempotent: false });
    await producer.connect();
    return new KafkaGroupCommit(producer, topic, partitions);
  }

  /** Records per request so far. */
  get requests(): number {
    return this.sent;
  }

  append(key: string, partition: number, bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ partition, key, bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), resolve, reject });
      if (!this.busy) void this.run();
    });
  }

  close(): Promise<void> {
    return this.producer.disconnect();
  }

  private async run(): Promise<void> {
    this.busy = true;
    // As in the log: what arrives in this tick goes along.
    await Promise.resolve();
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, MOST);
      const messages = batch.map(({ key, bytes, partition }) => ({ key, value: bytes, partition }));
      try {
        await this.producer.sendBatch({ acks: -1, topicMessages: [{ topic: this.topic, messages }] });
        this.sent++;
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.busy = false;
  }
}

let begun = 0;

/** A playthrough that is nothing but its bytes, each on a partition in turn. */
export class KafkaFloorPlayer implements Player {
  private readonly key = `playthrough/p-${randomUUID()}`;
  private readonly partition: number;

  constructor(
    private readonly store: KafkaGroupCommit,
    private readonly records: readonly Uint8Array[],
  ) {
    this.partition = begun++ % store.partitions;
  }

  async next(turn: number): Promise<void> {
    await this.store.append(this.key, this.partition, this.records[turn % this.records.length] as Uint8Array);
  }
}

export async function verifyKafkaFloor(kafka: Kafka, topic: string, acknowledged: number): Promise<string> {
  const admin = kafka.admin();
  await admin.connect();
  const stored = (await admin.fetchTopicOffsets(topic)).reduce((sum, { high }) => sum + Number(high), 0);
  await admin.disconnect();
  return verify(`the floor stored ${acknowledged} records`, stored === acknowledged, String(stored));
}
