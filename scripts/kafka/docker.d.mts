export interface BrokerContainer {
  readonly name: string;
  /** `host:port` for clients on this machine. */
  readonly address: string;
  /** What `docker` is told. */
  readonly args: readonly string[];
}

/** What `docker run` is told for each broker; data are kept in named volumes. */
export function containers(nodes: 1 | 3): readonly BrokerContainer[];
