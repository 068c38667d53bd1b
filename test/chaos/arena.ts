import { chmod, copyFile, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Client, Pool } from 'pg';
import { openSigningKey } from '#lib/audit';
import { openDevelopmentIssuer, startEmbeddedPostgres, type EmbeddedPostgres, type UserRole } from '#lib/platform';
import { exportStory } from '#lib/story-formats';
import { ApiClient } from '../support/api-client.js';
import { createTestDatabase } from '../support/postgres.js';
import { ServerProcess, temporaryDataDir } from '../support/server-process.js';
import { KafkaArenaLog, PostgresArenaLog, type ArenaLog, type LogKind } from './arena-log.js';
import { chaosStory } from './chaos-story.js';
import { pause } from './crowd.js';

const run = promisify(execFile);
const ORIGIN = 'fabula.local';
const KEYS = ['development-issuer.json', 'audit-signing.key'];

export interface ArenaOptions {
  readonly servers: number;
  readonly partitions?: number;
  /** Default `postgres`. */
  readonly log?: LogKind;
  /** On Kafka, instead of the run's brokers reached in one way: its `close` is the arena's. */
  readonly kafka?: (partitions: number) => Promise<KafkaArenaLog>;
  /** FABULA_ROLES of each server, for servers that have not all roles; the first must have `api`. */
  readonly roles?: readonly string[];
  /** A Postgres of this arena's own, which may be killed; otherwise a database of the run's cluster. */
  readonly ownPostgres?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  /** Builds that servers run from, where not this tree's. */
  readonly roots?: readonly (string | undefined)[];
  /** How many servers run from the beginning; default all. */
  readonly startFirst?: number;
  /** Without any table: the first server migrates it. */
  readonly emptyDatabase?: boolean;
}

/** Real servers on one database, with everything that can be done to them; `close` takes all of it away again, whatever happened. */
export class Arena {
  readonly servers: (ServerProcess | undefined)[] = [];
  readonly partitions: number;
  /** Connection of the test's own, to look at what was stored. */
  pool!: Pool;
  databaseUrl = '';
  log!: ArenaLog;
  private home = '';
  private readonly dataDirs: string[] = [];
  private postgres: EmbeddedPostgres | undefined;
  private removeDatabase: () => Promise<void> = async () => undefined;
  /** Processes that were stopped with SIGSTOP: they cannot end before they go on. */
  private readonly frozen = new Set<number>();

  private constructor(private readonly options: ArenaOptions) {
    this.partitions = options.partitions ?? 4;
  }

  static async open(options: ArenaOptions): Promise<Arena> {
    const arena = new Arena(options);
    try {
      await arena.prepare();
    } catch (error) {
      await arena.close();
      throw error;
    }
    return arena;
  }

  private async prepare(): Promise<void> {
    this.home = await temporaryDataDir();
    if (this.options.ownPostgres === true) {
      // Else, for root, the cluster would lie outside, where nobody takes it away.
      await chmod(this.home, 0o711);
      this.postgres = await startEmbeddedPostgres({ dir: path.join(this.home, 'cluster'), settings: { max_connections: '100' } });
      this.databaseUrl = this.postgres.url('chaos');
      const administrator = new Client({ connectionString: this.postgres.url() });
      await administrator.connect();
      await administrator.query('create database chaos').finally(() => administrator.end());
      this.pool = new Pool({ connectionString: this.databaseUrl, max: 4 });
      // Connections end when Postgres is killed: that is what we are here for.
      this.pool.on('error', () => {});
    } else {
      const database = await createTestDatabase({ empty: this.options.emptyDatabase === true });
      this.databaseUrl = database.url;
      this.pool = database.pool;
      this.removeDatabase = () => database.drop();
    }
    this.log = await this.openLog();
    await this.layOutKeys();
    await this.startServer(0);
    const more = (this.options.startFirst ?? this.options.servers) - 1;
    await Promise.all(Array.from({ length: more }, (_, i) => this.startServer(i + 1)));
    await this.publishStory();
  }

