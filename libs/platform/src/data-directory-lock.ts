import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { errorCode } from './error-code.js';
import { isAlive, startedAt } from './processes.js';

/** Another process works on this data directory. The server says so and exits with 2. */
export class DataDirectoryLocked extends Error {
  override readonly name = 'DataDirectoryLocked';
  constructor(
    readonly directory: string,
    readonly pid: number,
  ) {
    super(
      `The data directory ${directory} is in use by process ${pid}. Stop that process first, or choose another directory with FABULA_DATA_DIR.`,
    );
  }
}

export interface DataDirectoryLock {
  release(): Promise<void>;
}

interface Holder {
  readonly pid: number;
  /** Tells a process from a later one with the same pid; null where the system does not say. */
  readonly startedAt: string | null;
  readonly token: string;
}

/**
 * Takes `<directory>/lock` for this process. A lock left by a dead process is taken over.
 * @throws DataDirectoryLocked naming the process that holds it.
 */
export async function lockDataDirectory(directory: string): Promise<DataDirectoryLock> {
  await mkdir(directory, { recursive: true });
  const file = path.join(directory, 'lock');
  const mine: Holder = { pid: process.pid, startedAt: await startedAt(process.pid), token: randomUUID() };
  for (let attempt = 0; attempt < 20; attempt++) {
    try {
      await writeFile(file, JSON.stringify(mine), { flag: 'wx', mode: 0o600 });
      return { release: () => release(file, mine.token) };
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error;
    }
    const holder = await readHolder(file);
    if (holder === undefined) {
      // Just released, or its writer is between creating and filling it: look again shortly.
      if (attempt > 10) await rm(file, { force: true });
      await new Promise((resolve) => setTimeout(resolve, 50));
      continue;
    }
    if (await isHeld(holder)) throw new DataDirectoryLocked(directory, holder.pid);
    // Renaming lets exactly one of several starters remove the dead one's lock: the others find nothing to rename.
    const grave = `${file}.${mine.token}`;
    try {
      await rename(file, grave);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
      continue;
    }
    const buried = await readHolder(grave);
    if (buried !== undefined && buried.token !== holder.token && (await isHeld(buried))) {
      // Between our look and our rename somebody else took it over: give it back.
      await rename(grave, file);
      throw new DataDirectoryLocked(directory, buried.pid);
    }
    await rm(grave, { force: true });
  }
  throw new Error(`The lock file ${file} could not be taken: it keeps changing.`);
}

async function release(file: string, token: string): Promise<void> {
  const holder = await readHolder(file);
  if (holder?.token === token) await rm(file, { force: true });
}

async function isHeld(holder: Holder): Promise<boolean> {
  if (!isAlive(holder.pid)) return false;
  const started = await startedAt(holder.pid);
  return holder.startedAt === null || started === null || started === holder.startedAt;
}

async function readHolder(file: string): Promise<Holder | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(file, 'utf8'));
    if (typeof value !== 'object' || value === null || !('pid' in value) || typeof value.pid !== 'number') return undefined;
    const started = 'startedAt' in value && typeof value.startedAt === 'string' ? value.startedAt : null;
    const token = 'token' in value && typeof value.token === 'string' ? value.token : '';
    return { pid: value.pid, startedAt: started, token };
  } catch (error) {
    if (error instanceof SyntaxError || errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
