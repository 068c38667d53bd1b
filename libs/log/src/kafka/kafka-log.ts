import { errorText } from '#lib/platform';
import { assertPartition, refuseOverLimits } from '../append-limits.js';
import {
  LogRefused,
  LogUnavailable,
  type Batch,
  type EventLog,
  type LogId,
  type LogRecord,
  type Offset,
  type ReadOptions,
} from '../event-log.js';
import { BrokerLinks } from './broker-link.js';
import { GroupCommit, largestMergedBatch, type AppendReport } from './group-commit.js';
import { createKafka, type KafkaConnection, type KafkaNotice } from './kafka-client.js';
import { loadCodecs, type Codecs } from './kafka-codecs.js';
import { readPartition } from './kafka-reader.js';
import { ensureTopic } from './kafka-topic.js';
import { BrokerFactory } from './kafkajs-internals.js';
import { PartitionFetcher } from './partition-fetcher.js';
import type { Finding } from './topic-audit.js';
import { Topology } from './topology.js';

export interface KafkaLogOptions {
  readonly connection: KafkaConnection;
  readonly topic: string;
  /** Count at creation; another count later is refused. */
  readonly partitions: number;
  /** Accepts settings that can lose records; say `findings` loudly then. */
  readonly allowUnsafe?: boolean;
  /** Never creates the topic. */
  readonly expectExisting?: boolean;
  /** After each produce request. */
  readonly onAppend?: (report: AppendReport) => void;
  /** A connection that had broken was opened again. */
  readonly onReconnect?: (broker: string) => void;
  /** What kafkajs would print. */
  readonly onNotice?: (notice: KafkaNotice) => void;
}

export interface KafkaLogStats {
  /** Appends that wait to be sent, and their bytes. */
  readonly queuedAppends: number;
  readonly queuedBytes: number;
  /** Reads that wait for records. */
  readonly waitingReads: number;
}

export interface KafkaLog extends EventLog {
  /** Unsafe settings that were accepted. */
  readonly findings: readonly Finding[];
  stats(): KafkaLogStats;
  /** Broker that leads the partition now, as far as is known. */
  leaderOf(partition: number): number | undefined;
}

const END_PATIENCE_MS = 5_000;
const RETRY_MS = 50;

/**
 * Opens a log that is one topic of Kafka, creating the topic at first. Its id is the topic's own UUID.
 * @throws UnsafeTopic, PartitionCountDiffers, TopicMissing, LogUnavailable
 */
export async function openKafkaLog(options: KafkaLogOptions): Promise<KafkaLog> {
  const kafka = await createKafka(options.connection, options.onNotice);
  const { topic: name, partitions, allowUnsafe = false, expectExisting = false } = options;
  const state = await ensureTopic(kafka, { name, partitions, allowUnsafe, expectExisting });
  const factory = new BrokerFactory(kafka);
  const topology = new Topology(factory, name, options.connection.brokers.length);
  await topology.refresh();
  const maxMessageBytes = Number(state.settings.get('max.message.bytes')?.value ?? 0);
  return new TopicLog(options, topology, new BrokerLinks(factory, options.onReconnect ?? (() => undefined)), await loadCodecs(), {
    findings: state.findings,
    maxMessageBytes,
  });
}

class TopicLog implements KafkaLog {
  readonly partitions: number;
  readonly findings: readonly Finding[];
  private readonly commits: GroupCommit;
  private readonly fetcher: PartitionFetcher;
  private readonly logId: LogId;
  private closed = false;

  constructor(
    options: KafkaLogOptions,
    private readonly topology: Topology,
    private readonly links: BrokerLinks,
    private readonly codecs: Codecs,
    { findings, maxMessageBytes }: { findings: readonly Finding[]; maxMessageBytes: number },
  ) {
    this.partitions = options.partitions;
    this.findings = findings;
    this.logId = topology.topicId;
    const onAppend = options.onAppend ?? (() => undefined);
    this.commits = new GroupCommit(topology, links, codecs, options.partitions, largestMergedBatch(maxMessageBytes), onAppend);
    this.fetcher = new PartitionFetcher(topology, links, codecs);
    topology.onChange(() => links.keepOnly(topology.brokers));
  }

  append(partition: number, records: readonly LogRecord[]): Promise<Offset> {
    try {
      refuseOverLimits(this.partitions, partition, records);
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new Error(errorText(error)));
    }
    return this.commits.append(partition, records);
  }

  read(partition: number, from: Offset, options: ReadOptions = {}): AsyncIterable<Batch> {
    assertPartition(this.partitions, partition);
    const ends = {
      first: (of: number) => this.offset(of, -2),
      end: (of: number) => this.end(of),
      refresh: () => this.topology.refresh(),
    };
    return readPartition(this.fetcher, ends, partition, from, options);
  }

  async end(partition: number): Promise<Offset> {
    assertPartition(this.partitions, partition);
    return this.offset(partition, -1);
  }

  async begin(partition: number): Promise<Offset> {
    assertPartition(this.partitions, partition);
    return 0;
  }

  async forget(partition: number, _before: Offset): Promise<void> {
    assertPartition(this.partitions, partition);
    throw new LogRefused('This log cannot forget yet.');
  }

  async id(): Promise<LogId> {
    return this.logId;
  }

  stats(): KafkaLogStats {
    const { appends, bytes } = this.commits.queued;
    return { queuedAppends: appends, queuedBytes: bytes, waitingReads: this.fetcher.cursors };
  }

  leaderOf(partition: number): number | undefined {
    return this.topology.leader(partition)?.nodeId;
  }

  async close(): Promise<void> {
    this.closed = true;
    this.commits.close();
    this.fetcher.close();
    this.topology.close();
    this.links.close();
  }

  /** The high watermark (-1) or the first offset that is kept (-2), from the leader. */
  private async offset(partition: number, when: -1 | -2): Promise<Offset> {
    const deadline = Date.now() + END_PATIENCE_MS;
    for (;;) {
      if (this.closed) throw new LogUnavailable('The log is closed.');
      const leader = this.topology.leader(partition);
      let failure = `nobody leads partition ${partition}`;
      if (leader !== undefined)
        try {
          const link = await this.links.to(leader, 'offsets');
          const answer = await link.send(this.codecs.offsets(this.topology.topic, [partition], when));
          const one = answer.responses.flatMap(({ partitions }) => partitions)[0];
          if (one?.errorCode === 0) return Number(one.offset);
          failure = one === undefined ? 'the broker said nothing' : this.codecs.nameOf(one.errorCode);
        } catch (error) {
          failure = errorText(error);
        }
      if (Date.now() > deadline) throw new LogUnavailable(`The end of partition ${partition} cannot be read: ${failure}.`);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      await this.topology.refresh().catch(() => undefined); // the deadline above ends this
    }
  }
}
