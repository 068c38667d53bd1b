import {
  HASH_BYTES,
  isKeyName,
  MalformedNote,
  parseBase64,
  parseCheckpointNote,
  parseDecimal,
  parseNote,
  treeSize,
  type CheckpointNote,
  type Hash,
  type TreeSize,
} from '../tlog/index.js';

/*
 * C2SP tlog-witness, the body of `POST <prefix>/add-checkpoint`:
 *   old <size>
 *   <base64 hash>        of a consistency proof, at most 63
 *   <empty line>
 *   <checkpoint note>
 */

export const MAX_PROOF = 63;
/** Room for the proof and a note with many signatures. */
export const MAX_ADD_CHECKPOINT_BYTES = 128 * 1024;
/** Of the body of a 409. */
export const SIZE_TYPE = 'text/x.tlog.size';

export class MalformedRequest extends Error {
  override readonly name = 'MalformedRequest';
}

export interface AddCheckpoint {
  readonly old: TreeSize;
  readonly proof: readonly Hash[];
  /** The note with all its signatures, exact text. */
  readonly note: string;
}

export function formatAddCheckpoint({ old, proof, note }: AddCheckpoint): string {
  return `old ${old}\n${proof.map((hash) => `${hash.toString('base64')}\n`).join('')}\n${note}`;
}

/** @throws MalformedRequest for everything that `formatAddCheckpoint` would not write */
export function parseAddCheckpoint(body: string): AddCheckpoint {
  const end = body.indexOf('\n\n');
  if (end < 0) throw new MalformedRequest('no empty line before the checkpoint');
  const [first, ...lines] = body.slice(0, end).split('\n');
  const old = first?.startsWith('old ') === true ? parseDecimal(first.slice('old '.length)) : undefined;
  if (old === undefined) throw new MalformedRequest('the first line is not `old <size>`');
  if (lines.length > MAX_PROOF) throw new MalformedRequest(`more than ${MAX_PROOF} hashes`);
  const proof = lines.map((line, at) => {
    const hash = parseBase64(line, HASH_BYTES);
    if (hash === undefined) throw new MalformedRequest(`line ${at + 2} is not the base64 of 32 bytes`);
    return hash;
  });
  return { old: treeSize(old), proof, note: body.slice(end + 2) };
}

/** What a log's note names first. @throws MalformedNote */
export function originOfNote(note: string): string {
  const { text } = parseNote(note);
  const origin = text.slice(0, text.indexOf('\n'));
  if (!isKeyName(origin)) throw new MalformedNote('its first line is no origin');
  return origin;
}

/** As a witness reads it: lines below the third are a log's own, and are cosigned unread. @throws MalformedNote */
export function parseForeignCheckpoint(text: string): CheckpointNote {
  const lines = text.split('\n');
  if (lines.length < 4 || lines.pop() !== '' || lines.includes('')) throw new MalformedNote('not a checkpoint note of three lines or more');
  return parseCheckpointNote(`${lines.slice(0, 3).join('\n')}\n`);
}
