import { describeWithKafka, kafkaBrokers, uniqueTopic } from '../../../../test/support/kafka.js';
import { describeEventLog } from '../contract/event-log-contract.js';
import type { EventLog } from '../event-log.js';
import { openKafkaLog, type KafkaLog } from './kafka-log.js';

const homes = new WeakMap<EventLog, string>();

function open(nodes: 1 | 3, topic: string, partitions: number): Promise<KafkaLog> {
  return kafkaBrokers(nodes).then((brokers) =>
    openKafkaLog({ connection: { brokers, clientId: 'spec' }, topic, partitions, allowUnsafe: nodes === 1 }),
  );
}

for (const nodes of [1, 3] as const)
  describeWithKafka(`On ${nodes === 1 ? 'one broker' : 'three brokers'}`, () => {
    describeEventLog('the Kafka log', () => ({
      async create(partitions) {
        const topic = uniqueTopic('log');
        const log = await open(nodes, topic, partitions);
        homes.set(log, topic);
        return log;
      },
      reopen: (log) => open(nodes, homes.get(log) ?? '', log.partitions),
    }));
  });
