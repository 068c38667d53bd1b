import type { Command } from 'commander';
import {
  createKafka,
  describeTopic,
  kafkaConnection,
  KafkaFileUnreadable,
  LogRefused,
  LogUnavailable,
  planTopics,
  type TopicState,
} from '#lib/log';
import { ConfigError, loadConfig } from '#lib/platform';
import { wholeNumber } from './arguments.js';
import { action, noted, type Cli, type Ending } from './cli.js';
import { CliFailure, EXIT, wrongUsage } from './exit-codes.js';
import { byteSize, grouped, json, oneLine, painter, table } from './layout.js';

interface Options {
  readonly plan?: true;
  readonly readers?: number;
  readonly turnsPerSecond?: number;
  readonly recordBytes?: number;
  readonly json?: true;
}

/** `fabula log topics`: what to create, or what is there and what is unsafe about it. Needs no server. */
export function topicsCommand(group: Command, cli: Cli, ending: Ending): void {
  noted(
    group
      .command('topics')
      .description('topics of a Kafka log: what is there and whether it is safe, or a plan for a load')
      .option('--plan', 'partitions, processes, brokers and disk for a load; needs no brokers')
      .option('--readers <n>', 'readers in the middle of a story at the same time', wholeNumber(1, 1_000_000_000))
      .option('--turns-per-second <n>', 'turns a second at the busiest time', wholeNumber(1, 1_000_000))
      .option('--record-bytes <n>', 'one decision record (default: 900)', wholeNumber(100, 131_072))
      .option('--json', 'for programs'),
    {
      details:
        'Without --plan the brokers of KAFKA_BROKERS are asked, with the TLS and SASL settings of the environment. Each unsafe setting comes with the command that mends it.',
      examples: ['fabula log topics --plan --readers 20000 --turns-per-second 800', 'KAFKA_BROKERS=kafka-1:9092 fabula log topics'],
      exits: [[EXIT.problems, 'A topic is missing or can lose what was acknowledged.']],
    },
  ).action(action(ending, (options: Options) => (options.plan === true ? plan(cli, options) : topics(cli, options))));
}

function plan({ terminal }: Cli, { readers, turnsPerSecond, recordBytes, ...options }: Options): number {
  if (readers === undefined || turnsPerSecond === undefined) throw wrongUsage('--plan needs --readers and --turns-per-second.');
  const planned = planTopics(recordBytes === undefined ? { readers, turnsPerSecond } : { readers, turnsPerSecond, recordBytes });
  if (options.json) {
    terminal.out(json(planned));
    return EXIT.ok;
  }
  const { topic, processes, brokers, bytesPerSecond, diskPerDay, because } = planned;
  const rows: readonly (readonly [string, string])[] = [
    ['FABULA_PARTITIONS', grouped(topic.partitions)],
    ['replication', `${topic.replication}, min.insync.replicas=${topic.minInSync}`],
    ['server processes', grouped(processes)],
    ['brokers', grouped(brokers)],
    ['written', `${byteSize(bytesPerSecond.written)}/s, with replicas ${byteSize(bytesPerSecond.replicated)}/s`],
    ['read', `${byteSize(bytesPerSecond.read)}/s`],
    ['disk a day', `${byteSize(diskPerDay.total)}, ${byteSize(diskPerDay.perBroker)} on each broker`],
  ];
  terminal.out(
    table(terminal, rows, [
      { title: 'what', cell: ([what]) => what },
      { title: 'planned', cell: ([, value]) => value },
    ]),
  );
  terminal.out(`\n${because.map((line) => `${line}.\n`).join('')}`);
  return EXIT.ok;
}

async function topics(cli: Cli, options: Options): Promise<number> {
  const { terminal } = cli;
  if (options.readers !== undefined || options.turnsPerSecond !== undefined || options.recordBytes !== undefined)
    throw wrongUsage('--readers, --turns-per-second and --record-bytes go with --plan.');
  const found = await described(cli);
  const unsafe = found.some(({ state }) => state === undefined || state.findings.length > 0);
  if (options.json) {
    terminal.out(json(found.map(({ name, state }) => ({ name, ...(state === undefined ? { missing: true } : view(state)) }))));
    return unsafe ? EXIT.problems : EXIT.ok;
  }
  const paint = painter(terminal);
  for (const { name, state } of found) {
    terminal.out(`${paint('bold', oneLine(name))}${state === undefined ? ' does not exist; the first server creates it' : ''}\n`);
    if (state !== undefined) show(cli, state);
  }
  return unsafe ? EXIT.problems : EXIT.ok;
}

function show({ terminal }: Cli, state: TopicState): void {
  const paint = painter(terminal);
  terminal.out(`id ${state.id}, ${state.partitions} partitions, replication ${state.replication}\n`);
  terminal.out(
    table(terminal, state.leaders, [
      { title: 'partition', cell: ({ partition }) => partition },
      {
        title: 'leader',
        cell: ({ leader }) => (leader < 0 ? 'nobody' : leader),
        tone: ({ leader }) => (leader < 0 ? 'red' : undefined),
      },
      { title: 'replicas', cell: ({ replicas }) => replicas.join(' ') },
      {
        title: 'in sync',
        cell: ({ inSync }) => inSync.join(' '),
        tone: ({ inSync, replicas }) => (inSync.length < replicas.length ? 'yellow' : undefined),
      },
    ]),
  );
  if (state.findings.length === 0) terminal.out(`${paint('green', 'safe')}: nothing that was acknowledged can be lost by its settings\n`);
  for (const { setting, value, wanted, why, fix } of state.findings)
    terminal.out(`${paint('red', 'unsafe')}: ${setting} is ${oneLine(value)}, wanted ${wanted}: ${why}.\n  ${oneLine(fix)}\n`);
  terminal.out('\n');
}

const view = ({ id, partitions, replication, leaders, settings, findings }: TopicState) => ({
  id,
  partitions,
  replication,
  leaders,
  settings: Object.fromEntries([...settings].map(([name, { value }]) => [name, value])),
  findings,
});

async function described({ env }: Cli): Promise<readonly { readonly name: string; readonly state: TopicState | undefined }[]> {
  try {
    const config = loadConfig(env);
    if (config.kafkaBrokers === undefined) throw wrongUsage('KAFKA_BROKERS is not set: only a Kafka log has topics.');
    const kafka = await createKafka(await kafkaConnection(config, 'fabula-cli'));
    const state = await describeTopic(kafka, { name: config.kafkaTopic });
    // The feed may forget: its retention is the operator's own affair.
    const feed = await describeTopic(kafka, { name: config.kafkaFeedTopic, retentionMs: 0 });
    return [
      { name: config.kafkaTopic, state },
      // Written only where somebody publishes: missing is no problem.
      ...(feed === undefined ? [] : [{ name: config.kafkaFeedTopic, state: feed }]),
    ];
  } catch (error) {
    if (error instanceof ConfigError || error instanceof KafkaFileUnreadable) throw wrongUsage(error.message);
    if (error instanceof LogRefused) throw new CliFailure(error.message);
    if (error instanceof LogUnavailable) throw new CliFailure(error.message, EXIT.unreachable);
    throw error;
  }
}
