import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

type ClusterModule = typeof import('../../scripts/kafka/cluster.mjs');

/** Brokers for rows that need them. */
export interface BenchBrokers {
  readonly addresses: readonly string[];
  /** The broker's process, where it is the bench's own. */
  readonly pids: readonly number[];
  stop(): Promise<void>;
}

/** Why there can be no brokers here; undefined when there can. */
export function brokersMissing(): string | undefined {
  if (process.env['KAFKA_BROKERS'] !== undefined || (onPath('java') && onPath('mvn'))) return undefined;
  return 'brokers need java (17 or newer) and mvn on the PATH, or KAFKA_BROKERS';
}

/** One broker with full just-in-time compilation; or those of KAFKA_BROKERS. */
export async function startBrokers(dir: string, say: (text: string) => void): Promise<BenchBrokers> {
  const given = process.env['KAFKA_BROKERS'];
  if (given !== undefined) return { addresses: given.split(','), pids: [], stop: async () => {} };
  // From the compiled bench: the starter is not compiled along.
  const file = path.resolve(import.meta.dirname, '../../../scripts/kafka/cluster.mjs');
  const { startKafkaCluster } = (await import(pathToFileURL(file).href)) as ClusterModule;
  const cluster = await startKafkaCluster({ dir, nodes: 1, fullJit: true, say });
  return { addresses: cluster.brokers, pids: [cluster.pid(1) ?? 0], stop: () => cluster.destroy() };
}

function onPath(command: string): boolean {
  const endings = process.platform === 'win32' ? ['.exe', '.cmd', '.bat'] : [''];
  const folders = (process.env['PATH'] ?? '').split(path.delimiter);
  return folders.some((folder) => endings.some((ending) => existsSync(path.join(folder, command + ending))));
}
