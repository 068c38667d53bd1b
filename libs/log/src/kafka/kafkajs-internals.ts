import type { Kafka } from 'kafkajs';

/**
 * The window on kafkajs 2.2.4 that its public types do not have, in one place: its public producer hides all results of a request when
 * one partition failed, and it cannot read one explicit partition. The shapes below were read in its source; `kafkajs-internals.spec.ts`
 * fails when they change. kafkajs gives connections (TCP, TLS, SASL, framing, versions) and the codecs of single requests.
 */

/** A request of the protocol and how its answer is read. `parse` of kafkajs' own responses throws away what succeeded. */
export interface Protocol<Answer> {
  readonly request: {
    readonly apiKey: number;
    readonly apiVersion: number;
    readonly apiName: string;
    encode(): Promise<EncodedRequest> | EncodedRequest;
  };
  readonly response: { decode(payload: Buffer): Promise<Answer>; parse(answer: Answer): Promise<Answer> };
  /** Longest wait for the answer, in ms, when it is longer than the client's own. */
  readonly requestTimeout?: number;
  readonly logResponseError?: boolean;
}

export interface EncodedRequest {
  /** kafkajs knows its own encoders by this. */
  readonly buf: Buffer;
  readonly buffer: Buffer;
  size(): number;
}

export interface KafkajsConnection {
  readonly host: string;
  readonly port: number;
  readonly socket?: { destroy(): void };
  isConnected(): boolean;
  send<Answer>(protocol: Protocol<Answer>): Promise<Answer>;
  rejectRequests(error: Error): void;
  disconnect(): Promise<boolean>;
}

export interface KafkajsBroker {
  readonly versions: Readonly<Record<string, { readonly minVersion: number; readonly maxVersion: number }>> | null;
  readonly connectionPool: { getConnection(index: number): Promise<KafkajsConnection>; readonly pool: readonly KafkajsConnection[] };
  connect(): Promise<void>;
}

interface KafkajsCluster {
  readonly connectionPoolBuilder: { build(destination?: { host: string; port: number; rack?: string }): Promise<unknown> };
  readonly brokerPool: { createBroker(options: { connectionPool: unknown; logger: unknown; nodeId?: number }): KafkajsBroker };
  readonly rootLogger: unknown;
}

/** kafkajs is not what it was when this was written. */
export class KafkajsChanged extends Error {
  override readonly name = 'KafkajsChanged';
  constructor(what: string) {
    super(`kafkajs has no ${what} as version 2.2.4 had: Fabula's Kafka adapter must be adapted before it can use this version.`);
  }
}

/** Makes broker objects: each holds a connection of its own. Without a destination the next bootstrap address is taken. */
export class BrokerFactory {
  private readonly cluster: KafkajsCluster;

  /** @throws KafkajsChanged */
  constructor(kafka: Kafka) {
    const symbol = Object.getOwnPropertySymbols(kafka).find((one) => one.description === 'private:Kafka:createCluster');
    const create: unknown = symbol === undefined ? undefined : Reflect.get(kafka, symbol);
    if (typeof create !== 'function') throw new KafkajsChanged('createCluster');
    const cluster = (create as (options: object) => KafkajsCluster)({ allowAutoTopicCreation: false, metadataMaxAge: 1_000 });
    if (typeof cluster.connectionPoolBuilder?.build !== 'function') throw new KafkajsChanged('connectionPoolBuilder');
    if (typeof cluster.brokerPool?.createBroker !== 'function') throw new KafkajsChanged('createBroker');
    this.cluster = cluster;
  }

  async broker(destination?: { readonly host: string; readonly port: number }): Promise<KafkajsBroker> {
    const connectionPool = await this.cluster.connectionPoolBuilder.build(destination);
    return this.cluster.brokerPool.createBroker({ connectionPool, logger: this.cluster.rootLogger });
  }
}

/**
 * A file inside kafkajs. The name is a variable so that nobody looks for types that do not exist.
 * @throws KafkajsChanged
 */
export async function kafkajsFile(file: string): Promise<unknown> {
  const specifier: string = `kafkajs/src/${file}`;
  let module: unknown;
  try {
    module = await import(specifier);
  } catch (error) {
    throw Object.assign(new KafkajsChanged(`file ${file}`), { cause: error });
  }
  return typeof module === 'object' && module !== null && 'default' in module ? module.default : module;
}
