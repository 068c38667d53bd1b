import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { promisify } from 'node:util';
import { lockDataDirectory } from './data-directory-lock.js';
import { errorCode, errorText } from './error-code.js';
import { isReachableByOthers, NOBODY, postgresBinaries, type PostgresBinaries } from './postgres-binaries.js';
import { commandLine, isAlive } from './processes.js';

const run = promisify(execFile);
const USER = 'fabula';
/** How much of Postgres' own log is kept for an error message, in characters. */
const LOG_TAIL = 16_384;
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 15_000;

/** Postgres could not be started; the message ends with its own log. */
export class EmbeddedPostgresFailed extends Error {
  override readonly name = 'EmbeddedPostgresFailed';
}

export interface EmbeddedPostgresOptions {
  /** Fabula's data directory. Cluster in `<dir>/postgres`, password in `<dir>/postgres.password` (0600), lock in `<dir>/lock`. */
  readonly dir: string;
  /** Further server settings, e.g. `{ max_connections: '200' }`. Durability settings are Postgres' own: fsync stays on. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Start it again, on the same port, when it dies without being stopped (default true). */
  readonly supervise?: boolean;
  /** One line of progress or of Postgres' log. */
  readonly log?: (line: string) => void;
}

export interface EmbeddedPostgres {
  readonly port: number;
  /** Whether the cluster was created by this start. */
  readonly fresh: boolean;
  /** Process id of the running server, undefined between a crash and its restart. */
  pid(): number | undefined;
  /** Connection string with password. */
  url(database?: string): string;
  /** Fast shutdown (running statements are broken off, everything committed is kept); releases the lock. */
  stop(): Promise<void>;
  /** Lets this process end while Postgres runs on; whoever knows the pid stops it. Only for test clusters. */
  detach(): void;
}

/**
 * Starts the embedded Postgres of a data directory on a free loopback port, creating the cluster at first.
 * @throws DataDirectoryLocked when another process uses the directory; EmbeddedPostgresFailed with Postgres' log; EmbeddedPostgresMissing.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const dir = path.resolve(options.dir);
  const lock = await lockDataDirectory(dir);
  try {
    const cluster = await prepareCluster(dir, options);
    const server = await Server.start(cluster, options);
    return {
      port: server.port,
      fresh: cluster.fresh,
      pid: () => server.pid(),
      url: (database = 'postgres') => `postgres://${USER}:${cluster.password}@127.0.0.1:${server.port}/${database}`,
      async stop() {
        await server.stop();
        await lock.release();
      },
      detach: () => server.detach(),
    };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

interface Cluster {
  readonly data: string;
  readonly password: string;
  readonly fresh: boolean;
  readonly binaries: PostgresBinaries;
  readonly as: { readonly uid?: number; readonly gid?: number; readonly cwd: string };
}

async function prepareCluster(dir: string, options: EmbeddedPostgresOptions): Promise<Cluster> {
  const root = process.getuid?.() === 0;
  const binaries = await postgresBinaries(root);
  const data = await clusterFolder(dir, root, options.log);
  // Postgres' user may not be able to enter our working directory, so it gets the file system's root.
  const as = { ...(root ? { uid: NOBODY, gid: NOBODY } : {}), cwd: path.parse(data).root };
  const passwordFile = path.join(dir, 'postgres.password');
  await stopOrphan(data, options.log);
  if (existsSync(path.join(data, 'PG_VERSION'))) {
    return { data, password: await readPassword(passwordFile, data), fresh: false, binaries, as };
  }
  options.log?.(`Creating a Postgres cluster in ${data}`);
  const password = randomBytes(24).toString('base64url');
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  await createCluster(data, password, binaries, as);
  return { data, password, fresh: true, binaries, as };
}

async function readPassword(file: string, data: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    throw new EmbeddedPostgresFailed(`The password of the cluster in ${data} is gone: put ${file} back from a backup.`, { cause: error });
  }
}

/** `<dir>/postgres`, or a folder under /var/lib when we are root and Postgres' user could not walk down to it. */
async function clusterFolder(dir: string, root: boolean, log?: (line: string) => void): Promise<string> {
  const here = path.join(dir, 'postgres');
  if (!root) return here;
  if (await isReachableByOthers(path.dirname(dir))) {
    // Others may pass through to the cluster, which is closed to them; they cannot list this folder.
    await chmod(dir, 0o711);
    return here;
  }
  // The pointer is part of the data directory: whoever removes that starts afresh, and does not meet an old cluster.
  const pointer = path.join(dir, 'postgres.location');
  if (existsSync(pointer)) return (await readFile(pointer, 'utf8')).trim();
  const there = path.join('/var/lib/fabula', randomBytes(8).toString('hex'));
  await mkdir(there, { recursive: true, mode: 0o711 });
  const data = path.join(there, 'postgres');
  await writeFile(pointer, `${data}\n`, { mode: 0o600 });
  log?.(`Postgres may not run as root, and ${dir} is closed to other users: the cluster is kept in ${there}`);
  return data;
}

