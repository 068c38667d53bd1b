import { readFile } from 'node:fs/promises';
import type { ISocketFactory, Kafka, LogEntry, SASLOptions } from 'kafkajs';
import { errorText, type Config } from '#lib/platform';
import { cureIdleLoop } from './kafkajs-idle-cure.js';

/** How to reach the brokers. Certificates are PEM text, not file names. */
export interface KafkaConnection {
  /** host:port, at least one; the others are learnt. */
  readonly brokers: readonly string[];
  /** Seen in the brokers' logs, quotas and metrics. */
  readonly clientId: string;
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  readonly sasl?: {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
    readonly username: string;
    readonly password: string;
  };
  /** Zone of this process, named as the brokers name theirs. */
  readonly rack?: string;
  /** Tunnels and tests: where to dial instead of the address that a broker announces. */
  readonly dial?: (host: string, port: number) => { readonly host: string; readonly port: number };
}

/** What kafkajs says: it logs every broken connection as an error, which for us is daily life. */
export interface KafkaNotice {
  readonly level: 'debug' | 'warn' | 'error';
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** No answer for this long and the connection is given up. */
export const REQUEST_TIMEOUT_MS = 1_500;
export const CONNECTION_TIMEOUT_MS = 500;
/** How long a broker may wait for the other replicas. */
export const PRODUCE_TIMEOUT_MS = 1_000;
/** kafkajs' own retries: few and short, the command's deadline answers the reader. */
export const RETRY = { initialRetryTime: 50, maxRetryTime: 1_000, factor: 0.2, multiplier: 2, retries: 3 } as const;

/** A file that KAFKA_TLS_* names cannot be read. */
export class KafkaFileUnreadable extends Error {
  override readonly name = 'KafkaFileUnreadable';
  constructor(setting: string, file: string, cause: unknown) {
    super(`${setting} names ${file}, which cannot be read: ${errorText(cause)}`, { cause });
  }
}

/** A client of kafkajs, tuned for quick fail-over (kafkajs' defaults stay for 13 s and more with a dead leader). kafkajs is loaded here, not before. */
export async function createKafka(connection: KafkaConnection, notice?: (notice: KafkaNotice) => void): Promise<Kafka> {
  const kafkajs = await import('kafkajs');
  await cureIdleLoop();
  const { tls, sasl, dial } = connection;
  return new kafkajs.Kafka({
    brokers: [...connection.brokers],
    clientId: connection.clientId,
    ...(tls === undefined ? {} : { ssl: { ...(tls.ca === undefined ? {} : { ca: [tls.ca] }), cert: tls.cert, key: tls.key } }),
    ...(sasl === undefined ? {} : { sasl: sasl as SASLOptions }),
    ...(dial === undefined ? {} : { socketFactory: await dialler(dial) }),
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    authenticationTimeout: 2 * REQUEST_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    enforceRequestTimeout: true,
    retry: { ...RETRY },
    logLevel: notice === undefined ? kafkajs.logLevel.NOTHING : kafkajs.logLevel.WARN,
    logCreator: () => (entry) => notice?.(noticeOf(entry)),
  });
}

/**
 * From the platform's settings.
 * @throws KafkaFileUnreadable, or an error when KAFKA_BROKERS is not set
 */
export async function kafkaConnection(config: Config, clientId = 'fabula'): Promise<KafkaConnection> {
  const { kafkaBrokers: brokers, kafkaSaslMechanism: mechanism, kafkaSaslUsername: username, kafkaSaslPassword: password } = config;
  if (brokers === undefined) throw new Error('KAFKA_BROKERS is not set.');
  const tls = config.kafkaTls || config.kafkaTlsCa !== undefined || config.kafkaTlsCert !== undefined;
  return {
    brokers,
    clientId,
    ...(tls
      ? {
          tls: {
            ...(await pem('ca', 'KAFKA_TLS_CA', config.kafkaTlsCa)),
            ...(await pem('cert', 'KAFKA_TLS_CERT', config.kafkaTlsCert)),
            ...(await pem('key', 'KAFKA_TLS_KEY', config.kafkaTlsKey)),
          },
        }
      : {}),
    ...(mechanism !== undefined && username !== undefined && password !== undefined ? { sasl: { mechanism, username, password } } : {}),
    ...(config.rack === undefined ? {} : { rack: config.rack }),
  };
}

async function pem(key: 'ca' | 'cert' | 'key', setting: string, file: string | undefined): Promise<Partial<Record<typeof key, string>>> {
  if (file === undefined) return {};
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new KafkaFileUnreadable(setting, file, error);
  }
  if (!text.includes('-----BEGIN')) throw new KafkaFileUnreadable(setting, file, 'it holds no PEM block');
  return { [key]: text };
}

/** kafkajs' own socket factory, with the addresses changed. */
async function dialler(dial: NonNullable<KafkaConnection['dial']>): Promise<ISocketFactory> {
  const [net, tls] = [await import('node:net'), await import('node:tls')];
  return ({ host, port, ssl, onConnect }) => {
    const to = dial(host, port);
    const options = { host: to.host, port: to.port };
    const name = net.isIP(host) === 0 ? { servername: host } : {};
    const socket = ssl ? tls.connect({ ...options, ...name, ...ssl }, onConnect) : net.connect(options, onConnect);
    socket.setKeepAlive(true, 60_000);
    return socket;
  };
}

function noticeOf({ label, log }: LogEntry): KafkaNotice {
  const { message, timestamp: _timestamp, stack: _stack, ...details } = log;
  return { level: label === 'ERROR' ? 'error' : label === 'WARN' ? 'warn' : 'debug', message, details };
}
