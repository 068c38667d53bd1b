import type { StreamId } from '#lib/decision';

const V1 = Buffer.from('","v":1}');
const STREAM = Buffer.from(',"stream":"');
/** A type of at most 32 characters, a slash, at most 200. */
const LONGEST = 233;
const [QUOTE, BACKSLASH] = [0x22, 0x5c];

/**
 * The stream of a stored record, without decoding it: canonical JSON sorts its keys, so what Fabula writes ends with the stream and the
 * envelope's version. An answer means: these bytes are either a record of version 1 of that stream, or undecodable. They are nothing else:
 * no quote stands behind a backslash here, so in valid JSON each of them opens or ends a string, and the members named last are the outermost
 * object's and win over earlier ones of their name. `undefined` says nothing: decode the record.
 */
export function streamAtEnd(bytes: Uint8Array): StreamId | undefined {
  const end = bytes.length - V1.length;
  for (let i = 0; i < V1.length; i++) if (bytes[end + i] !== V1[i]) return undefined;
  const least = Math.max(STREAM.length, end - LONGEST);
  let from = end;
  while (from >= least && bytes[from - 1] !== QUOTE) {
    from--;
    const byte = bytes[from] as number;
    if (byte <= 0x20 || byte >= 0x7f || byte === BACKSLASH) return undefined;
  }
  if (from < least || from === end) return undefined;
  for (let i = 0; i < STREAM.length; i++) if (bytes[from - STREAM.length + i] !== STREAM[i]) return undefined;
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, end - from).toString('latin1');
}
