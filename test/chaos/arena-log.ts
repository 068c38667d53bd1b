import type { Pool } from 'pg';
import { openKafkaLog, openPostgresLog, type EventLog } from '#lib/log';
import type { FaultProxy } from '../support/fault-proxy.js';
import { claimProxiedBrokers, uniqueTopic, type ProxiedBrokers, type ProxiedKafka } from '../support/kafka.js';
import { pause } from './crowd.js';

export type LogKind = 'postgres' | 'kafka';

/** The log that the servers of an arena write, with what can be done to it, and the way of the tests to look past the servers. */
export interface ArenaLog {
  /** What makes server `i` use it. */
  env(i: number): Readonly<Record<string, string>>;
  /** Reads and appends beside the servers, through nothing that can be broken. */
  open(): Promise<EventLog>;
  /** The way the servers go, for an engine of the test's own. */
  openAsServers(): Promise<EventLog>;
  /** The same for replay-log.mjs. */
  readonly where: readonly string[];
  /** Waits for a moment at which an append is under way; false when none was seen for long. */
  appendUnderWay(): Promise<boolean>;
  /** Cuts one append off that is under way, so that its engine cannot know what became of it; false when none was. */
  cutAppend(): Promise<boolean>;
  close(): Promise<void>;
}

const LOOKS = 400;

export class PostgresArenaLog implements ArenaLog {
  constructor(
    private readonly pool: Pool,
    private readonly databaseUrl: string,
    private readonly partitions: number,
  ) {}

  env(): Readonly<Record<string, string>> {
    return {};
  }
  open(): Promise<EventLog> {
    return openPostgresLog({ pool: this.pool, partitions: this.partitions });
  }
  openAsServers(): Promise<EventLog> {
    return this.open();
  }
  get where(): readonly string[] {
    return ['postgres', this.databaseUrl];
  }

  async appendUnderWay(): Promise<boolean> {
    const client = await this.pool.connect();
    try {
      for (let i = 0; i < LOOKS; i++) {
        const { rowCount } = await client.query(
          `select 1 from pg_stat_activity where datname = current_database() and state = 'active' and query like '%update fabula.log_partitions%' and pid <> pg_backend_pid()`,
        );
        if ((rowCount ?? 0) > 0) return true;
        await pause(1);
      }
      return false;
    } finally {
      client.release();
    }
  }

  async cutAppend(): Promise<boolean> {
    const { rows } = await this.pool.query<{ cut: boolean }>(
      `select pg_terminate_backend(pid) as cut from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid() and state = 'active' and query like '%update fabula.log_partitions%'
       limit 1`,
    );
    return rows[0]?.cut === true;
  }

  async close(): Promise<void> {}
}

/** Three brokers, reached by each server through proxies of its own or of all together. */
export class KafkaArenaLog implements ArenaLog {
  readonly topic = uniqueTopic('decisions');

  private constructor(
    /** Server `i` has the way `i`, or the last one. */
    private readonly ways: readonly ProxiedBrokers[],
    private readonly partitions: number,
  ) {}

  static async open(partitions: number, ways: number, seed: number): Promise<KafkaArenaLog> {
    const claimed: ProxiedBrokers[] = [];
    for (let i = 0; i < ways; i++) claimed.push(await claimProxiedBrokers(seed * 10 + i));
    return new KafkaArenaLog(claimed, partitions);
  }

  /** Brokers of the spec's own, which it may hurt. */
  static over(kafka: ProxiedKafka, partitions: number): KafkaArenaLog {
    const ways = kafka.proxies.map((proxies, i) => {
      return {
        brokers: kafka.kafka.brokersOf(i),
        proxies,
        direct: kafka.kafka.direct,
        close: i === 0 ? () => kafka.close() : async () => {},
      };
    });
    return new KafkaArenaLog(ways, partitions);
  }

  /** What stands between a server and the brokers. */
  proxies(i: number): readonly FaultProxy[] {
    return this.way(i).proxies;
  }

  env(i: number): Readonly<Record<string, string>> {
    return {
      FABULA_LOG: 'kafka',
      KAFKA_BROKERS: this.way(i).brokers.join(','),
      FABULA_KAFKA_TOPIC: this.topic,
      FABULA_KAFKA_FEED_TOPIC: `${this.topic}.feed`,
      FABULA_RACK: 'abc'[i % 3] as string,
    };
  }

  open(): Promise<EventLog> {
    const { direct } = this.way(0);
    return this.openAt(direct);
  }
  openAsServers(): Promise<EventLog> {
    return this.openAt(this.way(0).brokers);
  }
  private openAt(brokers: readonly string[]): Promise<EventLog> {
    return openKafkaLog({ connection: { brokers, clientId: 'chaos' }, topic: this.topic, partitions: this.partitions });
  }

  get where(): readonly string[] {
    return ['kafka', this.way(0).direct.join(','), this.topic];
  }

  async appendUnderWay(): Promise<boolean> {
    for (let i = 0; i < LOOKS; i++) {
      if (this.all().some((proxy) => proxy.underWay('produce'))) return true;
      await pause(1);
    }
    return false;
  }

  async cutAppend(): Promise<boolean> {
    const one = this.all().find((proxy) => proxy.underWay('produce'));
    return one !== undefined && one.cutOff('produce') > 0;
  }

  async close(): Promise<void> {
    await Promise.all(this.ways.map((way) => way.close()));
  }

  private way(i: number): ProxiedBrokers {
    return this.ways[Math.min(i, this.ways.length - 1)] as ProxiedBrokers;
  }
  private all(): readonly FaultProxy[] {
    return this.ways.flatMap(({ proxies }) => proxies);
  }
}
