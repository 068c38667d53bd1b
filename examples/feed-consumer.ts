/*
 * Follows Fabula's public feed with kafkajs: resumes where it was, and lets each event through once although the feed may repeat it.
 *
 *   const following = await followFeed({ brokers: ['127.0.0.1:9092'], groupId: 'my-statistics', seen: new SeenLately(100_000) }, console.log);
 *   process.once('SIGINT', () => void following.stop());
 */
import { Kafka, logLevel, type IHeaders, type KafkaMessage } from 'kafkajs';

/** One CloudEvent of the feed; docs/reference/asyncapi.yaml lists the types and what `data` holds. */
export interface FeedCloudEvent {
  readonly id: string;
  readonly type: string;
  readonly source: string;
  /** The stream, like `playthrough/<id>`; absent in heartbeats. */
  readonly subject?: string;
  readonly time: string;
  /** Counts the stream's events from 1, without gaps; compare as text. */
  readonly sequence?: string;
  readonly correlationid?: string;
  readonly traceparent?: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/**
 * What was taken in before. In memory it forgets at a restart; to be exact across restarts, keep the ids where the results are: a table with a
 * unique key, which `take` writes in the same transaction; `add` has nothing to do then.
 */
export interface Seen {
  has(id: string): Promise<boolean> | boolean;
  /** Told after the event was taken. */
  add(id: string): Promise<void> | void;
}

export class SeenLately implements Seen {
  private readonly ids = new Set<string>();
  constructor(private readonly most: number) {}

  has(id: string): boolean {
    return this.ids.has(id);
  }
  add(id: string): void {
    this.ids.add(id);
    for (const oldest of this.ids) {
      if (this.ids.size <= this.most) break;
      this.ids.delete(oldest);
    }
  }
}

export interface FollowOptions {
  readonly brokers: readonly string[];
  /** Who follows: a group resumes where its members were. */
  readonly groupId: string;
  readonly seen: Seen;
  readonly topic?: string;
}

/** Calls `take` with every event, in order per stream; an event that it rejects comes again. */
export async function followFeed(
  { brokers, groupId, seen, topic = 'fabula.events' }: FollowOptions,
  take: (event: FeedCloudEvent) => Promise<void> | void,
): Promise<{ stop(): Promise<void> }> {
  const consumer = new Kafka({ clientId: groupId, brokers: [...brokers], logLevel: logLevel.NOTHING }).consumer({
    groupId,
    maxWaitTimeInMs: 100,
  });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    // Offsets are committed after the events were taken: a crash repeats, and never loses.
    eachMessage: async ({ message }) => {
      const event = cloudEventOf(message);
      if (event.type === 'fabula.feed.heartbeat.v1' || (await seen.has(event.id))) return;
      await take(event);
      // Not before: an event that was rejected would look like a repeat when it comes again.
      await seen.add(event.id);
    },
  });
  return { stop: () => consumer.disconnect() };
}

/** Binary mode of the Kafka binding: attributes are headers, the value is the data. */
export function cloudEventOf({ headers = {}, value }: Pick<KafkaMessage, 'headers' | 'value'>): FeedCloudEvent {
  const attributes = Object.fromEntries(
    Object.keys(headers)
      .filter((name) => name.startsWith('ce_'))
      .map((name) => [name.slice(3), textOf(headers, name)]),
  );
  return { ...attributes, data: JSON.parse(value?.toString('utf8') ?? 'null') as unknown } as FeedCloudEvent;
}

const textOf = (headers: IHeaders, name: string): string => String(headers[name]);