  private async openLog(): Promise<ArenaLog> {
    const { log = 'postgres', kafka = (partitions) => KafkaArenaLog.open(partitions, 1, 1) } = this.options;
    return log === 'kafka' ? kafka(this.partitions) : new PostgresArenaLog(this.pool, this.databaseUrl, this.partitions);
  }

  /** Every server has the same keys: tokens of one are good for all, and all sign as one audit. */
  private async layOutKeys(): Promise<void> {
    const first = path.join(this.home, 'server-0');
    await mkdir(first);
    await openDevelopmentIssuer(first, false);
    await openSigningKey(path.join(first, 'audit-signing.key'), ORIGIN);
    for (let i = 0; i < this.options.servers; i++) {
      const dir = path.join(this.home, `server-${i}`);
      this.dataDirs.push(dir);
      if (i === 0) continue;
      await mkdir(dir);
      for (const key of KEYS) await copyFile(path.join(first, key), path.join(dir, key));
    }
  }

  async startServer(i: number): Promise<ServerProcess> {
    const roles = this.options.roles?.[i];
    const env = {
      ...this.log.env(i),
      ...(roles === undefined ? {} : { FABULA_ROLES: roles }),
      FABULA_PARTITIONS: String(this.partitions),
      FABULA_SAMPLE_STORIES: 'off',
      FABULA_DATABASE_CONNECTIONS: '10',
      ...this.options.env,
    };
    const root = this.options.roots?.[i];
    const server = await ServerProcess.start({
      databaseUrl: this.databaseUrl,
      dataDir: this.dataDirs[i] as string,
      env,
      ...(root === undefined ? {} : { root }),
    });
    this.servers[i] = server;
    return server;
  }

  /** SIGKILL. */
  async killServer(i: number): Promise<void> {
    const server = this.server(i);
    this.servers[i] = undefined;
    await server.kill();
  }

  /** As Ctrl-C does: it hands over and ends; killed when that takes longer than `graceMs`. Answers the exit code, null when killed. */
  async stopServer(i: number, graceMs = 60_000): Promise<number | null> {
    const server = this.server(i);
    this.servers[i] = undefined;
    const patience = setTimeout(() => process.kill(server.pid, 'SIGKILL'), graceMs);
    return server.stop().finally(() => clearTimeout(patience));
  }

  /** SIGSTOP: it holds what it holds, and says nothing. */
  freezeServer(i: number): void {
    const { pid } = this.server(i);
    this.frozen.add(pid);
    process.kill(pid, 'SIGSTOP');
  }
  thawServer(i: number): void {
    const { pid } = this.server(i);
    process.kill(pid, 'SIGCONT');
    this.frozen.delete(pid);
  }

  /**
   * SIGKILL to the postmaster at a moment when an append is under way (or, if none is seen, after a while); ends when Postgres runs again.
   * @returns whether an append was seen under way at that moment
   */
  async killPostgres(about: () => void): Promise<boolean> {
    const { postgres, pid } = this.ownPostgres();
    const seen = await this.log.appendUnderWay();
    about();
    process.kill(pid, 'SIGKILL');
    const deadline = Date.now() + 60_000;
    while (postgres.pid() === undefined || postgres.pid() === pid) {
      if (Date.now() > deadline) throw new Error('Postgres did not come back');
      await pause(10);
    }
    return seen;
  }

  /** SIGSTOP to Postgres, all its processes, for so long: connections stay, nothing answers. */
  async freezePostgres(during: number | (() => Promise<void>)): Promise<void> {
    const { pid: postmaster } = this.ownPostgres();
    const { stdout } = await run('pgrep', ['-P', String(postmaster)]);
    await suspended([postmaster, ...stdout.trim().split('\n').map(Number)], during);
  }

