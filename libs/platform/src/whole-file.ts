import { randomBytes } from 'node:crypto';
import { link, mkdir, open, rename, unlink } from 'node:fs/promises';
import path from 'node:path';
import { errorCode } from './error-code.js';

/*
 * Files that are there whole or not at all, and that stay once the call has ended: also after a power cut. For that the content is flushed
 * before the file gets its name, and the folder after it.
 */

/**
 * Puts a file in the place of the one before. One process at a time: what a dead one left is written over.
 * @param flushName false: the caller flushes the folder, once for many files
 */
export async function replaceFile(file: string, content: string | Uint8Array, mode: number, flushName = true): Promise<void> {
  await writeFlushed(`${file}.next`, content, 'w', mode);
  await rename(`${file}.next`, file);
  if (flushName) await syncDirectory(path.dirname(file));
}

/** Makes a file unless there is one; answers whether it did. Of several processes at once one does, and no content is ever replaced. */
export async function createFile(file: string, content: string | Uint8Array, mode: number): Promise<boolean> {
  const made = `${file}.${randomBytes(6).toString('hex')}`;
  let first = true;
  await writeFlushed(made, content, 'wx', mode);
  try {
    await link(made, file);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
    first = false;
  } finally {
    await unlink(made);
  }
  await syncDirectory(path.dirname(file));
  return first;
}

/** Whether `createFile` of that file may have left this name behind when it was killed. */
export const isLeftOver = (file: string, name: string): boolean =>
  name.startsWith(`${path.basename(file)}.`) && /^[0-9a-f]{12}$/.test(name.slice(path.basename(file).length + 1));

/** Makes a folder and those above it that are missing. */
export async function makeDirectory(directory: string, mode = 0o777): Promise<void> {
  const made = await mkdir(directory, { recursive: true, mode });
  const top = path.resolve(made ?? directory);
  // Also one that was there: whoever made it may have died before this.
  for (let at = path.resolve(directory); ; at = path.dirname(at)) {
    await syncDirectory(path.dirname(at));
    if (at === top || at === path.dirname(at)) return;
  }
}

/** Flushes which files a folder holds. */
export async function syncDirectory(directory: string): Promise<void> {
  // Windows opens no folders; there a rename is as durable as the system makes it.
  if (process.platform === 'win32') return;
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function writeFlushed(file: string, content: string | Uint8Array, flags: 'w' | 'wx', mode: number): Promise<void> {
  const handle = await open(file, flags, mode);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
