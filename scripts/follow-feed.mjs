// Prints the public feed with Apache Kafka's own console consumer: node scripts/follow-feed.mjs [--from-beginning] [any other option of it]
import { spawn } from 'node:child_process';
import { kafkaClassPath } from './kafka/distribution.mjs';

const { KAFKA_BROKERS: brokers = '127.0.0.1:9092', FABULA_KAFKA_FEED_TOPIC: topic = 'fabula.events' } = process.env;
const classPath = await kafkaClassPath((text) => console.error(text));
const show = ['headers', 'key', 'partition'].flatMap((what) => ['--formatter-property', `print.${what}=true`]);
const child = spawn(
  'java',
  [
    ...['-Dorg.slf4j.simpleLogger.defaultLogLevel=error', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', classPath],
    ...['org.apache.kafka.tools.consumer.ConsoleConsumer', '--bootstrap-server', brokers, '--topic', topic, ...show],
    ...process.argv.slice(2),
  ],
  { stdio: 'inherit' },
);
child.once('exit', (code, signal) => process.exit(signal === 'SIGINT' ? 0 : (code ?? 1)));
// The consumer hears Ctrl-C itself; this waits for it to leave.
process.on('SIGINT', () => {});
