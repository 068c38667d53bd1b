import { errorText } from '#lib/platform';
import { assertForgettable, assertPartition, refuseOverLimits } from '../append-limits.js';
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
import { BrokerLinks, type BrokerLink } from './broker-link.js';
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
/** Replicas that are alive forget too before the leader answers; they hear of it with their next fetch. */
const FORGET_MS = 3_000;
const NOTHING_SAID = 'the broker said nothing';
const TOPIC_NOT_AUTHORISED = 29;
const POLICY_VIOLATION = 44;

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

  /** The brokers' own bound. Whether records were forgotten on purpose they cannot say: `assertBegins` asks those who know. */
  async begin(partition: number): Promise<Offset> {
    assertPartition(this.partitions, partition);
    return this.offset(partition, -2);
  }

  /**
   * Brokers free whole segments, minutes later, and never the one that is written to. They note the bound once a minute: if all replicas
   * fail at once before that, it may be lower again, and whoever asked for it asks again.
   */
  async forget(partition: number, before: Offset): Promise<void> {
    assertForgettable(partition, before, await this.end(partition));
    if ((await this.begin(partition)) >= before) return;
    await this.ask<void>(`The beginning of partition ${partition} cannot be forgotten`, partition, 'forget', async (link) => {
      const answer = await link.send(this.codecs.forget(this.topology.topic, partition, before, FORGET_MS));
      const code = answer.topics.flatMap(({ partitions }) => partitions)[0]?.errorCode;
      if (code === TOPIC_NOT_AUTHORISED)
        throw new LogRefused(`The brokers do not let this login forget records of topic ${this.topology.topic}: it needs Delete.`);
      if (code === POLICY_VIOLATION)
        throw new LogRefused(`The brokers delete nothing from topic ${this.topology.topic}: its cleanup.policy is not delete.`);
      return code === 0 ? { value: undefined } : { failure: code === undefined ? NOTHING_SAID : this.codecs.nameOf(code) };
    });
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
  private offset(partition: number, when: -1 | -2): Promise<Offset> {
    const what = when === -1 ? 'end' : 'beginning';
    return this.ask<Offset>(`The ${what} of partition ${partition} cannot be read`, partition, 'offsets', async (link) => {
      const answer = await link.send(this.codecs.offsets(this.topology.topic, [partition], when));
      const one = answer.responses.flatMap(({ partitions }) => partitions)[0];
      if (one?.errorCode === 0) return { value: Number(one.offset) };
      return { failure: one === undefined ? NOTHING_SAID : this.codecs.nameOf(one.errorCode) };
    });
  }

  /** Asks the leader, whoever that is by then, until it answers or patience ends. */
  private async ask<Answer>(
    trouble: string,
    partition: number,
    purpose: string,
    question: (link: BrokerLink) => Promise<{ readonly value: Answer } | { readonly failure: string }>,
  ): Promise<Answer> {
    const deadline = Date.now() + END_PATIENCE_MS;
    for (;;) {
      if (this.closed) throw new LogUnavailable('The log is closed.');
      const leader = this.topology.leader(partition);
      let failure = `nobody leads partition ${partition}`;
      if (leader !== undefined)
        try {
          const answer = await question(await this.links.to(leader, purpose));
          if ('value' in answer) return answer.value;
          failure = answer.failure;
        } catch (error) {
          if (error instanceof LogRefused) throw error;
          failure = errorText(error);
        }
      if (Date.now() > deadline) throw new LogUnavailable(`${trouble}: ${failure}.`);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      await this.topology.refresh().catch(() => undefined); // the deadline above ends this
    }
  }
}
