import type { FeedMessage } from './kafka-message.js';

/** Where the feed goes. */
export interface FeedSink {
  /**
   * Appends to that partition, in order; resolves when they are kept as safely as the topic keeps anything.
   * A rejection says nothing about what became of them: the caller sends them again.
   */
  send(partition: number, messages: readonly FeedMessage[]): Promise<void>;
  /** As `send`, to several partitions at once: in order in each. */
  sendAll(messages: ReadonlyMap<number, readonly FeedMessage[]>): Promise<void>;
  close(): Promise<void>;
}