  /** The same to the sessions that the servers have at this moment, and to nothing else. */
  async freezeSessions(during: number | (() => Promise<void>)): Promise<void> {
    this.ownPostgres();
    const { rows } = await this.pool.query<{ pid: number }>(
      `select pid from pg_stat_activity where datname = current_database() and application_name like 'fabula%' and pid <> pg_backend_pid()`,
    );
    if (rows.length === 0) throw new Error('the servers have no sessions that could be frozen');
    await suspended(
      rows.map(({ pid }) => pid),
      during,
    );
  }

  /** SIGKILL to Postgres, whose files are gone until `during` has ended, so that it cannot come back; ends when it runs again. */
  async withoutPostgres(during: () => Promise<void>): Promise<void> {
    const { postgres, pid } = this.ownPostgres();
    const files = path.join(this.home, 'cluster', 'postgres');
    await rename(files, `${files}.away`);
    try {
      process.kill(pid, 'SIGKILL');
      await until('Postgres to be gone', () => Promise.resolve(postgres.pid() === undefined));
      await during();
    } finally {
      await rename(`${files}.away`, files);
    }
    await until('Postgres to come back', () => Promise.resolve(postgres.pid() !== undefined));
  }

  private ownPostgres(): { readonly postgres: EmbeddedPostgres; readonly pid: number } {
    const { postgres } = this;
    const pid = postgres?.pid();
    if (postgres === undefined || pid === undefined) throw new Error('there is no Postgres that may be killed');
    return { postgres, pid };
  }

  /** A server that ended by itself, with its last words. */
  problem(): string | undefined {
    for (const server of this.servers) {
      if (server !== undefined && !isAlive(server.pid))
        return `a server ended by itself; its last words:\n${server.output().slice(-4_000)}`;
    }
    return undefined;
  }

  /** Where readers can be sent. */
  urls(): readonly string[] {
    const { roles } = this.options;
    return this.servers.flatMap((server, i) => (server === undefined || roles?.[i]?.includes('api') === false ? [] : server.url));
  }
  server(i: number): ServerProcess {
    const server = this.servers[i];
    if (server === undefined) throw new Error(`server ${i} does not run`);
    return server;
  }
  async token(roles: readonly UserRole[], sub: string): Promise<string> {
    return (await openDevelopmentIssuer(this.dataDirs[0] as string, false)).mintToken({ sub, roles, ttlSeconds: 24 * 3_600 });
  }
  readers(count: number): Promise<string[]> {
    return Promise.all(Array.from({ length: count }, (_, i) => this.token(['reader'], `reader-${i}`)));
  }
  async api(roles: readonly UserRole[], i = 0): Promise<ApiClient> {
    return new ApiClient(this.server(i).url, await this.token(roles, `arena-${roles.join('-')}`));
  }

  /** Address that the owner of each partition is reached under, as the servers see it that can be asked. */
  async owners(): Promise<readonly (string | undefined)[]> {
    const token = await this.token(['operator'], 'arena-operator');
    const asked = this.servers.filter((server) => server !== undefined && !this.frozen.has(server.pid));
    const views = await Promise.all(asked.map((server) => ownersSeenBy((server as ServerProcess).url, token)));
    return Array.from({ length: this.partitions }, (_, partition) => {
      const said = views.map((view) => view[partition]);
      // Who has it knows it best.
      return said.find((owner, i) => owner !== undefined && owner === asked[i]?.url) ?? said.find((owner) => owner !== undefined);
    });
  }

  /** Ends when every server that readers are sent to owns something, and everything is owned by one of them. @throws when it takes too long */
  async allOwn(): Promise<void> {
    await until('every server to own partitions', async () => {
      const owners = await this.owners();
      return (
        this.urls().every((url) => owners.includes(url)) && owners.every((owner) => owner !== undefined && this.urls().includes(owner))
      );
    });
  }

