import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { createFile, errorCode, errorText, makeDirectory, replaceFile } from '#lib/platform';
import { generateCosigner, parseCosignerSecret, type Cosigner } from '../tlog/index.js';
import type { WitnessState } from './witness.js';

/** The key of a witness cannot be used as it lies there. */
export class WitnessKeyUnusable extends Error {
  override readonly name = 'WitnessKeyUnusable';
}

/** Names a log in paths: SHA-256 of its origin, as C2SP tlog-mirror does. */
export function originHash(origin: string): string {
  return createHash('sha256').update(origin).digest('hex');
}

/**
 * A witness's memory as files: `<dir>/<hash of the origin>.note`. Written beside, flushed, then renamed, and the folder flushed: after a
 * crash there is the note before or this one, never none.
 */
export class WitnessDirectory implements WitnessState {
  private constructor(
    private readonly directory: string,
    private readonly notes: Map<string, string>,
  ) {}

  static async open(directory: string, origins: readonly string[]): Promise<WitnessDirectory> {
    await makeDirectory(directory, 0o700);
    const notes = new Map<string, string>();
    for (const origin of origins) {
      try {
        notes.set(origin, await readFile(path.join(directory, `${originHash(origin)}.note`), 'utf8'));
      } catch (error) {
        if (errorCode(error) !== 'ENOENT') throw error;
      }
    }
    return new WitnessDirectory(directory, notes);
  }

  latest(origin: string): string | undefined {
    return this.notes.get(origin);
  }

  async keep(origin: string, note: string): Promise<void> {
    await replaceFile(path.join(this.directory, `${originHash(origin)}.note`), note, 0o644);
    this.notes.set(origin, note);
  }
}

/** Reads the witness's key, or makes it at the first start, readable by its owner alone. @throws WitnessKeyUnusable */
export async function openWitnessKey(file: string, name: string): Promise<Cosigner> {
  const cosigner = (await read(file)) ?? (await create(file, name));
  if (cosigner.name !== name) throw new WitnessKeyUnusable(`${file} is the key of "${cosigner.name}", not of "${name}"`);
  return cosigner;
}

async function read(file: string): Promise<Cosigner | undefined> {
  let text: string;
  try {
    // Windows has no such modes.
    if (process.platform !== 'win32' && ((await stat(file)).mode & 0o077) !== 0)
      throw new WitnessKeyUnusable(`${file} can be read by others: make a new key, or \`chmod 600\` it if nobody read it`);
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return parseCosignerSecret(text.replace(/\n$/, ''));
  } catch (error) {
    throw new WitnessKeyUnusable(`${file}: ${errorText(error)}`);
  }
}

async function create(file: string, name: string): Promise<Cosigner> {
  const cosigner = generateCosigner(name);
  await makeDirectory(path.dirname(file), 0o700);
  // Of two processes starting at once, both end with the key of the first.
  await createFile(file, `${cosigner.skey}\n`, 0o600);
  return (await read(file)) ?? cosigner;
}
