import type { Admin, Kafka } from 'kafkajs';
import { errorText } from '#lib/platform';
import { LogRefused, LogUnavailable } from '../event-log.js';
import { PartitionCountDiffers } from '../postgres/log-identity.js';
import { BrokerLink } from './broker-link.js';
import { loadCodecs } from './kafka-codecs.js';
import { BrokerFactory } from './kafkajs-internals.js';
import { auditTopic, describeFindings, LEAST_REPLICATION, safeSettings, type Finding, type TopicFacts } from './topic-audit.js';
import { metadataRequest, type TopicMetadata } from './topic-metadata.js';

/** A topic that Fabula needs. */
export interface TopicWish {
  readonly name: string;
  /** Count at creation. */
  readonly partitions: number;
  /** An existing topic may have another count (the public feed, not the log). */
  readonly anyPartitionCount?: boolean;
  /** How long records stay, in ms; absent: for ever. */
  readonly retentionMs?: number;
  /** Unsafe settings are answered as findings instead of refused. */
  readonly allowUnsafe?: boolean;
  /** The topic must be there: nothing is created. */
  readonly expectExisting?: boolean;
}

export interface TopicState {
  readonly name: string;
  readonly id: string;
  readonly partitions: number;
  readonly replication: number;
  readonly settings: ReadonlyMap<string, { readonly value: string; readonly inherited: boolean }>;
  readonly leaders: readonly {
    readonly partition: number;
    readonly leader: number;
    readonly replicas: readonly number[];
    readonly inSync: readonly number[];
  }[];
  readonly brokers: readonly { readonly nodeId: number; readonly host: string; readonly port: number; readonly rack?: string }[];
  readonly findings: readonly Finding[];
}

/** The topic, or the cluster for it, can lose what was acknowledged. */
export class UnsafeTopic extends Error {
  override readonly name = 'UnsafeTopic';
  constructor(
    readonly topic: string,
    readonly findings: readonly Finding[],
  ) {
    super(
      `${describeFindings(topic, findings)}\n` +
        'Mend this and start again; FABULA_KAFKA_ALLOW_UNSAFE=on accepts it, for tests and for what may be lost.',
    );
  }
}

/** The topic should exist and does not. */
export class TopicMissing extends Error {
  override readonly name = 'TopicMissing';
  constructor(readonly topic: string) {
    super(
      `Topic ${topic} does not exist. Was it deleted, or do KAFKA_BROKERS or FABULA_KAFKA_TOPIC name another place? FABULA_ADOPT_LOG=new begins an empty one.`,
    );
  }
}

const TOPIC = 2; // kafkajs' ConfigResourceTypes is a const that exists only once kafkajs is loaded
const DEFAULT_CONFIG = 5;
const SETTLE_MS = 30_000;
const POLL_MS = 50;
const SETTINGS_PATIENCE_MS = 5_000;
const UNKNOWN_TOPIC = 3;
const NOT_AUTHORISED = 29;

const notAuthorised = (topic: string): LogRefused =>
  new LogRefused(`The brokers do not let this login see topic ${topic}: it needs Describe, DescribeConfigs, Read and Write.`);

/**
 * Creates the topic when it is not there (many processes may do so at once) and audits it; ends when every partition has a leader.
 * @throws UnsafeTopic, PartitionCountDiffers, TopicMissing, LogRefused when it may not see the topic, LogUnavailable
 */
export async function ensureTopic(kafka: Kafka, wish: TopicWish): Promise<TopicState> {
  return withAdmin(kafka, async (admin) => {
    const factory = new BrokerFactory(kafka);
    const there = await askMetadata(factory, wish.name);
    if (there.errorCode === NOT_AUTHORISED) throw notAuthorised(wish.name);
    if (there.errorCode === UNKNOWN_TOPIC) {
      if (wish.expectExisting === true) throw new TopicMissing(wish.name);
      await create(admin, wish, there.brokers.length);
    }
    const state = await stateOf(admin, wish, await untilLed(factory, wish.name));
    if (state.partitions !== wish.partitions && wish.anyPartitionCount !== true)
      throw new PartitionCountDiffers(state.partitions, wish.partitions);
    if (state.findings.length > 0 && wish.allowUnsafe !== true) throw new UnsafeTopic(wish.name, state.findings);
    return state;
  });
}

/** The topic as it is with what is unsafe about it; undefined when it does not exist. @throws LogUnavailable */
export async function describeTopic(kafka: Kafka, wish: Pick<TopicWish, 'name' | 'retentionMs'>): Promise<TopicState | undefined> {
  return withAdmin(kafka, async (admin) => {
    const metadata = await askMetadata(new BrokerFactory(kafka), wish.name);
    if (metadata.errorCode === NOT_AUTHORISED) throw notAuthorised(wish.name);
    return metadata.errorCode === UNKNOWN_TOPIC ? undefined : stateOf(admin, wish, metadata);
  });
}

async function withAdmin<T>(kafka: Kafka, work: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = kafka.admin();
  try {
    await admin.connect();
  } catch (error) {
    throw new LogUnavailable(`The brokers cannot be reached: ${errorText(error)}`, { cause: error });
  }
  try {
    return await work(admin);
  } finally {
    await admin.disconnect();
  }
}

