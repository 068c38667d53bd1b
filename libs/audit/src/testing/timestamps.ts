import { createHash } from 'node:crypto';

const der = (tag: number, ...parts: readonly (Buffer | readonly number[])[]): Buffer => {
  const content = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const length = content.length < 0x80 ? [content.length] : [0x82, content.length >> 8, content.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
};
const sequence = (...parts: readonly Buffer[]): Buffer => der(0x30, ...parts);
const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, 'hex'));
const number = (value: number): Buffer => der(0x02, [value]);
const SHA256 = sequence(oid('608648016503040201'));
const ECDSA_SHA256 = sequence(oid('2a8648ce3d040302'));
const TST_INFO = oid('2a864886f70d0109100104');

/** An answer that grants a token on those bytes, built as RFC 3161 says, without a certificate: nobody can check its signature. */
export function timestampOn(note: string, at: number): Buffer {
  const hash = createHash('sha256').update(note).digest();
  const time = `${new Date(at).toISOString().slice(0, 19).replaceAll(/[-:T]/g, '')}Z`;
  const info = sequence(number(1), oid('2a03'), sequence(SHA256, der(0x04, hash)), number(7), der(0x18, Buffer.from(time)));
  const signer = sequence(number(1), sequence(), SHA256, der(0xa0), ECDSA_SHA256, der(0x04, [0]));
  const signed = sequence(number(3), der(0x31, SHA256), sequence(TST_INFO, der(0xa0, der(0x04, info))), der(0x31, signer));
  return sequence(sequence(number(0)), sequence(oid('2a864886f70d010702'), der(0xa0, signed)));
}
