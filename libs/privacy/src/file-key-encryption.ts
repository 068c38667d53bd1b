import { randomBytes } from 'node:crypto';
import { open, readdir, readFile, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { createFile, errorCode, makeDirectory, syncDirectory } from '#lib/platform';
import { KEK_BYTES, KEK_ID, KekMissing, KekUnusable, newKekId, unwrapUnder, wrapUnder, type KeyEncryption } from './key-encryption.js';

const SUFFIX = '.kek';
const PREFIX = 'fabula-kek-1:';
/** Prefix and base64 of 32 bytes, with or without a line end; anything longer is no key of ours. */
const LENGTH = PREFIX.length + 44;

/**
 * Key-encryption keys as files of one folder, `<id>.kek`, readable by their owner alone. They are read for each use and not kept in memory: a file
 * that is destroyed is destroyed for every process that shares the folder.
 */
export class FileKeyEncryption implements KeyEncryption {
  constructor(readonly place: string) {}

  async ids(): Promise<readonly string[]> {
    try {
      return (await readdir(this.place))
        .filter((name) => name.endsWith(SUFFIX))
        .map((name) => name.slice(0, -SUFFIX.length))
        .filter((id) => KEK_ID.test(id))
        .sort();
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return [];
      throw error;
    }
  }

  async create(id = newKekId()): Promise<string> {
    const file = this.file(id);
    await makeDirectory(this.place, 0o700);
    // Of two processes making the same key, both end with that of the first.
    await createFile(file, `${PREFIX}${randomBytes(KEK_BYTES).toString('base64')}\n`, 0o600);
    return id;
  }

  async wrap(id: string, key: Buffer, context: string): Promise<Buffer> {
    return wrapUnder(await this.kek(id), id, key, context);
  }

  async unwrap(id: string, wrapped: Buffer, context: string): Promise<Buffer> {
    return unwrapUnder(await this.kek(id), id, wrapped, context);
  }

  /** Overwritten before it is removed. A file system that copies on write, an SSD or a backup may still hold the old bytes. */
  async destroy(id: string): Promise<boolean> {
    const file = this.file(id);
    try {
      const handle = await open(file, 'r+');
      try {
        await handle.write(randomBytes(LENGTH), 0, LENGTH, 0);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await unlink(file);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return false;
      throw error;
    }
    await syncDirectory(this.place);
    return true;
  }

  private async kek(id: string): Promise<Buffer> {
    const file = this.file(id);
    let text: string;
    try {
      // Windows has no such modes.
      if (process.platform !== 'win32' && ((await stat(file)).mode & 0o077) !== 0)
        throw new KekUnusable(
          `${file} can be read by others: \`chmod 600\` it if nobody read it, and rotate the key-encryption key if somebody may have`,
        );
      text = await readFile(file, 'utf8');
    } catch (error) {
      if (errorCode(error) === 'ENOENT') throw new KekMissing(id, this.place);
      throw error;
    }
    const line = text.replace(/\n$/, '');
    const kek = Buffer.from(line.slice(PREFIX.length), 'base64');
    if (line.length !== LENGTH || !line.startsWith(PREFIX) || kek.length !== KEK_BYTES)
      throw new KekUnusable(
        `${file} is damaged: it is not one line of "${PREFIX}" and 44 characters of base64; restore it from its backup`,
      );
    return kek;
  }

  private file(id: string): string {
    if (!KEK_ID.test(id))
      throw new KekUnusable(`"${id.slice(0, 80)}" names no key-encryption key: lower-case letters, digits and dashes, at most 63`);
    return path.join(this.place, `${id}${SUFFIX}`);
  }
}
