import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { errorCode, systemIds } from '#lib/platform';

/** What names this process over restarts: kept in its data directory, which no other process uses (see main.ts). */
export async function openNodeId(dataDir: string): Promise<string> {
  const file = path.join(dataDir, 'node-id');
  try {
    const id = (await readFile(file, 'utf8')).trim();
    if (id !== '') return id;
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
  const id = systemIds.uuid();
  await mkdir(dataDir, { recursive: true });
  await writeFile(file, `${id}\n`);
  return id;
}
