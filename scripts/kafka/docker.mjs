// The same brokers in containers, for those who have an engine but no Java: each publishes its client port on 127.0.0.1.
import { KAFKA_VERSION, run } from './distribution.mjs';

const IMAGE = `apache/kafka:${KAFKA_VERSION}`;
const NETWORK = 'fabula-kafka';
const FIRST_PORT = 19_092;

export async function dockerAnswers() {
  try {
    await run('docker', ['info', '--format', '{{.ServerVersion}}']);
    return true;
  } catch {
    // No client, or no engine behind it: the same to us.
    return false;
  }
}

/** What `docker run` is told for each broker; data are kept in named volumes. */
export function containers(nodes) {
  const name = (node) => `${NETWORK}-${nodes}-${node}`;
  const copies = String(nodes);
  const enough = nodes === 1 ? '1' : '2';
  return Array.from({ length: nodes }, (_, i) => {
    const node = i + 1;
    const port = FIRST_PORT + i;
    const settings = {
      NODE_ID: node,
      PROCESS_ROLES: 'broker,controller',
      BROKER_RACK: 'abc'[i],
      LISTENERS: `CLIENT://:${port},BROKER://:9094,CONTROLLER://:9093`,
      ADVERTISED_LISTENERS: `CLIENT://127.0.0.1:${port},BROKER://${name(node)}:9094`,
      LISTENER_SECURITY_PROTOCOL_MAP: 'CLIENT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT',
      INTER_BROKER_LISTENER_NAME: 'BROKER',
      CONTROLLER_LISTENER_NAMES: 'CONTROLLER',
      CONTROLLER_QUORUM_VOTERS: Array.from({ length: nodes }, (_, j) => `${j + 1}@${name(j + 1)}:9093`).join(','),
      LOG_DIRS: '/var/lib/kafka/data',
      AUTO_CREATE_TOPICS_ENABLE: 'false',
      UNCLEAN_LEADER_ELECTION_ENABLE: 'false',
      DEFAULT_REPLICATION_FACTOR: copies,
      MIN_INSYNC_REPLICAS: enough,
      OFFSETS_TOPIC_REPLICATION_FACTOR: copies,
      TRANSACTION_STATE_LOG_REPLICATION_FACTOR: copies,
      TRANSACTION_STATE_LOG_MIN_ISR: enough,
      SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR: copies,
      SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR: enough,
      GROUP_INITIAL_REBALANCE_DELAY_MS: 0,
    };
    return {
      name: name(node),
      address: `127.0.0.1:${port}`,
      args: [
        ...['run', '--detach', '--rm', '--name', name(node), '--network', NETWORK, '--stop-timeout', '20'],
        ...['--publish', `127.0.0.1:${port}:${port}`, '--volume', `${name(node)}:/var/lib/kafka/data`],
        ...Object.entries(settings).flatMap(([key, value]) => ['--env', `KAFKA_${key}=${value}`]),
        // The image would draw an id per container; brokers of one cluster need the same one.
        ...['--env', 'CLUSTER_ID=ZmFidWxhLWthZmthLTAwMQ'],
        IMAGE,
      ],
    };
  });
}

/** Starts the containers; answers their addresses and what stops them. */
export async function startContainers({ nodes, fresh, say }) {
  const all = containers(nodes);
  for (const { name } of all) {
    await quietly(['rm', '--force', name]);
    if (fresh) await quietly(['volume', 'rm', '--force', name]);
  }
  await quietly(['network', 'create', NETWORK]);
  say(`starting ${nodes} container${nodes === 1 ? '' : 's'} of ${IMAGE} (the image is fetched once)`);
  await Promise.all(all.map(({ args }) => run('docker', args)));
  return {
    brokers: all.map(({ address }) => address),
    stop: async () => {
      await Promise.all(all.map(({ name }) => quietly(['stop', name])));
    },
  };
}

async function quietly(args) {
  try {
    await run('docker', args);
  } catch {
    // There is none to remove, or the network is there already: what follows reports a real problem.
  }
}
