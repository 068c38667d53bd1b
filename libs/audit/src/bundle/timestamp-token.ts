import { constants, createHash, verify, X509Certificate } from 'node:crypto';
import { MalformedDer, members, oidOf, readDer, type Der } from './der.js';

/*
 * RFC 3161 with RFC 5652 and RFC 5816, as far as Node alone can check a token: what it is about, and that its signature is that of the
 * certificate that it carries. Whether that certificate is one of an authority that you trust is OpenSSL's to say.
 */

const TST_INFO = '1.2.840.113549.1.9.16.1.4';
const SIGNED_DATA = '1.2.840.113549.1.7.2';
const CONTENT_TYPE = '1.2.840.113549.1.9.3';
const MESSAGE_DIGEST = '1.2.840.113549.1.9.4';
const SIGNING_CERTIFICATE = '1.2.840.113549.1.9.16.2.12';
const SIGNING_CERTIFICATE_V2 = '1.2.840.113549.1.9.16.2.47';
const FOR_TIMESTAMPS = '1.3.6.1.5.5.7.3.8';
const HASHES: Readonly<Record<string, string>> = {
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
};
const EDWARDS = '1.3.101.112';
const PSS = '1.2.840.113549.1.1.10';
/** Those that name their digest, and those that leave it to the field beside them. */
const SIGNATURES: Readonly<Record<string, string | null>> = {
  '1.2.840.113549.1.1.1': null,
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
  [PSS]: null,
  '1.2.840.10045.2.1': null,
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  [EDWARDS]: null,
};

export interface TimestampToken {
  /** When the authority says that it saw the bytes, ms. */
  readonly stampedAt: number;
  /** What it is about: the digest's name as Node has it, undefined for one that is not known here. */
  readonly digest: string | undefined;
  readonly hash: Buffer;
  /** Subject of the certificate that signed it; null: it carries none that it names. */
  readonly signer: string | null;
  /** Whether that certificate signed it; `not-checked`: it is not carried, or its algorithm is not known here. */
  readonly signature: 'verified' | 'wrong' | 'not-checked';
  /** Why that certificate is not good for it although it signed; null: nothing found. */
  readonly unfit: string | null;
}

/** Reads an answer of an authority, a `.tsr` file. @throws MalformedDer for anything but a granted token */
export function readTimestampToken(response: Buffer): TimestampToken {
  const [status, token] = members(readDer(response));
  const granted = status === undefined ? undefined : members(status)[0];
  if (granted === undefined || granted.tag !== 0x02 || granted.content.length !== 1 || (granted.content[0] ?? 2) > 1)
    throw new MalformedDer('the authority did not grant it');
  const [type, content] = members(present(token, 0x30));
  if (oidOf(present(type, 0x06)) !== SIGNED_DATA) throw new MalformedDer('the token is not signed data');
  const parts = members(present(members(present(content, 0xa0))[0], 0x30));
  const [innerType, inner] = members(present(parts[2], 0x30));
  const info = present(members(present(inner, 0xa0))[0], 0x04).content;
  if (oidOf(present(innerType, 0x06)) !== TST_INFO) throw new MalformedDer('the token holds no timestamp');
  const certificates = parts.find(({ tag }) => tag === 0xa0);
  const signers = members(present(parts.at(-1), 0x31));
  const [signer] = signers;
  if (signers.length !== 1 || signer === undefined) throw new MalformedDer('the token has not one signer');
  const { stampedAt, digest, hash } = readInfo(info);
  return { stampedAt, digest, hash, ...signedBy(signer, certificates === undefined ? [] : members(certificates), info, stampedAt) };
}

/** Why that token is not good for those bytes; null: nothing found. */
export function problemOf({ digest, hash, signature, unfit }: TimestampToken, bytes: Buffer): string | null {
  if (digest === undefined || !createHash(digest).update(bytes).digest().equals(hash)) return 'it is about other bytes';
  return signature === 'wrong' ? 'it is not signed by the certificate that it carries' : unfit;
}

function present(value: Der | undefined, tag: number): Der {
  if (value?.tag !== tag) throw new MalformedDer('the token is not built as RFC 3161 says');
  return value;
}

