import { createHash } from 'node:crypto';
import { MAX_LINE } from './bundle-format.js';
import type { Place } from './findings.js';
import { Malformed } from './read-json.js';
import type { TarMember } from './tar.js';

/** Reads a file line by line; memory is one chunk. Answers where the last line stands and the file's SHA-256. */
export async function readLines(
  member: TarMember,
  tree: string,
  take: (line: Buffer, at: Place) => void,
  { longest = MAX_LINE, afterChunk }: { readonly longest?: number; readonly afterChunk?: (() => Promise<void>) | undefined } = {},
): Promise<{ readonly last: Place; readonly sha256: string }> {
  const digest = createHash('sha256');
  let carried: Buffer = Buffer.alloc(0);
  let byte = member.start;
  let line = 0;
  let at: Place = { file: member.name, tree };
  for await (const chunk of member.content) {
    digest.update(chunk);
    const bytes = carried.length === 0 ? chunk : Buffer.concat([carried, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
      at = { file: member.name, line: ++line, byte, tree };
      take(bytes.subarray(start, end), at);
      byte += end + 1 - start;
      start = end + 1;
    }
    carried = Buffer.from(bytes.subarray(start));
    await afterChunk?.();
    if (carried.length > longest) throw new Malformed(`line ${line + 1} is longer than ${longest} bytes`);
  }
  // A last line without its end was changed; as a leaf it still takes its place.
  if (carried.length > 0) take(carried, (at = { file: member.name, line: line + 1, byte, tree }));
  return { last: at, sha256: digest.digest('hex') };
}
