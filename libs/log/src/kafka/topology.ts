import { errorText } from '#lib/platform';
import { LogDamaged, LogUnavailable } from '../event-log.js';
import { BrokerLink, type BrokerAddress } from './broker-link.js';
import type { BrokerFactory } from './kafkajs-internals.js';
import { metadataRequest, type PartitionLeader, type TopicMetadata } from './topic-metadata.js';

/** Leaders are asked for again after this: a frozen leader answers nothing, so only another broker can tell that it lost its partitions. */
const MAX_AGE_MS = 1_000;
/** A broker that does not tell within this is asked no longer: the next one may know. */
const PATIENCE_MS = 700;
/** Two refreshes are at least this far apart, up to the second after failures. */
const AT_LEAST_APART_MS = 50;
const AT_MOST_APART_MS = 500;
/** One broker is asked at least this long before another, when what it tells does not help. */
const STAY_MS = 1_000;

export interface Leader extends BrokerAddress {
  readonly epoch: number;
}

/** Who leads which partition of one topic, kept fresh while somebody asks. */
export class Topology {
  private metadata: TopicMetadata | undefined;
  private readAt = 0;
  private triedAt = 0;
  private refreshing: Promise<void> | undefined;
  private link: BrokerLink | undefined;
  private linkedAt = 0;
  private next = 0;
  private failures = 0;
  /** Somebody did not get on with what is known. */
  private doubted = false;
  private toldNothingNew = false;
  private closed = false;
  private damage: LogDamaged | undefined;
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly factory: BrokerFactory,
    readonly topic: string,
    private readonly bootstrap: number,
  ) {}

  /** Id of the topic as first seen. */
  get topicId(): string {
    if (this.metadata === undefined) throw new LogUnavailable('The topic has not been seen yet.');
    return this.metadata.topicId;
  }

  get partitions(): number {
    return this.metadata?.partitions.length ?? 0;
  }

  get brokers(): readonly BrokerAddress[] {
    return this.metadata?.brokers ?? [];
  }

  /** Called after leaders may have changed; answers how to stop listening. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /**
   * Who leads it as far as is known; undefined while nobody does.
   * @throws LogDamaged when the topic was deleted and created again
   */
  leader(partition: number): Leader | undefined {
    if (this.damage !== undefined) throw this.damage;
    if (Date.now() - this.readAt > MAX_AGE_MS) void this.look().catch(() => undefined); // who waits for a leader sees it fail too
    const one = this.metadata?.partitions[partition];
    const broker = one === undefined ? undefined : this.metadata?.brokers.find(({ nodeId }) => nodeId === one.leader);
    return one === undefined || broker === undefined ? undefined : { ...broker, epoch: one.leaderEpoch };
  }

  /**
   * Asks again, because what is known did not help. Many who ask at once share the answer. A broker that is cut off from the controllers
   * tells the same for ever, itself a leader in it: who is no help for a while is asked no longer.
   * @throws LogUnavailable when no broker answers
   */
  refresh(): Promise<void> {
    this.doubted = true;
    return this.look();
  }

  private look(): Promise<void> {
    if (this.closed) return Promise.reject(new LogUnavailable('The log is closed.'));
    this.refreshing ??= this.ask().finally(() => (this.refreshing = undefined));
    return this.refreshing;
  }

  close(): void {
    this.closed = true;
    this.link?.close();
    this.listeners.clear();
  }

  private async ask(): Promise<void> {
    const apart = Math.min(AT_MOST_APART_MS, AT_LEAST_APART_MS * 2 ** this.failures) * (0.75 + Math.random() / 2);
    const wait = this.triedAt + apart - Date.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    this.triedAt = Date.now();
    if (this.doubted && this.toldNothingNew && this.triedAt - this.linkedAt > STAY_MS) this.leave();
    this.doubted = false;
    let failure: unknown;
    for (let attempt = 0; attempt < this.candidates().length && !this.closed; attempt++) {
      try {
        this.link ??= await this.open();
        this.take(await within(PATIENCE_MS, this.link.send(metadataRequest(this.topic))));
        this.failures = 0;
        return;
      } catch (error) {
        failure = error;
        this.leave();
      }
    }
    this.failures = Math.min(this.failures + 1, 10);
    throw new LogUnavailable(`No broker tells who leads ${this.topic}: ${errorText(failure)}`, { cause: failure });
  }

  private leave(): void {
    this.link?.close();
    this.link = undefined;
    this.next++;
  }

  private async open(): Promise<BrokerLink> {
    const opening = BrokerLink.open(this.factory, this.candidate());
    try {
      const link = await within(PATIENCE_MS, opening);
      this.linkedAt = Date.now();
      return link;
    } catch (error) {
      void opening.then(
        (late) => late.close(),
        () => undefined, // reported below or by the time-out
      );
      throw error;
    }
  }

  /** Known brokers and, as `undefined`, each bootstrap address. */
  private candidates(): readonly (BrokerAddress | undefined)[] {
    return [...(this.metadata?.brokers ?? []), ...Array.from({ length: this.bootstrap }, () => undefined)];
  }

  private candidate(): BrokerAddress | undefined {
    const all = this.candidates();
    return all[this.next % all.length];
  }

  private take(seen: TopicMetadata): void {
    this.readAt = Date.now();
    const known = this.metadata;
    // A broker that has just started may not know the topic yet: what was seen stays.
    if (seen.errorCode !== 0 || seen.partitions.length === 0) {
      if (known === undefined) throw new LogUnavailable(`The brokers do not know topic ${this.topic} (error ${seen.errorCode}).`);
      return;
    }
    if (known !== undefined && known.topicId !== seen.topicId) {
      this.damage = new LogDamaged(
        `Topic ${this.topic} was deleted and created again: its id was ${known.topicId} and is ${seen.topicId}. ` +
          'What is derived belongs to the old one; start again, and each role says what mends it.',
      );
    } else {
      const partitions = known === undefined ? seen.partitions : newer(known.partitions, seen.partitions);
      this.toldNothingNew = partitions.every(({ leaderEpoch }, index) => leaderEpoch === known?.partitions[index]?.leaderEpoch);
      this.metadata = { ...seen, partitions };
    }
    for (const listener of [...this.listeners]) listener();
  }
}

/** A broker that has not heard of the last elections must not lead back to a leader that was replaced. */
const newer = (known: readonly PartitionLeader[], seen: readonly PartitionLeader[]): readonly PartitionLeader[] =>
  seen.map((one, index) => {
    const before = known[index];
    return before !== undefined && before.leaderEpoch > one.leaderEpoch ? before : one;
  });

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new LogUnavailable(`No answer within ${ms} ms.`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
