import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Kafka, logLevel } from 'kafkajs';
import { loadCodecs } from './kafka-codecs.js';
import { BrokerFactory, kafkajsFile, KafkajsChanged } from './kafkajs-internals.js';
import { cureIdleLoop } from './kafkajs-idle-cure.js';

const kafka = () => new Kafka({ brokers: ['127.0.0.1:1'], logLevel: logLevel.NOTHING });

interface Queue {
  pending: unknown[];
  throttledUntil: number;
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  scheduleCheckPendingRequests(): void;
  destroy(): void;
}

async function requestQueue(): Promise<Queue> {
  const Queue = (await kafkajsFile('network/requestQueue/index.js')) as new (options: object) => Queue;
  const logger = { debug: () => undefined, warn: () => undefined };
  return new Queue({ maxInFlightRequests: null, requestTimeout: 1_000, enforceRequestTimeout: false, clientId: 'c', broker: 'b', logger });
}

/** When these change, somebody must read the new source again: what the adapter does with it was decided on this one. */
const READ: Record<string, string> = {
  'network/requestQueue/index.js': 'b55986089c14f8f7',
  'network/connection.js': '2a993b2e74421ca6',
  'network/connectionPool.js': 'ecba4ba6fc4f2a6e',
  'broker/index.js': '9cbea8898528c439',
  'protocol/requests/produce/v3/request.js': '993a3db997827088',
  'protocol/requests/produce/v5/response.js': '61e1ace7e88aeda9',
  'protocol/requests/fetch/v11/request.js': 'e652bb05ffab315d',
  'protocol/requests/deleteRecords/v0/request.js': 'd52cdea65d9e1cdb',
  'protocol/requests/deleteRecords/v0/response.js': '0daab93dd4924a8d',
};

describe('the inside of kafkajs', () => {
  test.each(Object.entries(READ))('is what was read: %s', (file, digest) => {
    const source = readFileSync(require.resolve(`kafkajs/src/${file}`));
    expect(createHash('sha256').update(source).digest('hex').slice(0, 16)).toBe(digest);
  });

  test('makes brokers with connections of their own', async () => {
    const factory = new BrokerFactory(kafka());
    const [one, other] = await Promise.all([factory.broker({ host: '127.0.0.1', port: 1 }), factory.broker()]);
    expect(one.connectionPool.pool[0]).not.toBe(other.connectionPool.pool[0]);
    expect(() => new BrokerFactory({} as Kafka)).toThrow(KafkajsChanged);
    await expect(kafkajsFile('nowhere.js')).rejects.toThrow(KafkajsChanged);
  });

  test('encodes the requests of the log, and leaves the judgement of their answers to it', async () => {
    const codecs = await loadCodecs();
    const produce = codecs.produce('t', [{ partition: 3, messages: [{ key: 'k', value: Buffer.from('v') }] }], 1_000);
    expect(produce.request).toMatchObject({ apiKey: 0, apiVersion: 7 });
    const failed = { topics: [{ topicName: 't', partitions: [{ partition: 3, errorCode: 6, baseOffset: '-1' }] }] };
    await expect(produce.response.parse(failed)).resolves.toBe(failed);
    expect(codecs.fetch('t', [], { maxWaitMs: 500, maxBytes: 1 }).request).toMatchObject({ apiKey: 1, apiVersion: 11 });
    expect(codecs.offsets('t', [0], -1).request).toMatchObject({ apiKey: 2, apiVersion: 3 });
    const forget = codecs.forget('t', 3, 7, 1_000);
    expect(forget.request).toMatchObject({ apiKey: 21, apiVersion: 1 });
    const denied = { topics: [{ partitions: [{ partition: 3, errorCode: 29 }] }] };
    await expect(forget.response.parse(denied)).resolves.toBe(denied);
    expect(codecs.nameOf(19)).toBe('NOT_ENOUGH_REPLICAS');
  });
});

describe('the cure of the idle loop', () => {
  test('leaves an idle queue without timers, and one that waits or is throttled with its timer', async () => {
    const queue = await requestQueue();
    // As kafkajs is: a timer though nothing waits.
    queue.scheduleCheckPendingRequests();
    expect(queue.throttleCheckTimeoutId).not.toBeNull();
    queue.destroy();

    await cureIdleLoop();
    await cureIdleLoop(); // once is enough
    queue.scheduleCheckPendingRequests();
    expect(queue.throttleCheckTimeoutId).toBeNull();
    queue.throttledUntil = Date.now() + 60_000;
    queue.scheduleCheckPendingRequests();
    expect(queue.throttleCheckTimeoutId).not.toBeNull();
    queue.destroy();
    queue.throttledUntil = -1;
    queue.pending.push({});
    queue.scheduleCheckPendingRequests();
    expect(queue.throttleCheckTimeoutId).not.toBeNull();
    queue.destroy();
  });
});
