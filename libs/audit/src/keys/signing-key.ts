import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readFile, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { errorCode, errorText } from '#lib/platform';
import { generateSigner, parseSignerKey, type NoteSigner } from './tlog/index.js';

/** The signing key cannot be used as it lies there. */
export class SigningKeyUnusable extends Error {
  override readonly name = 'SigningKeyUnusable';
}

/**
 * Reads the Ed25519 key that signs notes, or makes it at the first start: outside the database, readable by its owner alone.
 * @param name the log's configured name; a key made for another name is refused, since the name is part of every proof
 * @throws SigningKeyUnusable when it is damaged, of another name or readable by others
 */
export async function openSigningKey(file: string, name: string): Promise<NoteSigner> {
  const signer = (await read(file)) ?? (await create(file, name));
  if (signer.name !== name) {
    throw new SigningKeyUnusable(
      `${file} is the key of "${signer.name}", but the audit is configured as "${name}": set the name back, or start a new audit with a new key`,
    );
  }
  return signer;
}

async function read(file: string): Promise<NoteSigner | undefined> {
  let text: string;
  try {
    // Windows has no such modes.
    if (process.platform !== 'win32' && ((await stat(file)).mode & 0o077) !== 0) {
      throw new SigningKeyUnusable(`${file} can be read by others: make a new key, or \`chmod 600\` it if nobody read it`);
    }
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return parseSignerKey(text.replace(/\n$/, ''));
  } catch (error) {
    throw new SigningKeyUnusable(`${file}: ${errorText(error)}`);
  }
}

async function create(file: string, name: string): Promise<NoteSigner> {
  const signer = generateSigner(name);
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  const made = `${file}.${randomBytes(6).toString('hex')}`;
  const handle = await open(made, 'wx', 0o600);
  try {
    await handle.writeFile(`${signer.skey}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  try {
    // A link never replaces: of two processes starting at once, both end with the key of the first.
    await link(made, file);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw error;
  } finally {
    await unlink(made);
  }
  return (await read(file)) ?? signer;
}