/** Creates the cluster beside its place and moves it there when it is whole: a start that is killed half-way leaves no half cluster. */
async function createCluster(data: string, password: string, binaries: PostgresBinaries, as: Cluster['as']): Promise<void> {
  const draft = `${data}.new`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true, mode: 0o700 });
  const passwordFile = `${draft}.password`;
  await writeFile(passwordFile, password, { mode: 0o600 });
  if (as.uid !== undefined) {
    await chown(draft, as.uid, as.uid);
    await chown(passwordFile, as.uid, as.uid);
  }
  const flags = ['-U', USER, '--auth=scram-sha-256', `--pwfile=${passwordFile}`, '-E', 'UTF8', '--locale=C', '--no-instructions'];
  try {
    await run(binaries.initdb, ['-D', draft, ...flags], as);
  } catch (error) {
    throw new EmbeddedPostgresFailed(`initdb failed: ${errorText(error)}`, { cause: error });
  } finally {
    await rm(passwordFile, { force: true });
  }
  await rm(data, { recursive: true, force: true });
  await rename(draft, data);
}

/** A Postgres whose Fabula was killed goes on running: it is stopped before a new one starts on its files. */
async function stopOrphan(data: string, log?: (line: string) => void): Promise<void> {
  let text: string;
  try {
    text = await readFile(path.join(data, 'postmaster.pid'), 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw error;
  }
  const pid = Number(text.split('\n')[0]);
  if (!Number.isInteger(pid) || pid <= 1 || !isAlive(pid)) return;
  // Another process may have got that pid since: only a server of this very folder is stopped.
  if (!(await commandLine(pid))?.includes(data)) return;
  log?.(`Stopping the Postgres (process ${pid}) that an earlier run left behind`);
  process.kill(pid, 'SIGINT');
  const deadline = Date.now() + STOP_TIMEOUT_MS;
  while (isAlive(pid) && Date.now() < deadline) await pause(20);
}

class Server {
  private child: ChildProcess | undefined;
  private tail = '';
  private stopping = false;
  private restarting: Promise<void> | undefined;

  private constructor(
    private readonly cluster: Cluster,
    private readonly options: EmbeddedPostgresOptions,
    readonly port: number,
  ) {}

  static async start(cluster: Cluster, options: EmbeddedPostgresOptions): Promise<Server> {
    for (let attempt = 1; ; attempt++) {
      const server = new Server(cluster, options, await freePort());
      try {
        await server.spawnUntilReady();
        return server;
      } catch (error) {
        // Between our look and its start another program may take the port.
        if (attempt < 5 && server.tail.includes('could not bind')) continue;
        throw error;
      }
    }
  }

  pid(): number | undefined {
    return this.child?.pid;
  }

  detach(): void {
    this.stopping = true;
    this.child?.unref();
    const output = this.child?.stderr;
    if (output instanceof net.Socket) output.unref();
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await this.restarting;
    const child = this.child;
    if (child === undefined) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGINT');
    const impatient = setTimeout(() => child.kill('SIGQUIT'), STOP_TIMEOUT_MS);
    await gone;
    clearTimeout(impatient);
  }

  /** Spawns it; while files of a crashed predecessor are still in use, tries again. */
  private async spawnUntilReady(): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS;
    for (;;) {
      try {
        return await this.spawnOnce(deadline);
      } catch (error) {
        const inUse = this.tail.includes('shared memory block') || this.tail.includes('lock file "postmaster.pid" already exists');
        if (!inUse || this.stopping || Date.now() + 10_000 > deadline) throw error;
        await pause(100);
      }
    }
  }

  private async spawnOnce(deadline: number): Promise<void> {
    this.tail = '';
    const settings = {
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      log_checkpoints: 'off',
      ...this.options.settings,
    };
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const { binaries, data, as } = this.cluster;
    // A process group of its own: Ctrl-C reaches the server first, which stops Postgres when it has drained.
    const child = spawn(binaries.postgres, ['-D', data, '-p', String(this.port), ...flags], {
      ...as,
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    await new Promise<void>((resolve, reject) => {
      const failed = (why: string, cause?: unknown) => {
        clearTimeout(timer);
        reject(new EmbeddedPostgresFailed(`Postgres ${why}. Its log:\n${this.tail}`, { cause }));
      };
      const timer = setTimeout(() => {
        child.kill('SIGQUIT');
        failed('did not become ready in time');
      }, deadline - Date.now());
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        this.tail = (this.tail + text).slice(-LOG_TAIL);
        for (const line of text.split('\n')) if (line !== '') this.options.log?.(line);
        if (!this.tail.includes('ready to accept connections')) return;
        clearTimeout(timer);
        resolve();
      });
      child.once('error', (error) => failed(`could not be run: ${error.message}`, error));
      // 'close' comes after the last output, so that the log in the message is whole.
      child.once('close', (status, signal) => failed(`ended with ${signal ?? status}`));
    });
    child.removeAllListeners('close');
    this.child = child;
    child.once('exit', (status, signal) => this.ended(`${signal ?? status}`));
  }

  private ended(how: string): void {
    this.child = undefined;
    if (this.stopping || this.options.supervise === false) return;
    this.options.log?.(`Postgres ended with ${how}: starting it again`);
    this.restarting = this.restart().finally(() => (this.restarting = undefined));
  }

  private async restart(): Promise<void> {
    for (let wait = 50; !this.stopping; wait = Math.min(wait * 2, 5_000)) {
      try {
        return await this.spawnUntilReady();
      } catch (error) {
        this.options.log?.(`Postgres could not be started again, the next try follows: ${errorText(error)}`);
        await pause(wait);
      }
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A free loopback port below the range that outgoing connections use: there a client can connect to itself and keep the port. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 1000; attempt++) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const free = await new Promise<boolean>((resolve) => {
      const probe = net.createServer().once('error', () => resolve(false));
      probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
    });
    if (free) return port;
  }
  throw new Error('No free port between 20000 and 31999 on 127.0.0.1.');
}
