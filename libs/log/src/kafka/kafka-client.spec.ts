import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { loadConfig } from '#lib/platform';
import { createKafka, kafkaConnection, KafkaFileUnreadable, type KafkaNotice } from './kafka-client.js';

describe('the connection that the settings describe', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'kafka-client-'));
    await writeFile(path.join(dir, 'ca.pem'), '-----BEGIN CERTIFICATE-----\nca\n');
    await writeFile(path.join(dir, 'none.pem'), 'nothing');
  });
  afterAll(() => rm(dir, { recursive: true }));
  const of = (env: Record<string, string>) => kafkaConnection(loadConfig({ KAFKA_BROKERS: 'a:1,b:2', ...env }), 'spec');

  test('is plain without further settings, and has the rack', async () => {
    expect(await of({ FABULA_RACK: 'zone-a' })).toEqual({ brokers: ['a:1', 'b:2'], clientId: 'spec', rack: 'zone-a' });
    await expect(kafkaConnection(loadConfig({}))).rejects.toThrow(/KAFKA_BROKERS/);
  });

  test('has TLS with the authorities of Node, or with those of a file', async () => {
    expect((await of({ KAFKA_TLS: 'on' })).tls).toEqual({});
    expect((await of({ KAFKA_TLS: 'on', KAFKA_TLS_CA: path.join(dir, 'ca.pem') })).tls?.ca).toContain('BEGIN CERTIFICATE');
  });

  test('names the setting and the file that cannot be read, or hold no certificate', async () => {
    for (const file of [path.join(dir, 'absent.pem'), path.join(dir, 'none.pem')]) {
      const refused = of({ KAFKA_TLS: 'on', KAFKA_TLS_CA: file });
      await expect(refused).rejects.toThrow(KafkaFileUnreadable);
      await expect(refused).rejects.toThrow(`KAFKA_TLS_CA names ${file}, which cannot be read`);
    }
  });

  test('has the login of the settings', async () => {
    const env = { KAFKA_SASL_MECHANISM: 'scram-sha-512', KAFKA_SASL_USERNAME: 'u', KAFKA_SASL_PASSWORD: 'p' };
    expect((await of(env)).sasl).toEqual({ mechanism: 'scram-sha-512', username: 'u', password: 'p' });
  });
});

test('what kafkajs says goes to whoever listens, without stacks, and not to the console', async () => {
  const notices: KafkaNotice[] = [];
  const admin = (await createKafka({ brokers: ['127.0.0.1:1'], clientId: 'spec' }, (notice) => notices.push(notice))).admin();
  await expect(admin.connect()).rejects.toThrow(/ECONNREFUSED/);
  expect(notices.map(({ level }) => level)).toContain('error');
  expect(JSON.stringify(notices)).toContain('ECONNREFUSED');
  expect(notices.every(({ details }) => !('stack' in details))).toBe(true);
});
