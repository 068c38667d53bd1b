import type { Kafka, Producer } from 'kafkajs';
import type { FeedMessage } from './kafka-message.js';
import type { FeedSink } from './feed-sink.js';

/** The topic cannot carry this feed; says how to mend it. */
export class FeedTopicUnfit extends Error {
  override readonly name = 'FeedTopicUnfit';
}

export interface KafkaFeedSinkOptions {
  readonly kafka: Kafka;
  readonly topic: string;
  /** As many as the log has: a partition of the log goes to the one of the same number. */
  readonly partitions: number;
}

/** How long a broker may wait for the other replicas, ms: below the request timeout of the client. */
const TIMEOUT_MS = 1_000;

/**
 * The feed's topic on Kafka. A plain producer that waits for all replicas in sync: kafkajs' idempotent one loses what it acknowledged
 * (reference: docs/decisions/0015). Connects when it is first needed, and anew after a failure.
 */
export class KafkaFeedSink implements FeedSink {
  private connecting: Promise<Producer> | undefined;
  private closed = false;

  constructor(private readonly options: KafkaFeedSinkOptions) {}

  async send(partition: number, messages: readonly FeedMessage[]): Promise<void> {
    if (this.closed) throw new Error('the feed is closed');
    this.connecting ??= this.connect();
    const { connecting } = this;
    try {
      const producer = await connecting;
      await producer.send({
        topic: this.options.topic,
        acks: -1,
        timeout: TIMEOUT_MS,
        messages: messages.map(({ key, value, headers }) => ({ key, value, headers, partition })),
      });
    } catch (error) {
      // A producer that met a deleted topic fails for ever; a new one costs little.
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
    const { kafka, topic, partitions } = this.options;
    await ensureFeedTopic(kafka, topic, partitions);
    const producer = kafka.producer({ allowAutoTopicCreation: false, idempotent: false, metadataMaxAge: 60_000, retry: { retries: 2 } });
    await producer.connect();
    return producer;
  }
}

/** The connection is given up; what ending it meets changes nothing. */
function forgotten(): void {}

/**
 * Makes the topic when it is not there: as many replicas as there are brokers, at most three.
 * @throws FeedTopicUnfit when it has another number of partitions than the log
 */
async function ensureFeedTopic(kafka: Kafka, topic: string, partitions: number): Promise<void> {
  const admin = kafka.admin();
  await admin.connect();
  try {
    if (!(await admin.listTopics()).includes(topic)) {
      const { brokers } = await admin.describeCluster();
      const replicationFactor = Math.min(3, brokers.length);
      const configEntries = [
        { name: 'cleanup.policy', value: 'delete' },
        { name: 'min.insync.replicas', value: String(replicationFactor === 3 ? 2 : 1) },
        { name: 'unclean.leader.election.enable', value: 'false' },
        { name: 'message.timestamp.type', value: 'LogAppendTime' },
      ];
      // False: another process was first.
      await admin.createTopics({ waitForLeaders: true, topics: [{ topic, numPartitions: partitions, replicationFactor, configEntries }] });
    }
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
    const found = topics[0]?.partitions.length ?? 0;
    if (found !== partitions) {
      throw new FeedTopicUnfit(
        `the topic ${topic} has ${found} partitions, the log has ${partitions}: name another topic with FABULA_KAFKA_FEED_TOPIC, or delete this one`,
      );
    }
  } finally {
    await admin.disconnect();
  }
}
