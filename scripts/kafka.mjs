// `npm run kafka`: real brokers for anybody, kept until Ctrl-C. Data go on where they were unless `--fresh`.
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ensureInstalled, ensureNode, root } from './ensure.mjs';

const USAGE = `npm run kafka -- [--nodes 1|3] [--fresh] [--full-jit] [--dir FOLDER]

  --nodes     one broker (default), or three with replication 3, min.insync.replicas=2 and racks a, b, c
  --fresh     forget the data of the last time
  --full-jit  full speed of the brokers, for benches; they start more slowly
  --dir       where data are kept (default .fabula/kafka-1 or .fabula/kafka-3)

Uses KAFKA_BROKERS where that is set, else Java and Maven, else Docker.`;

ensureNode();
const options = parse();
await ensureInstalled();
const { askBrokers, startKafkaCluster } = await import('./kafka/cluster.mjs');
const { missingForKafka } = await import('./kafka/distribution.mjs');
const { dockerAnswers, startContainers } = await import('./kafka/docker.mjs');

const say = (text) => process.stderr.write(`  ${text} …\n`);
const given = process.env.KAFKA_BROKERS;
if (given) await useGiven(given.split(','));
else await keepRunning();

async function useGiven(brokers) {
  const seen = await askBrokers(brokers, 10_000);
  if (seen === undefined) fail(`KAFKA_BROKERS=${given} do not answer: start them, or unset KAFKA_BROKERS to have brokers started here.`);
  console.log(`KAFKA_BROKERS=${given} answer: ${seen.length} broker${seen.length === 1 ? '' : 's'}, nothing to start.`);
  tellHow(brokers, seen.length);
}

async function keepRunning() {
  // Ctrl-C while brokers start: they are stopped as soon as they can be.
  let stopping;
  const asked = new Promise((resolve) => (stopping = resolve));
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => stopping(signal));
  const cluster = await start();
  tellHow(cluster.brokers, options.nodes);
  console.log('Ctrl-C stops them; data stay.');
  // Signals alone do not keep a process waiting.
  const alive = setInterval(() => {}, 60_000);
  await asked;
  clearInterval(alive);
  say('stopping');
  await cluster.stop();
  process.exit(0);
}

async function start() {
  const missing = await missingForKafka();
  const { nodes, fresh } = options;
  try {
    if (missing === undefined) return await startKafkaCluster({ dir: options.dir, nodes, fresh, fullJit: options.fullJit, say });
    if (!(await dockerAnswers())) fail(`${missing}. (Or install Docker; or set KAFKA_BROKERS to brokers of your own.)`);
    const containers = await startContainers({ nodes, fresh, say });
    for (let i = 0; (await askBrokers(containers.brokers, 2_000))?.length !== nodes; i++) {
      if (i === 60) fail('the containers run, but no brokers answer: see `docker logs`');
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    return containers;
  } catch (error) {
    return fail(error.message);
  }
}

function tellHow(brokers, nodes) {
  const unsafe = nodes < 3 ? ' FABULA_KAFKA_ALLOW_UNSAFE=on' : '';
  console.log(
    `\nBrokers: ${brokers.join(',')}\n\nFabula on them:\n  FABULA_LOG=kafka KAFKA_BROKERS=${brokers.join(',')}${unsafe} npm start\n`,
  );
}

function parse() {
  const known = {
    nodes: { type: 'string' },
    fresh: { type: 'boolean' },
    'full-jit': { type: 'boolean' },
    dir: { type: 'string' },
    help: { type: 'boolean' },
  };
  let values;
  try {
    values = parseArgs({ options: known }).values;
  } catch (error) {
    fail(`${error.message}\n\n${USAGE}`);
  }
  if (values.help) {
    console.log(USAGE);
    process.exit(0);
  }
  const nodes = Number(values.nodes ?? 1);
  if (nodes !== 1 && nodes !== 3) fail(`--nodes takes 1 or 3, not ${values.nodes}\n\n${USAGE}`);
  const dir = path.resolve(values.dir ?? path.join(root, '.fabula', `kafka-${nodes}`));
  return { nodes, dir, fresh: values.fresh === true, fullJit: values['full-jit'] === true };
}

function fail(text) {
  console.error(text);
  process.exit(2);
}
