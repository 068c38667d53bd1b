import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = path.resolve(__dirname, '../..');
const COMPILER = path.join('node_modules', 'typescript-7', 'bin', 'tsc');

/** The commit of the last release. */
export const releasedCommit = (): string =>
  (JSON.parse(readFileSync(path.join(ROOT, 'schemas', 'released', 'release.json'), 'utf8')) as { commit: string }).commit;

/** Why the last release cannot be built here; undefined when it can. */
export function whyNoPreviousRelease(): string | undefined {
  const commit = releasedCommit();
  const { status, error, stderr } = spawnSync('git', ['cat-file', '-e', `${commit}^{commit}`], { cwd: ROOT, encoding: 'utf8' });
  if (status === 0) return undefined;
  const why = error === undefined ? stderr.trim() || 'a shallow clone?' : error.message;
  return `the commit of the last release, ${commit.slice(0, 7)}, is not at hand (${why.split('\n')[0]})`;
}

export interface PreviousRelease {
  /** For `ServerProcess`. */
  readonly root: string;
  remove(): Promise<void>;
}

/** The last release from the history, compiled in a folder of its own with the packages installed here. */
export async function buildPreviousRelease(): Promise<PreviousRelease> {
  const root = await mkdtemp(path.join(os.tmpdir(), 'fabula-previous-'));
  const remove = (): Promise<void> => rm(root, { recursive: true, force: true });
  try {
    const archive = path.join(root, 'release.tar');
    await run('git', ['archive', '--format=tar', '-o', archive, releasedCommit()], { cwd: ROOT });
    await run('tar', ['-xf', archive], { cwd: root });
    await rm(archive);
    await symlink(path.join(ROOT, 'node_modules'), path.join(root, 'node_modules'), 'dir');
    await run(process.execPath, [COMPILER, '-p', 'tsconfig.build.json'], { cwd: root, maxBuffer: 16 * 1024 * 1024 });
    // Read once, so that a build without its entry is found here and not as a server that does not start.
    await readFile(path.join(root, 'dist', 'apps', 'server', 'src', 'main.js'));
    return { root, remove };
  } catch (error) {
    await remove();
    const output = error instanceof Error && 'stdout' in error ? String(error.stdout).slice(-2_000) : '';
    throw new Error(`the last release could not be built: ${String(error)}\n${output}`, { cause: error });
  }
}