  /** Records in the whole log. */
  async records(): Promise<number> {
    const log = await this.log.open();
    try {
      const ends = await Promise.all(Array.from({ length: this.partitions }, (_, partition) => log.end(partition)));
      return ends.reduce((sum, end) => sum + end, 0);
    } finally {
      await log.close();
    }
  }

  /** The key that the notes must be signed with, and the newest notes that each server keeps outside the database. */
  async notes(): Promise<{ readonly vkey: string; readonly outside: readonly string[] }> {
    const { verifier } = await openSigningKey(path.join(this.dataDirs[0] as string, 'audit-signing.key'), ORIGIN);
    const outside: string[] = [];
    for (const dir of this.dataDirs) {
      const files = await readdir(path.join(dir, 'audit-notes'), { recursive: true }).catch(() => []);
      for (const file of files) if (file.endsWith('.note')) outside.push(await readFile(path.join(dir, 'audit-notes', file), 'utf8'));
    }
    return { vkey: verifier.vkey, outside };
  }

  async close(): Promise<void> {
    for (const pid of this.frozen) process.kill(pid, 'SIGCONT');
    await Promise.all(this.servers.map((server) => server?.kill()));
    await this.log?.close();
    if (this.postgres !== undefined) await this.pool?.end();
    await this.removeDatabase();
    await this.postgres?.stop();
    await rm(this.home, { recursive: true, force: true });
  }

  private async publishStory(): Promise<void> {
    const author = await this.api(['author']);
    const imported = await author.rest('POST', '/admin/stories?format=json', exportStory(chaosStory, 'json'));
    if (imported.status !== 201) throw new Error(`the story was not imported: ${imported.text}`);
    const { versionHash } = imported.body as { versionHash: string };
    // The read models may be a moment behind the import.
    for (let i = 0; ; i++) {
      const { status, text } = await author.rest('POST', `/admin/stories/${chaosStory.id}/versions/${versionHash}/publish`);
      if (status < 300) break;
      if (i === 100) throw new Error(`the story was not published: ${text}`);
      await pause(50);
    }
    for (let i = 0; ; i++) {
      const reader = await this.api(['reader']);
      if ((await reader.data<{ story: object | null }>('query { story(id: "chaos") { id } }')).story !== null) return;
      if (i === 100) throw new Error('the published story is not seen');
      await pause(50);
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    // Ours to signal, so the only reason to fail is that it is gone.
    return false;
  }
}

/** SIGSTOP to these processes for so long. */
async function suspended(pids: readonly number[], during: number | (() => Promise<void>)): Promise<void> {
  // Sessions may end and begin meanwhile: who is gone needs no signal.
  const signal = (name: 'SIGSTOP' | 'SIGCONT'): void => pids.filter(isAlive).forEach((pid) => process.kill(pid, name));
  signal('SIGSTOP');
  try {
    await (typeof during === 'number' ? pause(during) : during());
  } finally {
    signal('SIGCONT');
  }
}

const SEEN_WITHIN_MS = 2_000;
const UNTIL_MS = 60_000;

/** @returns by partition; nothing from one that does not answer */
async function ownersSeenBy(url: string, token: string): Promise<readonly (string | undefined)[]> {
  try {
    const response = await fetch(`${url}/admin/projections`, {
      headers: { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(SEEN_WITHIN_MS),
    });
    const { partitions } = (await response.json()) as { partitions: readonly { partition: number; owner: string | null }[] };
    const owners: (string | undefined)[] = [];
    for (const { partition, owner } of partitions) owners[partition] = owner === 'self' ? url : (owner ?? undefined);
    return owners;
  } catch {
    // It is starting, stopping, cut off: it has no view.
    return [];
  }
}

export async function until(what: string, holds: () => Promise<boolean>, withinMs = UNTIL_MS): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`waited ${withinMs} ms for ${what}`);
    await pause(50);
  }
}
