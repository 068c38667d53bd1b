import type { Kafka, Producer } from 'kafkajs';
import { ensureTopic } from '#lib/log';
import type { FeedMessage } from './kafka-message.js';
import type { FeedSink } from './feed-sink.js';

export interface KafkaFeedSinkOptions {
  readonly kafka: Kafka;
  readonly topic: string;
  /** As many as the log has: a partition of the log goes to the one of the same number. */
  readonly partitions: number;
  /** Takes a topic that may lose what it acknowledged. */
  readonly allowUnsafe: boolean;
}

/** How long a broker may wait for the other replicas, ms: below the request timeout of the client. */
const TIMEOUT_MS = 1_000;
/** What a new topic keeps, and the least that an existing one must: consumers that were away for less miss nothing. */
const RETENTION_MS = 7 * 24 * 3_600_000;

/** A partition of the log has no partition of its own in the topic. */
export class FeedTopicDiffers extends Error {
  override readonly name = 'FeedTopicDiffers';
  constructor(topic: string, has: number, wanted: number) {
    super(
      `Topic ${topic} has ${has} partitions, but the log has ${wanted}, and each is published to the one of its own number: ` +
        'name another topic in FABULA_KAFKA_FEED_TOPIC.',
    );
  }
}

/**
 * The feed's topic on Kafka, made when it is not there. A plain producer that waits for all replicas in sync: kafkajs' idempotent one loses
 * records that it acknowledged. Connects when it is first needed, and anew after a failure.
 */
export class KafkaFeedSink implements FeedSink {
  private connecting: Promise<Producer> | undefined;
  private closed = false;

  constructor(private readonly options: KafkaFeedSinkOptions) {}

  /** @throws UnsafeTopic, FeedTopicDiffers until somebody mends it */
  send(partition: number, messages: readonly FeedMessage[]): Promise<void> {
    return this.sendAll(new Map([[partition, messages]]));
  }

  /** @throws UnsafeTopic, FeedTopicDiffers until somebody mends it */
  async sendAll(byPartition: ReadonlyMap<number, readonly FeedMessage[]>): Promise<void> {
    if (this.closed) throw new Error('the feed is closed');
    this.connecting ??= this.connect();
    const { connecting } = this;
    try {
      const producer = await connecting;
      await producer.send({
        topic: this.options.topic,
        acks: -1,
        timeout: TIMEOUT_MS,
        messages: [...byPartition].flatMap(([partition, messages]) =>
          messages.map(({ key, value, headers }) => ({ key, value, headers, partition })),
        ),
      });
    } catch (error) {
      // A producer that met a deleted topic fails for ever; a new one costs little. Others that still use it fail, and try again.
      if (this.connecting === connecting) this.connecting = undefined;
      void connecting.then((producer) => producer.disconnect()).catch(forgotten);
      throw error;
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.connecting?.then((producer) => producer.disconnect()).catch(forgotten);
  }

  private async connect(): Promise<Producer> {
    const { kafka, topic, partitions, allowUnsafe } = this.options;
    const wish = { name: topic, partitions, anyPartitionCount: true, allowUnsafe, retentionMs: RETENTION_MS };
    const found = await ensureTopic(kafka, wish);
    if (found.partitions !== partitions) throw new FeedTopicDiffers(topic, found.partitions, partitions);
    const producer = kafka.producer({ allowAutoTopicCreation: false, idempotent: false, metadataMaxAge: 60_000, retry: { retries: 2 } });
    await producer.connect();
    return producer;
  }
}

/** The connection is given up; what ending it meets changes nothing. */
function forgotten(): void {}