async function create(admin: Admin, wish: TopicWish, brokers: number): Promise<void> {
  const rules = wish.retentionMs === undefined ? {} : { retentionMs: wish.retentionMs };
  if (brokers < LEAST_REPLICATION && wish.allowUnsafe !== true) {
    const finding = {
      setting: 'number of brokers',
      value: String(brokers),
      wanted: `${LEAST_REPLICATION} or more`,
      why: 'records cannot be kept by three brokers; the topic was not created',
      fix: 'add brokers, or name all of them in KAFKA_BROKERS',
    };
    throw new UnsafeTopic(wish.name, [finding]);
  }
  try {
    await admin.createTopics({
      waitForLeaders: false,
      timeout: 5_000,
      topics: [
        {
          topic: wish.name,
          numPartitions: wish.partitions,
          replicationFactor: Math.min(LEAST_REPLICATION, brokers),
          configEntries: safeSettings(brokers, rules),
        },
      ],
    });
  } catch (error) {
    // Another process may have been first, or the answer was lost: whether the topic is there decides, below.
    if (!isTransient(error)) throw new LogUnavailable(`Topic ${wish.name} cannot be created: ${causes(error)}`, { cause: error });
  }
}

function isTransient(error: unknown): boolean {
  return /already exists|timed out|timeout|not the controller|closed connection/i.test(causes(error));
}

/** kafkajs wraps what the broker said about each topic. */
function causes(error: unknown): string {
  const inner: unknown = typeof error === 'object' && error !== null && 'errors' in error ? error.errors : undefined;
  return Array.isArray(inner) && inner.length > 0 ? inner.map(errorText).join('; ') : errorText(error);
}

async function untilLed(factory: BrokerFactory, topic: string): Promise<TopicMetadata> {
  const deadline = Date.now() + SETTLE_MS;
  for (;;) {
    const metadata = await askMetadata(factory, topic);
    const led = metadata.errorCode === 0 && metadata.partitions.every(({ leader }) => leader >= 0);
    if (led && metadata.partitions.length > 0 && (await allLead(factory, topic, metadata))) return metadata;
    if (metadata.errorCode === NOT_AUTHORISED) throw notAuthorised(topic);
    if (Date.now() > deadline) throw new LogUnavailable(`Topic ${topic} has partitions that nobody leads.`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** The controller names leaders before they know it themselves: an append would meet NOT_LEADER, and its outcome would be unknown. */
async function allLead(factory: BrokerFactory, topic: string, { brokers, partitions }: TopicMetadata): Promise<boolean> {
  const codecs = await loadCodecs();
  const leads = await Promise.all(
    brokers.map(async (broker) => {
      const led = partitions.filter(({ leader }) => leader === broker.nodeId).map(({ partition }) => partition);
      if (led.length === 0) return true;
      let link: BrokerLink | undefined;
      try {
        link = await BrokerLink.open(factory, broker);
        const { responses } = await link.send(codecs.offsets(topic, led, -1));
        return responses.every((response) => response.partitions.every(({ errorCode }) => errorCode === 0));
      } catch {
        return false; // asked again until the time is up
      } finally {
        link?.close();
      }
    }),
  );
  return leads.every(Boolean);
}

async function askMetadata(factory: BrokerFactory, topic: string): Promise<TopicMetadata> {
  let failure: unknown;
  for (let attempt = 0; attempt < 6; attempt++) {
    let link: BrokerLink | undefined;
    try {
      link = await BrokerLink.open(factory);
      return await link.send(metadataRequest(topic));
    } catch (error) {
      failure = error;
    } finally {
      link?.close();
    }
  }
  throw new LogUnavailable(`No broker tells about topic ${topic}: ${errorText(failure)}`, { cause: failure });
}

async function stateOf(admin: Admin, wish: Pick<TopicWish, 'name' | 'retentionMs'>, metadata: TopicMetadata): Promise<TopicState> {
  const settings = await settingsOf(admin, wish.name);
  const nodeIds = metadata.brokers.map(({ nodeId }) => nodeId).sort((left, right) => left - right);
  const facts: TopicFacts = {
    name: wish.name,
    brokers: metadata.brokers.map(({ host, port }) => `${host}:${port}`).join(','),
    nodeIds,
    partitions: metadata.partitions,
    settings,
  };
  return {
    name: wish.name,
    id: metadata.topicId,
    partitions: metadata.partitions.length,
    replication: Math.min(...metadata.partitions.map(({ replicas }) => replicas.length)),
    settings,
    leaders: metadata.partitions.map(({ partition, leader, replicas, inSync }) => ({ partition, leader, replicas, inSync })),
    brokers: metadata.brokers,
    findings: auditTopic(facts, wish.retentionMs === undefined ? {} : { retentionMs: wish.retentionMs }),
  };
}

async function settingsOf(admin: Admin, topic: string): Promise<TopicState['settings']> {
  const deadline = Date.now() + SETTINGS_PATIENCE_MS;
  let described;
  while (described === undefined)
    try {
      described = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: TOPIC, name: topic }] });
    } catch (error) {
      // A broker that is asked right after the topic was created may not have heard of it yet.
      if (Date.now() > deadline)
        throw new LogUnavailable(`The settings of topic ${topic} cannot be read: ${errorText(error)}`, { cause: error });
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  const settings = new Map<string, { value: string; inherited: boolean }>();
  for (const { configEntries } of described.resources)
    for (const { configName, configValue, configSource } of configEntries) {
      // 1 is the topic's own; every other source is a default of the brokers.
      settings.set(configName, { value: configValue, inherited: Number(configSource) !== 1 && Number(configSource) <= DEFAULT_CONFIG });
    }
  return settings;
}
