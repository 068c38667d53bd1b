import { readFile } from 'node:fs/promises';
import { MalformedKey, MalformedTrust, parseTrust, type TrustedKey } from '#lib/audit';
import { wrongUsage } from './exit-codes.js';

/** Notes, keys and policies are small; anything larger is the wrong file. */
const MAX_TEXT = 1_000_000;

/** @throws CliFailure for a file that cannot be read */
export async function textOf(file: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw wrongUsage(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (text.length > MAX_TEXT) throw wrongUsage(`${file} is too large for a key or a note.`);
  return text;
}

/** A key as it was handed out, or the file that holds it or a trust policy. */
export async function keyOf(given: string): Promise<string> {
  return /^\S+\+[0-9a-f]{8}\+\S+$/.test(given) ? given : (await textOf(given)).trim();
}

/** @throws CliFailure for what is neither a key nor a trust policy */
export function trusted(text: string): readonly TrustedKey[] {
  try {
    return parseTrust(text.trim());
  } catch (error) {
    if (error instanceof MalformedKey || error instanceof MalformedTrust) throw wrongUsage(`The key cannot be used: ${error.message}`);
    throw error;
  }
}
