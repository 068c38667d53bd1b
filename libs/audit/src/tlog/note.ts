import { sign, verify } from 'node:crypto';
import { formatKey, keyIdOf, newSeed, NOTE_KEY, privateKeyFrom, publicBytesOf, publicKeyFrom, splitKey } from './ed25519.js';
import { parseBase64 } from './strict.js';

/*
 * C2SP signed-note: a text that ends in a newline, an empty line, then one line per signature:
 *   — <name> <base64(key id, 4 bytes big-endian ‖ signature)>
 * Keys are written as
 *   <name>+<key id, 8 hex>+<base64(0x01 ‖ public key)>              (vkey)
 *   PRIVATE+KEY+<name>+<key id, 8 hex>+<base64(0x01 ‖ seed)>        (skey)
 */

export const MAX_NOTE_BYTES = 1_000_000;
export const MAX_SIGNATURES = 100;
// Everything below U+0020 except newline.
const CONTROL = /[^\P{Cc}\n\u007f-\u009f]/u;
const SIGNATURE_LINE = /^\u2014 ([^ ]+) ([A-Za-z0-9+/=]+)$/;

export class MalformedNote extends Error {
  override readonly name = 'MalformedNote';
}
/** Well formed, but no known key signed it, or a known key's signature is wrong. */
export class UnverifiedNote extends Error {
  override readonly name = 'UnverifiedNote';
}
export class MalformedKey extends Error {
  override readonly name = 'MalformedKey';
}

export interface NoteSignature {
  readonly name: string;
  /** First four bytes of SHA-256(name ‖ 0x0A ‖ type ‖ public key), big-endian. */
  readonly keyId: number;
  readonly signature: Buffer;
}
export interface Note {
  /** The signed bytes: ends in a newline. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** Non-empty, no Unicode space, no plus: what may name a key or a log. */
export function isKeyName(name: string): boolean {
  return name !== '' && name.isWellFormed() && !/[\s+\u0085]/u.test(name) && !CONTROL.test(name) && name.length <= 512;
}

/** @throws MalformedNote for everything that `formatNote` would not write. */
export function parseNote(bytes: string | Uint8Array): Note {
  const source = typeof bytes === 'string' ? bytes : decode(bytes);
  if (Buffer.byteLength(source) > MAX_NOTE_BYTES) throw new MalformedNote(`longer than ${MAX_NOTE_BYTES} bytes`);
  if (!source.isWellFormed() || CONTROL.test(source)) throw new MalformedNote('not UTF-8 text without control characters');
  const split = source.lastIndexOf('\n\n');
  if (split < 0) throw new MalformedNote('no empty line before the signatures');
  if (!source.endsWith('\n')) throw new MalformedNote('does not end in a newline');
  const lines = source.slice(split + 2, -1).split('\n');
  if (split + 2 >= source.length) throw new MalformedNote('no signature');
  if (lines.length > MAX_SIGNATURES) throw new MalformedNote(`more than ${MAX_SIGNATURES} signatures`);
  const note = { text: source.slice(0, split + 1), signatures: lines.map(parseSignature) };
  if (formatNote(note) !== source) throw new MalformedNote('not in its only spelling');
  return note;
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // The decoder's own message says nothing more than this.
    throw new MalformedNote('not UTF-8');
  }
}

function parseSignature(line: string): NoteSignature {
  const match = SIGNATURE_LINE.exec(line);
  const blob = match === null ? undefined : parseBase64(match[2] as string);
  if (match === null || blob === undefined || blob.length < 5 || !isKeyName(match[1] as string)) {
    throw new MalformedNote(`not a signature line: ${JSON.stringify(line.slice(0, 80))}`);
  }
  return { name: match[1] as string, keyId: blob.readUInt32BE(0), signature: blob.subarray(4) };
}

/** The inverse of `parseNote`. */
export function formatNote(note: Note): string {
  const lines = note.signatures.map(({ name, keyId, signature }) => {
    const id = Buffer.alloc(4);
    id.writeUInt32BE(keyId);
    return `\u2014 ${name} ${Buffer.concat([id, signature]).toString('base64')}\n`;
  });
  return `${note.text}\n${lines.join('')}`;
}

