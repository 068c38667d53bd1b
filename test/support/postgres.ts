import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Client, Pool } from 'pg';
import { errorCode, startEmbeddedPostgres } from '#lib/platform';
import { runMigrations } from '../../migrations/index.js';

export interface TestDatabase {
  readonly url: string;
  readonly pool: Pool;
  /** Closes the pool and drops the database, whoever is still connected. */
  drop(): Promise<void>;
}

export interface TestCluster {
  /** Connection string of a database of the run's cluster. */
  url(database: string): string;
}

interface ClusterFile {
  readonly port: number;
  readonly password: string;
}

const TEMPLATE = 'fabula_template';
const START_TIMEOUT_MS = 60_000;

/** A database of its own, with every migration or `empty`, for one spec file. */
export async function createTestDatabase({ empty = false }: { readonly empty?: boolean } = {}): Promise<TestDatabase> {
  const cluster = await testCluster();
  const name = `spec_${randomBytes(8).toString('hex')}`;
  await asAdministrator(cluster, `create database ${name}${empty ? '' : ` template ${TEMPLATE}`}`);
  const url = cluster.url(name);
  const pool = new Pool({ connectionString: url, max: 8 });
  // Idle connections end when the database is dropped by force, or when a test kills them: that is not a failure.
  pool.on('error', () => {});
  return {
    url,
    pool,
    async drop() {
      await pool.end();
      await asAdministrator(cluster, `drop database if exists ${name} with (force)`);
    },
  };
}

/** The run's one cluster: the first asker of all jest workers starts it, the others wait for it; the teardown stops it. */
export async function testCluster(): Promise<TestCluster> {
  const folder = process.env.FABULA_TEST_CLUSTER;
  if (folder === undefined) throw new Error('FABULA_TEST_CLUSTER is not set: run this under jest, whose global setup makes the folder.');
  const file = path.join(folder, 'cluster.json');
  const failure = path.join(folder, 'failure.txt');
  if (await isFirst(path.join(folder, 'starting'))) {
    try {
      await startCluster(folder, file);
    } catch (error) {
      await writeFile(failure, String(error));
      throw error;
    }
  }
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!existsSync(file)) {
    if (existsSync(failure)) throw new Error(`The test cluster could not be started: ${await readFile(failure, 'utf8')}`);
    if (Date.now() > deadline) throw new Error('The test cluster was not started in time by the spec that began to.');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const { port, password } = JSON.parse(await readFile(file, 'utf8')) as ClusterFile;
  return { url: (database) => `postgres://fabula:${password}@127.0.0.1:${port}/${database}` };
}

async function startCluster(folder: string, file: string): Promise<void> {
  const server = await startEmbeddedPostgres({ dir: folder, supervise: false, settings: { max_connections: '200' } });
  // It outlives this worker; the global teardown stops it.
  server.detach();
  const cluster: TestCluster = { url: (database) => server.url(database) };
  await asAdministrator(cluster, `create database ${TEMPLATE}`);
  await runMigrations(server.url(TEMPLATE));
  const content: ClusterFile = { port: server.port, password: new URL(server.url()).password };
  await writeFile(`${file}.new`, JSON.stringify(content), { mode: 0o600 });
  await rename(`${file}.new`, file);
}

async function asAdministrator(cluster: TestCluster, statement: string): Promise<void> {
  const client = new Client({ connectionString: cluster.url('postgres') });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

async function isFirst(file: string): Promise<boolean> {
  try {
    await writeFile(file, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  }
}
