import type { JWTVerifyGetKey } from 'jose';
import { errorText } from './error-code.js';
import { FabulaError } from './errors.js';

/** A provider's metadata is a page of text; keys are a few kilobytes. */
const MAX_METADATA_BYTES = 128 * 1024;
const TIMEOUT_MS = 5_000;
/** Where an issuer keeps its keys hardly ever changes; it is looked up again this often all the same. */
const LOOK_AGAIN_MS = 3_600_000;
/** After a failure, however many tokens come meanwhile: with keys that still serve, and without any. */
const COOLDOWN_MS = 30_000;
const COOLDOWN_WITHOUT_KEYS_MS = 1_000;

/** What was read is no metadata of this issuer: somebody has to look at its configuration, or at ours. */
export class BadIssuerMetadata extends Error {
  override readonly name = 'BadIssuerMetadata';
}

export interface DiscoveryOptions {
  readonly keysAt: (uri: URL) => JWTVerifyGetKey;
  /** Keys of an earlier run: what serves while the issuer has not answered yet. */
  readonly meanwhile?: JWTVerifyGetKey | undefined;
  readonly now?: () => number;
  readonly onProblem?: ((problem: string) => void) | undefined;
}

/**
 * The issuer's keys from where its `/.well-known/openid-configuration` says (OpenID Connect Discovery 1.0). Looked up when the first token
 * comes, one look-up at a time; while that fails, keys found before serve on.
 */
export function discoveredKeys(issuer: string, { keysAt, meanwhile, now = Date.now, onProblem }: DiscoveryOptions): JWTVerifyGetKey {
  let found: { readonly uri: string; readonly keys: JWTVerifyGetKey } | undefined;
  let lookAgainAt = 0;
  let cause: unknown;
  let looking: Promise<void> | undefined;

  const look = async (): Promise<void> => {
    try {
      const uri = await keysUriOf(issuer);
      // The same keys go on being remembered; only another address begins anew.
      if (found?.uri !== uri.href) found = { uri: uri.href, keys: keysAt(uri) };
      lookAgainAt = now() + LOOK_AGAIN_MS;
    } catch (error) {
      cause = error;
      lookAgainAt = now() + (found === undefined ? COOLDOWN_WITHOUT_KEYS_MS : COOLDOWN_MS);
      onProblem?.(`the metadata of the token issuer cannot be used: ${errorText(error)}`);
    }
  };

  return async (header, token) => {
    if (now() >= lookAgainAt) looking ??= look().finally(() => (looking = undefined));
    // Whoever has keys does not wait for the look-up.
    if (found === undefined) await looking;
    if (found === undefined && meanwhile !== undefined) return meanwhile(header, token);
    if (found === undefined)
      throw new FabulaError('OVERLOADED', 'The keys of the token issuer cannot be found at present.', { cause, retryAfterMs: 1_000 });
    return found.keys(header, token);
  };
}

/** @throws BadIssuerMetadata; the errors of `fetch` on an outage */
export async function keysUriOf(issuer: string): Promise<URL> {
  const address = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  // A redirect would let whoever answers at that address choose another issuer's metadata.
  const response = await fetch(address, {
    redirect: 'error',
    signal: AbortSignal.timeout(TIMEOUT_MS),
    headers: { accept: 'application/json' },
  });
  if (response.status !== 200) throw new BadIssuerMetadata(`${address} answers ${response.status}`);
  const text = await boundedText(response, MAX_METADATA_BYTES);
  let metadata: unknown;
  try {
    metadata = JSON.parse(text);
  } catch (error) {
    throw new BadIssuerMetadata(`${address} is not JSON`, { cause: error });
  }
  const { issuer: named, jwks_uri: keys } = (metadata ?? {}) as { readonly issuer?: unknown; readonly jwks_uri?: unknown };
  // Discovery 1.0 §4.3: exactly equal, or it is another's.
  if (named !== issuer) throw new BadIssuerMetadata(`${address} is of another issuer than AUTH_ISSUER`);
  if (typeof keys !== 'string' || !URL.canParse(keys)) throw new BadIssuerMetadata(`${address} names no jwks_uri`);
  const uri = new URL(keys);
  if (uri.protocol !== 'https:' && !(uri.protocol === 'http:' && isLoopback(uri.hostname)))
    throw new BadIssuerMetadata(`the jwks_uri of ${address} is not https; set AUTH_JWKS_URI if that is meant`);
  return uri;
}

const isLoopback = (host: string): boolean => host === 'localhost' || host === '[::1]' || /^127(?:\.[0-9]{1,3}){3}$/.test(host);

/** The body of an answer, read no further than it may be long. @throws BadIssuerMetadata */
export async function boundedText(response: Response, most: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    length += chunk.byteLength;
    if (length > most) throw new BadIssuerMetadata(`an answer of the token issuer is longer than ${most} bytes`);
    chunks.push(chunk);
  }
  return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
}
