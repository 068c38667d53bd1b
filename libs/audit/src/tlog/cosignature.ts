import { sign, verify } from 'node:crypto';
import { COSIGNATURE_KEY, formatKey, keyIdOf, newSeed, privateKeyFrom, publicBytesOf, publicKeyFrom, splitKey } from './ed25519.js';
import { formatNote, isKeyName, MalformedKey, MalformedNote, parseNote, type Note, type NoteSignature, type NoteVerifier } from './note.js';

/*
 * C2SP tlog-cosignature, Ed25519: a witness's statement that at a time, this was the largest consistent tree that it had seen of that log.
 * Signed are `cosignature/v1\n`, `time <seconds>\n` and the note's text; the signature is the time as 8 bytes big-endian and 64 bytes.
 */

const COSIGNATURE_BYTES = 8 + 64;
const PRIVATE = 'PRIVATE+KEY+';

export interface Cosigner {
  readonly name: string;
  readonly keyId: number;
  /** Verifies cosignatures where a note's verifiers are asked for. */
  readonly verifier: NoteVerifier;
  /** Its text form, to be kept secret. */
  readonly skey: string;
  /** @param seconds since the epoch */
  cosign(text: string, seconds: number): NoteSignature;
}

/** @throws MalformedKey unless it is the vkey of an Ed25519 cosigner whose id fits name and key. */
export function parseCosignerKey(vkey: string): NoteVerifier {
  const parts = splitKey(vkey, COSIGNATURE_KEY);
  if (parts === undefined || !isKeyName(parts.name))
    throw new MalformedKey('not a witness key <name>+<id>+<base64 of 04 and an Ed25519 key>');
  const verifier = verifierOf(parts.name, parts.key);
  if (parts.keyId !== verifier.keyId) throw new MalformedKey('the key id does not belong to that name and key');
  return verifier;
}

/** @throws MalformedKey; never says what it read. */
export function parseCosignerSecret(skey: string): Cosigner {
  const parts = skey.startsWith(PRIVATE) ? splitKey(skey.slice(PRIVATE.length), COSIGNATURE_KEY) : undefined;
  if (parts === undefined || !isKeyName(parts.name))
    throw new MalformedKey('not a witness key PRIVATE+KEY+<name>+<id>+<base64 of 04 and an Ed25519 seed>');
  const cosigner = cosignerOf(parts.name, parts.key);
  if (parts.keyId !== cosigner.keyId) throw new MalformedKey('the key id does not belong to that name and key');
  return cosigner;
}

/** A new key. @throws MalformedKey for a name with spaces or a plus. */
export function generateCosigner(name: string): Cosigner {
  if (!isKeyName(name)) throw new MalformedKey('a key name has no spaces and no plus');
  return cosignerOf(name, newSeed());
}

/** When the witness says that it signed, seconds; undefined for what is no cosignature. */
export function cosignedAt(signature: Uint8Array): number | undefined {
  if (signature.length !== COSIGNATURE_BYTES) return undefined;
  const seconds = Buffer.from(signature).readBigUInt64BE(0);
  return seconds <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(seconds) : undefined;
}

/** A note with more signatures below its own: as the log serves it. Signatures that stand there already are not repeated. */
export function withSignatures(note: string, more: readonly NoteSignature[]): string {
  const { text, signatures } = parseNote(note);
  const known = (one: NoteSignature): boolean =>
    signatures.some(({ name, keyId, signature }) => name === one.name && keyId === one.keyId && signature.equals(one.signature));
  return formatNote({ text, signatures: [...signatures, ...more.filter((one) => !known(one))] });
}

/** Lines `— <name> <base64>`, as a witness answers. @throws MalformedNote */
export function parseSignatureLines(text: string): Note['signatures'] {
  const note = parseNote(`.\n\n${text}`);
  if (note.text !== '.\n') throw new MalformedNote('not signature lines alone');
  return note.signatures;
}
export function formatSignatureLines(signatures: readonly NoteSignature[]): string {
  return formatNote({ text: '', signatures }).slice(1);
}

function message(text: Uint8Array, seconds: bigint): Buffer {
  return Buffer.concat([Buffer.from(`cosignature/v1\ntime ${seconds}\n`), text]);
}

function verifierOf(name: string, publicKey: Buffer): NoteVerifier {
  const key = publicKeyFrom(publicKey);
  const keyId = keyIdOf(name, COSIGNATURE_KEY, publicKey);
  return {
    name,
    keyId,
    vkey: formatKey(name, keyId, COSIGNATURE_KEY, publicKey),
    verify: (text, signature) => {
      if (cosignedAt(signature) === undefined) return false;
      const bytes = Buffer.from(signature);
      return verify(null, message(text, bytes.readBigUInt64BE(0)), key, bytes.subarray(8));
    },
  };
}

function cosignerOf(name: string, seed: Buffer): Cosigner {
  const key = privateKeyFrom(seed);
  const verifier = verifierOf(name, publicBytesOf(key));
  return {
    name,
    keyId: verifier.keyId,
    verifier,
    skey: `${PRIVATE}${formatKey(name, verifier.keyId, COSIGNATURE_KEY, seed)}`,
    cosign: (text, seconds) => {
      const time = Buffer.alloc(8);
      time.writeBigUInt64BE(BigInt(seconds));
      const signature = Buffer.concat([time, sign(null, message(Buffer.from(text), BigInt(seconds)), key)]);
      return { name, keyId: verifier.keyId, signature };
    },
  };
}
