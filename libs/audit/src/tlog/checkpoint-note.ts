import { HASH_BYTES, treeSize, type Hash, type TreeSize } from './hash.js';
import { isKeyName, MalformedNote, openNote, signNote, type NoteSigner, type NoteVerifier } from './note.js';
import { parseBase64, parseDecimal } from './strict.js';

/** C2SP tlog-checkpoint without extension lines: what a signed note says about a tree. */
export interface CheckpointNote {
  /** The log's identity; no spaces, no plus. */
  readonly origin: string;
  readonly size: TreeSize;
  readonly root: Hash;
}

/** `<origin>\n<size>\n<base64 root>\n`. @throws MalformedNote for an origin that no note can hold. */
export function formatCheckpointNote(note: CheckpointNote): string {
  if (!isKeyName(note.origin)) throw new MalformedNote('an origin has no spaces and no plus');
  return `${note.origin}\n${note.size}\n${note.root.toString('base64')}\n`;
}

/** The inverse of `formatCheckpointNote`. @throws MalformedNote for everything that it would not write. */
export function parseCheckpointNote(text: string): CheckpointNote {
  const lines = text.split('\n');
  const [origin, size, root, end] = lines;
  if (lines.length !== 4 || end !== '' || origin === undefined || !isKeyName(origin))
    throw new MalformedNote('not a checkpoint note of three lines');
  const count = parseDecimal(size ?? '');
  const hash = parseBase64(root ?? '', HASH_BYTES);
  if (count === undefined) throw new MalformedNote('its size is not a decimal number');
  if (hash === undefined) throw new MalformedNote('its root is not the base64 of 32 bytes');
  return { origin, size: treeSize(count), root: hash };
}

export function signCheckpointNote(note: CheckpointNote, ...signers: readonly NoteSigner[]): string {
  return signNote(formatCheckpointNote(note), ...signers);
}

/** @throws MalformedNote, UnverifiedNote. */
export function openCheckpointNote(bytes: string | Uint8Array, verifiers: readonly NoteVerifier[]): CheckpointNote {
  return parseCheckpointNote(openNote(bytes, verifiers).text);
}