export interface NoteVerifier {
  readonly name: string;
  readonly keyId: number;
  /** Its text form: `<name>+<id>+<key>`. */
  readonly vkey: string;
  verify(text: Uint8Array, signature: Uint8Array): boolean;
}
export interface NoteSigner {
  readonly name: string;
  readonly keyId: number;
  readonly verifier: NoteVerifier;
  /** Its text form, to be kept secret: `PRIVATE+KEY+…`. */
  readonly skey: string;
  sign(text: Uint8Array): Buffer;
}

function verifierOf(name: string, publicKey: Buffer): NoteVerifier {
  const key = publicKeyFrom(publicKey);
  const keyId = keyIdOf(name, NOTE_KEY, publicKey);
  return {
    name,
    keyId,
    vkey: formatKey(name, keyId, NOTE_KEY, publicKey),
    verify: (text, signature) => signature.length === 64 && verify(null, text, key, signature),
  };
}

/** @throws MalformedKey unless it is an Ed25519 vkey whose id fits name and key. */
export function parseVerifierKey(vkey: string): NoteVerifier {
  const parts = splitKey(vkey, NOTE_KEY);
  if (parts === undefined || !isKeyName(parts.name))
    throw new MalformedKey('not a verifier key <name>+<id>+<base64 of 01 and an Ed25519 key>');
  const verifier = verifierOf(parts.name, parts.key);
  if (parts.keyId !== verifier.keyId) throw new MalformedKey('the key id does not belong to that name and key');
  return verifier;
}

const PRIVATE = 'PRIVATE+KEY+';

/** @throws MalformedKey unless it is an Ed25519 skey whose id fits name and key. Never says what it read. */
export function parseSignerKey(skey: string): NoteSigner {
  const parts = skey.startsWith(PRIVATE) ? splitKey(skey.slice(PRIVATE.length), NOTE_KEY) : undefined;
  if (parts === undefined || !isKeyName(parts.name))
    throw new MalformedKey('not a signer key PRIVATE+KEY+<name>+<id>+<base64 of 01 and an Ed25519 seed>');
  const signer = signerOf(parts.name, parts.key);
  if (parts.keyId !== signer.keyId) throw new MalformedKey('the key id does not belong to that name and key');
  return signer;
}

function signerOf(name: string, seed: Buffer): NoteSigner {
  const key = privateKeyFrom(seed);
  const verifier = verifierOf(name, publicBytesOf(key));
  return {
    name,
    keyId: verifier.keyId,
    verifier,
    skey: `${PRIVATE}${formatKey(name, verifier.keyId, NOTE_KEY, seed)}`,
    sign: (text) => sign(null, text, key),
  };
}

/** A new Ed25519 key. @throws MalformedKey for a name with spaces or a plus. */
export function generateSigner(name: string): NoteSigner {
  if (!isKeyName(name)) throw new MalformedKey('a key name has no spaces and no plus');
  return signerOf(name, newSeed());
}

/** @throws MalformedNote for a text that no note can hold. */
export function signNote(text: string, ...signers: readonly NoteSigner[]): string {
  const bytes = Buffer.from(text, 'utf8');
  const signatures = signers.map((signer) => ({ name: signer.name, keyId: signer.keyId, signature: signer.sign(bytes) }));
  const note = formatNote({ text, signatures });
  parseNote(note);
  return note;
}

/**
 * The note, when at least one of the keys signed it; signatures of unknown keys are ignored, as the specification asks.
 * @throws MalformedNote, or UnverifiedNote when no known key signed it or one of their signatures is wrong.
 */
export function openNote(
  bytes: string | Uint8Array,
  verifiers: readonly NoteVerifier[],
): Note & { readonly verified: readonly NoteSignature[] } {
  const note = parseNote(bytes);
  const text = Buffer.from(note.text, 'utf8');
  const verified: NoteSignature[] = [];
  for (const signature of note.signatures) {
    const verifier = verifiers.find(({ name, keyId }) => name === signature.name && keyId === signature.keyId);
    if (verifier === undefined) continue;
    if (!verifier.verify(text, signature.signature)) throw new UnverifiedNote(`the signature of ${signature.name} is wrong`);
    verified.push(signature);
  }
  if (verified.length === 0) throw new UnverifiedNote('no known key signed it');
  return { ...note, verified };
}
