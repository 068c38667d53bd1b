import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { openDevelopmentIssuer, type UserRole } from '#lib/platform';

const ROOT = path.resolve(__dirname, '../..');
const READY_WITHIN_MS = 90_000;

export interface ServerOptions {
  /** Absent: the server starts its own embedded Postgres in its data directory. */
  readonly databaseUrl?: string;
  /** Kept by the caller when given, removed at `stop` otherwise. */
  readonly dataDir?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Another build than this tree's: the folder that holds its `dist`. */
  readonly root?: string;
}

/** A real server process, from the build, as a user would run it. */
export class ServerProcess {
  private constructor(
    private readonly child: ChildProcess,
    readonly url: string,
    readonly dataDir: string,
    private readonly ownsDataDir: boolean,
    /** Everything it has printed. */
    readonly output: () => string,
  ) {}

  static async start(options: ServerOptions = {}): Promise<ServerProcess> {
    const dataDir = options.dataDir ?? (await temporaryDataDir());
    const { child, output } = launch(dataDir, options);
    const deadline = Date.now() + READY_WITHIN_MS;
    for (;;) {
      if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode} before it was ready:\n${output()}`);
      if (output().includes('Ctrl-C stops everything')) break;
      if (Date.now() > deadline) {
        child.kill('SIGKILL');
        throw new Error(`the server was not ready within ${READY_WITHIN_MS} ms:\n${output()}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const { url } = JSON.parse(await readFile(path.join(dataDir, 'server.json'), 'utf8')) as { url: string };
    return new ServerProcess(child, url, dataDir, options.dataDir === undefined, output);
  }

  /** Runs a server that is expected to end by itself; answers its exit code and output. */
  static async runToEnd(
    options: ServerOptions & { readonly dataDir: string },
  ): Promise<{ readonly code: number | null; readonly output: string }> {
    const { child, output } = launch(options.dataDir, options);
    if (child.exitCode === null) await once(child, 'exit');
    return { code: child.exitCode, output: output() };
  }

  get pid(): number {
    return this.child.pid as number;
  }

  /** A token of the local development issuer. */
  async token(roles: readonly UserRole[], sub = `test-${roles.join('-')}`, ttlSeconds = 3_600): Promise<string> {
    return (await openDevelopmentIssuer(this.dataDir, false)).mintToken({ sub, roles, ttlSeconds });
  }

  /** As Ctrl-C does; answers the exit code. */
  async stop(): Promise<number | null> {
    const code = await this.end('SIGINT');
    if (this.ownsDataDir) await rm(this.dataDir, { recursive: true, force: true });
    return code;
  }

  /** SIGKILL: nothing is flushed, nothing said goodbye. */
  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }

  private async end(signal: NodeJS.Signals): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill(signal);
      await once(this.child, 'exit');
    }
    return this.child.exitCode;
  }
}

export async function temporaryDataDir(): Promise<string> {
  return mkdtemp(path.join(os.tmpdir(), 'fabula-e2e-'));
}

/** Servers on one database share its key-encryption keys; the folder goes with the run's cluster. */
export function kekDirOf(databaseUrl: string): string {
  const name = createHash('sha256').update(databaseUrl).digest('hex').slice(0, 16);
  return path.join(process.env['FABULA_TEST_CLUSTER'] ?? os.tmpdir(), 'keks', name);
}

function launch(dataDir: string, { databaseUrl, env, root = ROOT }: ServerOptions): { child: ChildProcess; output: () => string } {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('FABULA_') && name !== 'NODE_ENV'));
  const child = spawn(process.execPath, ['--enable-source-maps', 'dist/apps/server/src/main.js'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...inherited,
      PORT: '0',
      FABULA_DATA_DIR: dataDir,
      FABULA_REQUESTS_PER_MINUTE: '0',
      LOG_LEVEL: 'warn',
      ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }),
      // An earlier release does not know the setting, and refuses it.
      ...(databaseUrl === undefined || root !== ROOT ? {} : { FABULA_KEK_DIR: kekDirOf(databaseUrl) }),
      ...env,
    },
  });
  let text = '';
  const keep = (data: Buffer): void => void (text = (text + data.toString('utf8')).slice(-200_000));
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  return { child, output: () => text };
}
