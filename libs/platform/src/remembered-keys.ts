import { readFile, rename, writeFile } from 'node:fs/promises';
import type { JSONWebKeySet } from 'jose';
import { errorCode } from './error-code.js';

/** So long after they were last read the issuer's keys are taken without it: one that withdrew a key must not be waited for longer. */
export const REMEMBERED_FOR_MS = 24 * 3_600_000;
const MAX_FILE_BYTES = 512 * 1024;

interface Kept {
  readonly issuer: string;
  /** ms since the epoch. */
  readonly at: number;
  readonly jwks: JSONWebKeySet;
}

/**
 * The issuer's last good keys over a restart, in a file of the data directory: public keys, but whoever can write the file can make tokens,
 * as with every other key there.
 */
export class RememberedKeys {
  private saved: string | undefined;
  private savedAt = 0;
  private writing: Promise<void> = Promise.resolve();

  constructor(
    private readonly file: string,
    private readonly issuer: string,
    private readonly now: () => number = Date.now,
  ) {}

  /** Undefined when there are none, none of this issuer, or none that are young enough. */
  async read(): Promise<JSONWebKeySet | undefined> {
    let text: string;
    try {
      text = await readFile(this.file, 'utf8');
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
    const kept = text.length > MAX_FILE_BYTES ? undefined : keptOf(text);
    if (kept === undefined || kept.issuer !== this.issuer) return undefined;
    const age = this.now() - kept.at;
    return age >= 0 && age < REMEMBERED_FOR_MS ? kept.jwks : undefined;
  }

  /** To be called whenever the keys were read from the issuer; written when they changed, and once an hour. */
  keep(jwks: JSONWebKeySet): Promise<void> {
    const keys = JSON.stringify(jwks);
    const at = this.now();
    if (keys === this.saved && at - this.savedAt < 3_600_000) return this.writing;
    [this.saved, this.savedAt] = [keys, at];
    const text = JSON.stringify({ issuer: this.issuer, at, jwks } satisfies Kept);
    const write = async (): Promise<void> => {
      await writeFile(`${this.file}.new`, text, { mode: 0o600 });
      await rename(`${this.file}.new`, this.file);
    };
    this.writing = this.writing.catch(() => undefined).then(write); // Each failure is its own caller's.
    return this.writing;
  }
}

function keptOf(text: string): Kept | undefined {
  try {
    const { issuer, at, jwks } = JSON.parse(text) as Partial<Kept>;
    return typeof issuer === 'string' && typeof at === 'number' && Array.isArray(jwks?.keys) ? { issuer, at, jwks } : undefined;
  } catch {
    // A file that was cut off is as good as none: the issuer is asked.
    return undefined;
  }
}
