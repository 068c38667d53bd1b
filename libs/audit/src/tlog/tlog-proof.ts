import { HASH_BYTES, leafHash, type Hash, type LeafIndex } from './hash.js';
import { MAX_NOTE_BYTES } from './note.js';
import { checkInclusion } from './proof.js';
import { parseBase64, parseDecimal } from './strict.js';
import { openTrustedNote, type TrustedKey } from './trusted-keys.js';
import type { CheckpointNote } from './checkpoint-note.js';

/*
 * C2SP tlog-proof, a file of its own that shows that an entry is in a signed tree:
 *   c2sp.org/tlog-proof@v1
 *   extra <base64>            (optional: means something to the reader, and proves nothing)
 *   index <decimal>
 *   <base64 hash>             (one a line, from the leaf to the root)
 *   (an empty line)
 *   <signed checkpoint note>
 */

const HEADER = 'c2sp.org/tlog-proof@v1';
const MAX_HASHES = 63;

export interface TlogProof {
  readonly index: LeafIndex;
  readonly hashes: readonly Hash[];
  /** The signed note, exact text. */
  readonly note: string;
  readonly extra?: Buffer;
}

export class MalformedProof extends Error {
  override readonly name = 'MalformedProof';
}

export function formatTlogProof({ index, hashes, note, extra }: TlogProof): string {
  const lines = [HEADER];
  if (extra !== undefined) lines.push(`extra ${extra.toString('base64')}`);
  lines.push(`index ${index}`, ...hashes.map((hash) => hash.toString('base64')));
  return `${lines.join('\n')}\n\n${note}`;
}

/** The inverse of `formatTlogProof`. @throws MalformedProof for everything that it would not write */
export function parseTlogProof(text: string): TlogProof {
  if (Buffer.byteLength(text) > 2 * MAX_NOTE_BYTES) throw new MalformedProof('it is too long');
  const split = text.indexOf('\n\n');
  if (split < 0) throw new MalformedProof('no empty line before the checkpoint note');
  const lines = text.slice(0, split).split('\n');
  const note = text.slice(split + 2);
  if (lines.shift() !== HEADER) throw new MalformedProof(`it does not begin with "${HEADER}"`);
  const said = lines[0]?.startsWith('extra ') === true ? lines.shift() : undefined;
  const extra = said === undefined ? undefined : parseBase64(said.slice('extra '.length));
  if (said !== undefined && extra === undefined) throw new MalformedProof('extra is not base64');
  const place = lines.shift();
  const index = place?.startsWith('index ') === true ? parseDecimal(place.slice('index '.length)) : undefined;
  if (index === undefined) throw new MalformedProof('no index');
  if (lines.length > MAX_HASHES) throw new MalformedProof(`more than ${MAX_HASHES} hashes`);
  const hashes = lines.map((line) => {
    const hash = parseBase64(line, HASH_BYTES);
    if (hash === undefined) throw new MalformedProof('a hash is not the base64 of 32 bytes');
    return hash;
  });
  if (note === '') throw new MalformedProof('no checkpoint note');
  return { index: index as LeafIndex, hashes, note, ...(extra === undefined ? {} : { extra }) };
}

/**
 * That the entry is in the tree that a trusted key signed.
 * @throws MalformedProof, MalformedNote, UnverifiedNote; MalformedProof also where the hashes do not lead from the entry to the root
 */
export function openTlogProof(
  text: string,
  entry: Uint8Array,
  keys: readonly TrustedKey[],
): { readonly note: CheckpointNote; readonly index: LeafIndex } {
  const proof = parseTlogProof(text);
  const note = openTrustedNote(proof.note, keys);
  if (!checkInclusion(proof.hashes, note.size, note.root, proof.index, leafHash(entry)))
    throw new MalformedProof(`its hashes do not lead from the entry ${proof.index} to the root of the signed tree of ${note.size}`);
  return { note, index: proof.index };
}
