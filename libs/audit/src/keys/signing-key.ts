import { readdir, readFile, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { createFile, errorCode, errorText, isLeftOver, makeDirectory, replaceFile, syncDirectory } from '#lib/platform';
import { generateSigner, parseSignerKey, parseVerifierKey, type NoteSigner, type NoteVerifier } from '../tlog/index.js';
import { KeyRefused } from './announce-key.js';
import type { KeptKey } from './kept-keys.js';
import { DEFAULT_OVERLAP_MS, type SigningKeys } from './notary-keys.js';

/*
 * The file of signing keys: one a line, the newest first. While two keys sign, both private keys; then of the older one its verifier key
 * alone, so that this process still believes what it signed. A key that is to follow lies beside it in a file of its own.
 */

/** The signing key cannot be used as it lies there. */
export class SigningKeyUnusable extends Error {
  override readonly name = 'SigningKeyUnusable';
}

/** Where the key lies that is to follow the one in `file`. */
export const nextKeyFile = (file: string): string => file.replace(/(\.key)?$/, '.next.key');

/**
 * Reads the Ed25519 key that signs notes, or makes it at the first start: outside the database, readable by its owner alone.
 * @param name the log's configured name; a key made for another name is refused, since the name is part of every proof
 * @throws SigningKeyUnusable when it is damaged, of another name or readable by others
 */
export async function openSigningKey(file: string, name: string): Promise<NoteSigner> {
  return (await openSigningKeys(file, name)).signers[0] as NoteSigner;
}

/**
 * All keys of the file, and the one that is to follow, last.
 * @throws SigningKeyUnusable as `openSigningKey`
 */
export async function openSigningKeys(file: string, name: string): Promise<SigningKeys> {
  const keys = (await read(file)) ?? (await create(file, generateNamed(name)));
  const next = await read(nextKeyFile(file));
  const all = { signers: [...keys.signers, ...(next?.signers ?? [])], former: [...keys.former, ...(next?.former ?? [])] };
  const [current] = keys.signers;
  if (current === undefined) throw new SigningKeyUnusable(`${file} holds no signing key`);
  const foreign = [...all.signers, ...all.former].find((key) => key.name !== name);
  if (foreign !== undefined) {
    throw new SigningKeyUnusable(
      `${file} is the key of "${foreign.name}", but the audit is configured as "${name}": set the name back, or start a new audit with a new key`,
    );
  }
  return all;
}

/** Makes the key that is to follow. @throws KeyRefused when there is one already, or no key to follow */
export async function makeNextKey(file: string): Promise<NoteSigner> {
  const name = (await read(file))?.signers[0]?.name;
  if (name === undefined) throw new KeyRefused(`there is no ${file}: this is not the data directory of a process that signs`);
  const next = nextKeyFile(file);
  if ((await read(next)) !== undefined) throw new KeyRefused(`${next} is there already: it was made for a rotation that is not over`);
  const made = await create(next, generateNamed(name));
  return made.signers[0] as NoteSigner;
}

/**
 * Brings the file in line with what the store says: the current key first; the one before it stays while both sign, then only its verifier
 * key stays. Does nothing where the current key is not at hand. Done again it changes nothing.
 */
export async function settleSigningKeys(
  file: string,
  name: string,
  kept: readonly KeptKey[],
  now: number,
  overlapMs = DEFAULT_OVERLAP_MS,
): Promise<SigningKeys> {
  const keys = await openSigningKeys(file, name);
  const current = kept.at(-1);
  const known = new Map(keys.signers.map((signer) => [signer.verifier.vkey, signer.skey]));
  if (current === undefined || !known.has(current.vkey)) return keys;
  const overlapping = now - current.announcedAt < overlapMs;
  const lines = kept.toReversed().map(({ vkey }, i) => (i === 0 || (i === 1 && overlapping) ? (known.get(vkey) ?? vkey) : vkey));
  if ((await textOf(file)) !== text(lines)) await replaceFile(file, text(lines), 0o600);
  const next = await read(nextKeyFile(file));
  if (next !== undefined && next.signers.every(({ verifier }) => kept.some(({ vkey }) => vkey === verifier.vkey)))
    await unlink(nextKeyFile(file));
  await sweep(file);
  return openSigningKeys(file, name);
}

/** What processes left that were killed while they made keys: another name of a private key that is to be gone. */
async function sweep(file: string): Promise<void> {
  const folder = path.dirname(file);
  for (const name of await readdir(folder))
    if ([file, nextKeyFile(file)].some((one) => isLeftOver(one, name))) await unlink(path.join(folder, name));
  await syncDirectory(folder);
}

const text = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');

function generateNamed(name: string): string {
  return text([generateSigner(name).skey]);
}

async function textOf(file: string): Promise<string | undefined> {
  try {
    // Windows has no such modes.
    if (process.platform !== 'win32' && ((await stat(file)).mode & 0o077) !== 0) {
      throw new SigningKeyUnusable(`${file} can be read by others: make a new key, or \`chmod 600\` it if nobody read it`);
    }
    return await readFile(file, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function read(file: string): Promise<SigningKeys | undefined> {
  const content = await textOf(file);
  if (content === undefined) return undefined;
  const signers: NoteSigner[] = [];
  const former: NoteVerifier[] = [];
  try {
    for (const line of content.replace(/\n$/, '').split('\n'))
      if (line.startsWith('PRIVATE+KEY+') || signers.length === 0) signers.push(parseSignerKey(line));
      else former.push(parseVerifierKey(line));
  } catch (error) {
    throw new SigningKeyUnusable(`${file}: ${errorText(error)}`);
  }
  return { signers, former };
}

async function create(file: string, content: string): Promise<SigningKeys> {
  await makeDirectory(path.dirname(file), 0o700);
  // Of two processes starting at once, both end with the key of the first.
  await createFile(file, content, 0o600);
  const keys = await read(file);
  if (keys === undefined) throw new SigningKeyUnusable(`${file} went away while it was made`);
  return keys;
}
