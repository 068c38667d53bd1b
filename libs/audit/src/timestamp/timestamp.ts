import { createHash } from 'node:crypto';
import { ContentInfo, id_signedData, SignedData } from '@peculiar/asn1-cms';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import { id_ct_tstInfo, MessageImprint, PKIStatus, TimeStampReq, TimeStampReqVersion, TimeStampResp, TSTInfo } from '@peculiar/asn1-tsp';
import { AlgorithmIdentifier } from '@peculiar/asn1-x509';

/*
 * RFC 3161. Checked here: that the authority granted it, and that the token is about this note and this request. Its signature and
 * certificates are for whoever relies on it: `openssl ts -verify` with the authority's certificate.
 */

const SHA256 = '2.16.840.1.101.3.4.2.1';
export const TIMESTAMP_QUERY = 'application/timestamp-query';
export const TIMESTAMP_REPLY = 'application/timestamp-reply';
export const MAX_TIMESTAMP_BYTES = 256 * 1024;
export const NONCE_BYTES = 16;

export class TimestampRefused extends Error {
  override readonly name = 'TimestampRefused';
}

/** DER of a request for a token on SHA-256 of those bytes, certificates included. */
export function timestampRequest(bytes: Uint8Array, nonce: Uint8Array): Buffer {
  const request = new TimeStampReq({
    version: TimeStampReqVersion.v1,
    messageImprint: new MessageImprint({
      hashAlgorithm: new AlgorithmIdentifier({ algorithm: SHA256, parameters: null }),
      hashedMessage: new OctetString(imprintOf(bytes)),
    }),
    nonce: integer(nonce),
    certReq: true,
  });
  return Buffer.from(AsnConvert.serialize(request));
}

/**
 * When the authority says that it saw those bytes, ms.
 * @throws TimestampRefused when it did not grant the token, or the token is about something else
 */
export function readTimestamp(response: Uint8Array, bytes: Uint8Array, nonce: Uint8Array): number {
  const { status, timeStampToken } = parsed(() => AsnConvert.parse(response, TimeStampResp));
  if (status.status !== PKIStatus.granted && status.status !== PKIStatus.grantedWithMods)
    throw new TimestampRefused(`the authority did not grant it: status ${status.status}${said(status.statusString)}`);
  if (timeStampToken === undefined) throw new TimestampRefused('the authority granted it without a token');
  const info = parsed(() => {
    const content = AsnConvert.parse(AsnConvert.serialize(timeStampToken), ContentInfo);
    if (content.contentType !== id_signedData) throw new TimestampRefused('the token is not signed data');
    const { encapContentInfo } = AsnConvert.parse(content.content, SignedData);
    const inner = encapContentInfo.eContent?.single;
    if (encapContentInfo.eContentType !== id_ct_tstInfo || inner === undefined) throw new TimestampRefused('the token holds no timestamp');
    return AsnConvert.parse(inner.buffer, TSTInfo);
  });
  const { hashAlgorithm, hashedMessage } = info.messageImprint;
  if (hashAlgorithm.algorithm !== SHA256 || !Buffer.from(hashedMessage.buffer).equals(Buffer.from(imprintOf(bytes))))
    throw new TimestampRefused('the token is about other bytes');
  if (info.nonce === undefined || !Buffer.from(info.nonce).equals(Buffer.from(integer(nonce))))
    throw new TimestampRefused('the token answers another request');
  return info.genTime.getTime();
}

function imprintOf(bytes: Uint8Array): ArrayBuffer {
  return view(createHash('sha256').update(bytes).digest());
}

/** As DER writes a positive integer: no needless zero in front, and one where the first bit would mean a minus. */
function integer(bytes: Uint8Array): ArrayBuffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const rest = Buffer.from(bytes.subarray(start));
  return view((rest[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), rest]) : rest);
}

function view(bytes: Buffer): ArrayBuffer {
  return Uint8Array.from(bytes).buffer;
}

function said(text: readonly string[] | undefined): string {
  return text === undefined || text.length === 0 ? '' : `, ${JSON.stringify(text.join(' ').slice(0, 200))}`;
}

function parsed<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof TimestampRefused) throw error;
    throw new TimestampRefused('the answer is no timestamp', { cause: error });
  }
}