function readInfo(info: Buffer): Pick<TimestampToken, 'stampedAt' | 'digest' | 'hash'> {
  const [, , imprint, , time] = members(readDer(info));
  const [algorithm, hash] = members(present(imprint, 0x30));
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\.\d{1,9})?Z$/.exec(present(time, 0x18).content.toString('latin1'));
  if (match === null) throw new MalformedDer('the token has no time');
  const [, year, month, day, hour, minute, second, fraction = ''] = match;
  const stampedAt = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(stampedAt)) throw new MalformedDer('the token has no time');
  return {
    stampedAt: stampedAt + Math.floor(Number(`0${fraction}`) * 1_000),
    digest: HASHES[algorithmOf(algorithm)],
    hash: present(hash, 0x04).content,
  };
}

const algorithmOf = (identifier: Der | undefined): string => oidOf(present(members(present(identifier, 0x30))[0], 0x06));

function signedBy(
  signer: Der,
  certificates: readonly Der[],
  info: Buffer,
  stampedAt: number,
): Pick<TimestampToken, 'signer' | 'signature' | 'unfit'> {
  const [, , digestAlgorithm, attributes, signatureAlgorithm, signature] = members(present(signer, 0x30));
  // A timestamp always has signed attributes: among them which certificate is meant.
  const attribute = attributesOf(present(attributes, 0xa0));
  const certificate = namedCertificate(attribute, certificates);
  const digest = HASHES[algorithmOf(digestAlgorithm)];
  const scheme = algorithmOf(signatureAlgorithm);
  const named = SIGNATURES[scheme];
  const unchecked = { signer: subjectOf(certificate), signature: 'not-checked', unfit: null } as const;
  if (certificate === undefined || digest === undefined || named === undefined) return unchecked;
  const about = attribute.get(CONTENT_TYPE);
  const meant = attribute.get(MESSAGE_DIGEST);
  const held =
    about !== undefined &&
    oidOf(about) === TST_INFO &&
    meant !== undefined &&
    present(meant, 0x04).content.equals(createHash(digest).update(info).digest());
  // Signed is the set as it would stand alone (RFC 5652 §5.4).
  const signed = Buffer.concat([Buffer.from([0x31]), present(attributes, 0xa0).whole.subarray(1)]);
  const key = certificate.publicKey;
  const options = scheme === PSS ? { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO } : key;
  let right: boolean;
  try {
    right = verify(scheme === EDWARDS ? null : (named ?? digest), signed, options, present(signature, 0x04).content);
  } catch {
    // A key of another kind than the algorithm that is named.
    right = false;
  }
  return { ...unchecked, signature: held && right ? 'verified' : 'wrong', unfit: unfitness(certificate, stampedAt) };
}

function attributesOf(attributes: Der): ReadonlyMap<string, Der> {
  const found = new Map<string, Der>();
  for (const attribute of members(attributes)) {
    const [type, values] = members(present(attribute, 0x30));
    const [value] = members(present(values, 0x31));
    const name = oidOf(present(type, 0x06));
    if (value === undefined || found.has(name)) throw new MalformedDer('the token has an attribute without a value, or twice');
    found.set(name, value);
  }
  return found;
}

/** The carried certificate whose hash the signer names (RFC 5816, or with SHA-1 RFC 2634). */
function namedCertificate(attributes: ReadonlyMap<string, Der>, certificates: readonly Der[]): X509Certificate | undefined {
  const second = attributes.get(SIGNING_CERTIFICATE_V2);
  const said = second ?? attributes.get(SIGNING_CERTIFICATE);
  if (said === undefined) return undefined;
  const [list] = members(present(said, 0x30));
  const [first] = members(present(list, 0x30));
  const fields = members(present(first, 0x30));
  const algorithm = fields[0]?.tag === 0x30 ? HASHES[algorithmOf(fields[0])] : second === undefined ? 'sha1' : 'sha256';
  const hash = fields.find(({ tag }) => tag === 0x04)?.content;
  if (algorithm === undefined || hash === undefined) return undefined;
  const found = certificates.find(({ whole }) => createHash(algorithm).update(whole).digest().equals(hash));
  try {
    return found === undefined ? undefined : new X509Certificate(found.whole);
  } catch {
    throw new MalformedDer('the certificate in the token cannot be read');
  }
}

const subjectOf = (certificate: X509Certificate | undefined): string | null =>
  certificate === undefined ? null : certificate.subject.split('\n').toReversed().join(', ');

function unfitness(certificate: X509Certificate, at: number): string | null {
  if (!(certificate.keyUsage ?? []).includes(FOR_TIMESTAMPS)) return 'its certificate is not one for timestamps';
  if (at < Date.parse(certificate.validFrom) || at > Date.parse(certificate.validTo))
    return 'its certificate was not valid at the time that it names';
  return null;
}
