import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { loadConfig } from '#lib/platform';
import type { KafkaCluster } from '../../../../scripts/kafka/cluster.mjs';
import { describeWithOwnKafka, startKafka } from '../../../../test/support/kafka.js';
import { readAll } from '../contract/event-log-contract.js';
import { LogUnavailable } from '../event-log.js';
import { kafkaConnection } from './kafka-client.js';
import { openKafkaLog, type KafkaLog } from './kafka-log.js';

/** A broker that asks its clients for a certificate and a password. Certificates are made by openssl for this run. */
describeWithOwnKafka('A broker with TLS and logins', () => {
  let kafka: KafkaCluster | undefined;
  let dir: string;
  const file = (name: string) => path.join(dir, name);
  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'kafka-login-'));
    await promisify(execFile)(
      'openssl',
      ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=broker'].concat([
        '-addext',
        'subjectAltName=IP:127.0.0.1',
        '-keyout',
        file('key.pem'),
        '-out',
        file('cert.pem'),
      ]),
    );
    await writeFile(file('store.pem'), (await readFile(file('key.pem'), 'utf8')) + (await readFile(file('cert.pem'), 'utf8')), {
      mode: 0o644,
    });
    const client = (name: string) => `listener.name.client0.${name}`;
    kafka = await startKafka({
      properties: {
        'listener.security.protocol.map': 'CLIENT0:SASL_SSL,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT',
        [client('ssl.keystore.type')]: 'PEM',
        [client('ssl.keystore.location')]: file('store.pem'),
        [client('ssl.truststore.type')]: 'PEM',
        [client('ssl.truststore.location')]: file('cert.pem'),
        [client('ssl.client.auth')]: 'required',
        [client('sasl.enabled.mechanisms')]: 'PLAIN',
        [client('plain.sasl.jaas.config')]: 'org.apache.kafka.common.security.plain.PlainLoginModule required user_fabula="open sesame";',
      },
    });
  });
  afterAll(async () => {
    await kafka?.destroy();
    await rm(dir, { recursive: true });
  });

  async function open(env: Record<string, string> = {}): Promise<KafkaLog> {
    const config = loadConfig({
      KAFKA_BROKERS: (kafka?.brokers ?? []).join(),
      KAFKA_TLS: 'on',
      KAFKA_TLS_CA: file('cert.pem'),
      KAFKA_TLS_CERT: file('cert.pem'),
      KAFKA_TLS_KEY: file('key.pem'),
      KAFKA_SASL_MECHANISM: 'plain',
      KAFKA_SASL_USERNAME: 'fabula',
      KAFKA_SASL_PASSWORD: 'open sesame',
      ...env,
    });
    return openKafkaLog({ connection: await kafkaConnection(config), topic: 'login', partitions: 1, allowUnsafe: true });
  }

  test('takes what the settings bring it, and readers and writers work over it', async () => {
    const log = await open();
    expect(await log.append(0, [{ key: 'k', value: Buffer.from('v') }])).toBe(0);
    expect((await readAll(log, 0, 0, 1))[0]?.key).toBe('k');
    await log.close();
  });

  test('turns away a wrong password, and clients that do not know its authority', async () => {
    await expect(open({ KAFKA_SASL_PASSWORD: 'open barley' })).rejects.toThrow(/uthentication failed/);
    const strange = open({ KAFKA_TLS_CA: '' });
    await expect(strange).rejects.toThrow(LogUnavailable);
    await expect(strange).rejects.toThrow(/self-signed certificate/);
  });
});
