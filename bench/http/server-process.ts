import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { openDevelopmentIssuer, type DevelopmentIssuer } from '#lib/platform';

const ROOT = path.resolve(import.meta.dirname, '../../..');
const READY_WITHIN_MS = 60_000;

/** The real server, from the build, as `npm start` runs it; on a database of the bench's cluster. */
export interface ServerProcess {
  readonly url: string;
  readonly pid: number;
  readonly issuer: DevelopmentIssuer;
  stop(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
}

export interface ServerProcessOptions {
  readonly profile?: string | undefined;
  /** Further settings. */
  readonly env?: Readonly<Record<string, string>>;
}

export async function startServerProcess(
  dataDir: string,
  databaseUrl: string,
  { profile, env }: ServerProcessOptions = {},
): Promise<ServerProcess> {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('FABULA_') && name !== 'NODE_ENV'));
  const profiling = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
  const child = spawn(process.execPath, ['--enable-source-maps', ...profiling, 'dist/apps/server/src/main.js'], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...inherited,
      PORT: '0',
      DATABASE_URL: databaseUrl,
      FABULA_DATA_DIR: dataDir,
      FABULA_REQUESTS_PER_MINUTE: '0',
      FABULA_SAMPLE_STORIES: 'off',
      LOG_LEVEL: 'warn',
      ...env,
    },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data: Buffer) => (output = (output + data.toString('utf8')).slice(-20_000)));
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (ended(child)) return;
    child.kill(signal);
    await once(child, 'exit');
  };
  const stop = (): Promise<void> => end('SIGINT');
  const deadline = Date.now() + READY_WITHIN_MS;
  while (!output.includes('Ctrl-C stops everything')) {
    if (ended(child) || Date.now() > deadline) {
      await stop();
      throw new Error(`the server did not become ready:\n${output}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const { url } = JSON.parse(await readFile(path.join(dataDir, 'server.json'), 'utf8')) as { url: string };
  return { url, pid: child.pid as number, issuer: await openDevelopmentIssuer(dataDir, false), stop, kill: () => end('SIGKILL') };
}

const ended = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;
