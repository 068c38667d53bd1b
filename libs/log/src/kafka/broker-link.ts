import { LogUnavailable } from '../event-log.js';
import { errorText } from '#lib/platform';
import type { BrokerFactory, KafkajsBroker, KafkajsConnection, Protocol } from './kafkajs-internals.js';
import { METADATA_API, METADATA_VERSION } from './topic-metadata.js';

export interface BrokerAddress {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
}

/** One connection to one broker. The broker answers its requests in order: what may wait long has a link of its own. */
export class BrokerLink {
  private closed = false;

  private constructor(
    private readonly broker: KafkajsBroker,
    private readonly connection: KafkajsConnection,
  ) {}

  /** Without a destination the next bootstrap address is tried. @throws LogUnavailable */
  static async open(factory: BrokerFactory, destination?: { readonly host: string; readonly port: number }): Promise<BrokerLink> {
    const broker = await factory.broker(destination);
    try {
      await broker.connect();
      const connection = await broker.connectionPool.getConnection(0);
      const version = broker.versions?.[METADATA_API]?.maxVersion ?? 0;
      if (version < METADATA_VERSION)
        throw new Error(`it speaks Metadata only up to version ${version}; Fabula needs ${METADATA_VERSION}, Kafka 2.8 or newer`);
      return new BrokerLink(broker, connection);
    } catch (error) {
      const connection = broker.connectionPool.pool[0];
      if (connection !== undefined) drop(connection);
      const where = connection === undefined ? 'a broker' : `${connection.host}:${connection.port}`;
      throw new LogUnavailable(`The broker ${where} cannot be reached: ${errorText(error)}`, { cause: error });
    }
  }

  get alive(): boolean {
    return !this.closed && this.connection.isConnected();
  }

  /** Where it leads, as the broker announces itself. */
  get address(): string {
    return `${this.connection.host}:${this.connection.port}`;
  }

  send<Answer>(protocol: Protocol<Answer>): Promise<Answer> {
    return this.connection.send(protocol);
  }

  /** Requests that wait for an answer fail at once. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    drop(this.connection);
    for (const other of this.broker.connectionPool.pool) if (other !== this.connection && other.isConnected()) drop(other);
  }
}

function drop(connection: KafkajsConnection): void {
  connection.rejectRequests(new Error('The connection was given up.'));
  // It waits for requests in flight, and there are none now; what it ends is destroyed at once, for half-open connections never end.
  void connection.disconnect().then(
    () => connection.socket?.destroy(),
    () => connection.socket?.destroy(),
  );
}

/** Links by purpose, opened when needed, replaced when broken. Many who ask at once share the opening. */
export class BrokerLinks {
  private readonly links = new Map<string, Promise<BrokerLink>>();
  private closed = false;

  /** @param reconnected told each time that a link is opened which had been open before */
  constructor(
    private readonly factory: BrokerFactory,
    private readonly reconnected: (address: string) => void,
  ) {}

  /** @throws LogUnavailable */
  async to(address: BrokerAddress, purpose: string): Promise<BrokerLink> {
    if (this.closed) throw new LogUnavailable('The log is closed.');
    const key = `${address.nodeId} ${address.host}:${address.port} ${purpose}`;
    const known = this.links.get(key);
    if (known !== undefined) {
      const link = await known.catch(() => undefined);
      if (link?.alive === true) return link;
      link?.close();
      if (this.links.get(key) === known) {
        this.links.delete(key);
        if (link !== undefined) this.reconnected(link.address);
      }
      return this.to(address, purpose);
    }
    const opening = BrokerLink.open(this.factory, address);
    this.links.set(key, opening);
    try {
      const link = await opening;
      if (this.closed) {
        link.close();
        throw new LogUnavailable('The log is closed.');
      }
      return link;
    } catch (error) {
      if (this.links.get(key) === opening) this.links.delete(key);
      throw error;
    }
  }

  /** Ends links to brokers that are no longer part of the cluster. */
  keepOnly(addresses: readonly BrokerAddress[]): void {
    const wanted = new Set(addresses.map(({ nodeId, host, port }) => `${nodeId} ${host}:${port}`));
    for (const [key, link] of this.links) {
      if (wanted.has(key.slice(0, key.lastIndexOf(' ')))) continue;
      this.links.delete(key);
      void link.then(
        (one) => one.close(),
        () => undefined,
      );
    }
  }

  close(): void {
    this.closed = true;
    this.keepOnly([]);
  }
}
