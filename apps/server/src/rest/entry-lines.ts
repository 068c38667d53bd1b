/** With the leaf that reaches it an answer of entries ends: each may have 64 KiB. */
export const MAX_ENTRIES_BYTES = 8 * 1024 * 1024;
const NEWLINE = Buffer.from('\n');

/** The lines of leaves, up to the one with which they are large enough; the pages behind it are not read. */
export async function linesWithin(
  pages: AsyncIterable<{ readonly leaves: readonly { readonly bytes: Buffer }[] }>,
  most = MAX_ENTRIES_BYTES,
): Promise<Buffer[]> {
  const lines: Buffer[] = [];
  let size = 0;
  for await (const { leaves } of pages)
    for (const { bytes } of leaves) {
      lines.push(bytes, NEWLINE);
      size += bytes.length + NEWLINE.length;
      if (size >= most) return lines;
    }
  return lines;
}
