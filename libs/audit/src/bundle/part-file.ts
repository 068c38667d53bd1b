import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { errorCode } from '#lib/platform';
import { MalformedTar, readTar } from './tar.js';

/** A file of a bundle that lies whole in the archive already. */
export interface WrittenMember {
  readonly sha256: string;
  readonly lines: number;
}
/** What an export that was interrupted left behind. */
export interface WrittenPart {
  readonly members: ReadonlyMap<string, WrittenMember>;
  /** Where the last whole one ends; the rest is torn. */
  readonly bytes: number;
}

/** The part does not begin like the bundle that is being written: it is written anew. */
export class PartDiffers extends Error {
  override readonly name = 'PartDiffers';
}

const NEWLINE = 10;
const BLOCK = 512;

/** Memory is one chunk and a few words per file. @returns undefined when nothing of use is there */
export async function readPart(file: string): Promise<WrittenPart | undefined> {
  const members = new Map<string, WrittenMember>();
  let bytes = 0;
  let last: { readonly name: string; readonly member: WrittenMember; readonly end: number } | undefined;
  const whole = (): void => {
    if (last === undefined) return;
    members.set(last.name, last.member);
    bytes = last.end;
    last = undefined;
  };
  try {
    for await (const { name, size, start, content } of readTar(createReadStream(file, { highWaterMark: 1 << 18 }))) {
      // Only now is the padding behind the one before known to be there.
      whole();
      const digest = createHash('sha256');
      let lines = 0;
      for await (const chunk of content) {
        digest.update(chunk);
        for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, at + 1)) lines++;
      }
      last = { name, member: { sha256: digest.digest('hex'), lines }, end: Math.ceil((start + size) / BLOCK) * BLOCK };
    }
    whole();
  } catch (error) {
    // Torn, or what the file system made of it: whatever stands before is of use.
    if (!(error instanceof MalformedTar) && errorCode(error) !== 'ENOENT') throw error;
    if (error instanceof MalformedTar && last !== undefined && error.byte >= last.end) whole();
  }
  return members.size === 0 ? undefined : { members, bytes };
}
