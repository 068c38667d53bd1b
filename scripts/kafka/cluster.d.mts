export interface KafkaOptions {
  /** Where the brokers keep their data, ports and logs; what a cluster left there goes on. */
  readonly dir: string;
  /** One (default), or three: replication 3, `min.insync.replicas=2`, racks a, b and c. */
  readonly nodes?: 1 | 3;
  /** Forgets what is in `dir`. */
  readonly fresh?: boolean;
  /** Quick loss detection and leader election, for tests that hurt brokers. */
  readonly quickFailover?: boolean;
  /** Full just-in-time compilation, for benches; otherwise brokers start quicker and are 8–26 % slower. */
  readonly fullJit?: boolean;
  /** Further or other settings of every broker. */
  readonly properties?: Readonly<Record<string, string>>;
  /** How many listeners for clients there are, each with ports of its own (default 1): what stands in front of one touches no other. */
  readonly audiences?: number;
  /** Told the ports that brokers listen on for clients, by audience, then by broker; answers those to advertise instead (proxies). */
  readonly advertise?: (clientPorts: readonly (readonly number[])[]) => Promise<readonly (readonly number[])[]>;
  readonly say?: (text: string) => void;
}

/** Brokers are numbered from 1. They are processes of their own and outlive this one unless stopped. */
export interface KafkaCluster {
  readonly nodes: number;
  /** `host:port` of every broker as clients are told; of the first audience. */
  readonly brokers: readonly string[];
  brokersOf(audience: number): readonly string[];
  /** The same brokers past whatever is advertised: a client that begins here stays here. */
  readonly direct: readonly string[];
  pid(node: number): number | undefined;
  /** SIGKILL; ends when it is gone. */
  kill(node: number): Promise<void>;
  /** SIGSTOP. */
  freeze(node: number): void;
  /** SIGCONT. */
  thaw(node: number): void;
  /** Starts brokers that do not run; ends when the cluster sees them. Two that make up a quorum must start together. */
  start(...nodes: readonly number[]): Promise<void>;
  /** Stops a broker in good order and starts it again. */
  restart(node: number): Promise<void>;
  rollingRestart(): Promise<void>;
  /** In good order; data stay. */
  stop(): Promise<void>;
  /** Kills the brokers and removes their data. */
  destroy(): Promise<void>;
}

/** Ends when every broker is known to every other and there is a controller. @throws Error what is missing, or a broker's last words */
export function startKafkaCluster(options: KafkaOptions): Promise<KafkaCluster>;

/** Ids of the brokers that metadata names, once there is a controller too; undefined while nobody answers so. */
export function askBrokers(addresses: readonly string[], timeoutMs: number): Promise<readonly number[] | undefined>;
