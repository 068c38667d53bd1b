import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { errorCode } from '#lib/platform';

/** Where a canary was found: the file, and in which spelling. */
export interface CanaryFound {
  readonly canary: string;
  readonly where: string;
  readonly spelling: string;
}

/** How a text may lie in a file without being seen at first sight. */
export function spellingsOf(canary: string): ReadonlyMap<string, Buffer> {
  const bytes = Buffer.from(canary, 'utf8');
  const spellings = new Map<string, Buffer>([
    ['plain', bytes],
    ['UTF-16', Buffer.from(canary, 'utf16le')],
    ['hex', Buffer.from(bytes.toString('hex'))],
    ['HEX', Buffer.from(bytes.toString('hex').toUpperCase())],
  ]);
  // Base64 spells a text in three ways, by where it begins; its first and last characters belong to its neighbours.
  for (const shift of [0, 1, 2]) {
    const encoded = Buffer.concat([Buffer.alloc(shift), bytes])
      .toString('base64')
      .replace(/=+$/, '');
    const middle = encoded.slice(shift === 0 ? 0 : 4, -2);
    spellings.set(`base64 +${shift}`, Buffer.from(middle));
    spellings.set(`base64url +${shift}`, Buffer.from(middle.replaceAll('+', '-').replaceAll('/', '_')));
  }
  return spellings;
}

/** Looks for texts in bytes, in every spelling. */
export class CanaryHunt {
  private readonly wanted: readonly { readonly canary: string; readonly spelling: string; readonly bytes: Buffer }[];
  private readonly longest: number;

  constructor(canaries: readonly string[]) {
    this.wanted = canaries.flatMap((canary) => [...spellingsOf(canary)].map(([spelling, bytes]) => ({ canary, spelling, bytes })));
    this.longest = Math.max(...this.wanted.map(({ bytes }) => bytes.length));
  }

  in(bytes: Buffer, where: string): readonly CanaryFound[] {
    return this.wanted.flatMap(({ canary, spelling, bytes: sought }) => (bytes.includes(sought) ? [{ canary, spelling, where }] : []));
  }

  /** Every file below a folder; those that vanish meanwhile are gone. Answers how much was read, so that an empty look is seen. */
  async below(folder: string): Promise<{ readonly found: readonly CanaryFound[]; readonly bytes: number; readonly files: number }> {
    const found: CanaryFound[] = [];
    let [bytes, files] = [0, 0];
    for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
      if (!entry.isFile()) continue;
      const file = path.join(entry.parentPath, entry.name);
      try {
        let kept = Buffer.alloc(0);
        for await (const chunk of createReadStream(file, { highWaterMark: 4 * 1024 * 1024 }) as AsyncIterable<Buffer>) {
          const read = Buffer.concat([kept, chunk]);
          found.push(...this.in(read, path.relative(folder, file)));
          bytes += chunk.length;
          // A canary may lie across two pieces.
          kept = read.subarray(Math.max(0, read.length - this.longest));
        }
        files += 1;
      } catch (error) {
        if (errorCode(error) !== 'ENOENT') throw error;
      }
    }
    return { found, bytes, files };
  }
}
