import { createPrivateKey, createPublicKey, generateKeyPairSync, hash, type KeyObject } from 'node:crypto';
import { parseBase64, parseHex } from './strict.js';

/*
 * Keys as C2SP signed-note writes them: <name>+<key id, 8 hex>+<base64(type ‖ 32 bytes)>. The type says what is signed with an Ed25519 key:
 * 01 the note's text, 04 a timestamped cosignature of it. The id binds name, type and key.
 */

export const NOTE_KEY = 0x01;
export const COSIGNATURE_KEY = 0x04;
export type KeyType = typeof NOTE_KEY | typeof COSIGNATURE_KEY;

const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

/** First four bytes of SHA-256(name ‖ 0x0A ‖ type ‖ public key). */
export function keyIdOf(name: string, type: KeyType, publicKey: Uint8Array): number {
  return hash('sha256', Buffer.concat([Buffer.from(`${name}\n`), Buffer.from([type]), publicKey]), 'buffer').readUInt32BE(0);
}

export function formatKey(name: string, keyId: number, type: KeyType, key: Uint8Array): string {
  return `${name}+${keyId.toString(16).padStart(8, '0')}+${Buffer.concat([Buffer.from([type]), key]).toString('base64')}`;
}

/** Name, id and the 32 bytes; undefined for any other spelling or type. Whether the id fits is for the caller to say. */
export function splitKey(
  text: string,
  type: KeyType,
): { readonly name: string; readonly keyId: number | undefined; readonly key: Buffer } | undefined {
  // Name and id hold no plus; the base64 after the second one may.
  const first = text.indexOf('+');
  const second = text.indexOf('+', first + 1);
  if (first < 0 || second < 0) return undefined;
  const bytes = parseBase64(text.slice(second + 1), 33);
  if (bytes === undefined || bytes[0] !== type) return undefined;
  return { name: text.slice(0, first), keyId: parseHex(text.slice(first + 1, second), 4)?.readUInt32BE(0), key: bytes.subarray(1) };
}

export function publicKeyFrom(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: 'der', type: 'spki' });
}
export function privateKeyFrom(seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
}
export function publicBytesOf(privateKey: KeyObject): Buffer {
  return createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(SPKI_PREFIX.length);
}
/** 32 fresh bytes of a private key. */
export function newSeed(): Buffer {
  return generateKeyPairSync('ed25519').privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(PKCS8_PREFIX.length);
}
