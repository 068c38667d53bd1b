import path from 'node:path';
import { createLocalJWKSet, createRemoteJWKSet, customFetch, errors, jwtVerify, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import type { Config } from './config.js';
import { openDevelopmentIssuer, type DevelopmentIssuer } from './development-issuer.js';
import { errorText } from './error-code.js';
import { FabulaError } from './errors.js';
import { boundedText, discoveredKeys } from './oidc-discovery.js';
import { RememberedKeys } from './remembered-keys.js';
import { USER_ROLES, type UserRole } from './user-roles.js';

/** Who sent a request, as a checked token says. */
export interface Identity {
  /** The issuer's name for the person. Never recorded: records carry a pseudonym. */
  readonly subject: string;
  readonly roles: ReadonlySet<UserRole>;
  /** When the token ends, ms since the epoch. */
  readonly expiresAt: number;
}

export interface TokenVerifier {
  /** @throws FabulaError UNAUTHENTICATED, or OVERLOADED (retryable) when the issuer's keys were never reached. */
  verify(token: string): Promise<Identity>;
}

export interface TokenRules {
  readonly issuer: string;
  readonly audience: string;
  readonly keys: JWTVerifyGetKey;
  readonly clockToleranceSeconds: number;
}

/** Asymmetric only: with a shared secret every verifier could make tokens, and `none` is not on any list. */
const ALGORITHMS = ['EdDSA', 'RS256', 'ES256'];
const MAX_TOKEN_LENGTH = 8_192;
const MAX_SUBJECT_LENGTH = 255;
/** At most one fetch of keys per so many ms, whatever key ids callers make up. */
const KEYS_COOLDOWN_MS = 30_000;
const KEYS_MAX_AGE_MS = 600_000;
const KEYS_TIMEOUT_MS = 5_000;
const MAX_KEYS_BYTES = 256 * 1024;

/** The verifier that the configuration asks for, and the development issuer when it is that one. */
export async function createAuth(
  config: Config,
  onProblem?: (problem: string) => void,
): Promise<{ verifier: TokenVerifier; developmentIssuer: DevelopmentIssuer | undefined }> {
  const clockToleranceSeconds = config.authClockToleranceSeconds;
  if (config.authIssuer !== undefined && config.authAudience !== undefined) {
    const { authIssuer: issuer, authAudience: audience, authJwksUri } = config;
    const file = new RememberedKeys(path.join(config.dataDir, 'issuer-keys.json'), issuer);
    const remembered = await file.read();
    const onKeys = (jwks: JSONWebKeySet): void =>
      void file.keep(jwks).catch((error: unknown) => onProblem?.(`the keys of the token issuer cannot be remembered: ${errorText(error)}`));
    const keysAt = (uri: URL): JWTVerifyGetKey => remoteKeys(uri, { remembered, onKeys });
    const meanwhile = remembered === undefined ? undefined : createLocalJWKSet(remembered);
    const keys = authJwksUri === undefined ? discoveredKeys(issuer, { keysAt, meanwhile, onProblem }) : keysAt(new URL(authJwksUri));
    const rules = { issuer, audience, keys, clockToleranceSeconds };
    return { verifier: createTokenVerifier(rules), developmentIssuer: undefined };
  }
  const developmentIssuer = await openDevelopmentIssuer(config.dataDir, config.production);
  const { issuer, audience, keys } = developmentIssuer;
  return { verifier: createTokenVerifier({ issuer, audience, keys, clockToleranceSeconds }), developmentIssuer };
}

export function createTokenVerifier(rules: TokenRules): TokenVerifier {
  return {
    async verify(token) {
      if (token.length > MAX_TOKEN_LENGTH) throw refused('the token is too long');
      try {
        const { payload } = await jwtVerify(token, rules.keys, {
          algorithms: ALGORITHMS,
          issuer: rules.issuer,
          audience: rules.audience,
          clockTolerance: rules.clockToleranceSeconds,
          requiredClaims: ['exp', 'sub'],
        });
        const { sub: subject, exp } = payload;
        if (!isSubject(subject) || exp === undefined) throw refused('the claim sub is not a usable name');
        return { subject, roles: rolesOf(payload.roles), expiresAt: exp * 1000 };
      } catch (error) {
        if (error instanceof FabulaError) throw error;
        throw refused(reason(error), error);
      }
    },
  };
}

export interface KeysOptions {
  /** How long keys are taken for new. */
  readonly maxAgeMs?: number | undefined;
  /** After how long the issuer is asked again for an unknown key. */
  readonly cooldownMs?: number | undefined;
  /** What serves until the issuer has answered once. */
  readonly remembered?: JSONWebKeySet | undefined;
  /** Told of every set that was fetched. */
  readonly onKeys?: (jwks: JSONWebKeySet) => void;
}

/**
 * The issuer's keys, fetched when first needed, when they are old and when an unknown key id comes. While the issuer is down the
 * last good ones serve on, and it is asked again once per cool-down only, so that callers do not wait for it one by one.
 */
export function remoteKeys(uri: URL, options: KeysOptions = {}): JWTVerifyGetKey {
  const { maxAgeMs = KEYS_MAX_AGE_MS, cooldownMs = KEYS_COOLDOWN_MS, remembered, onKeys } = options;
  const remote = createRemoteJWKSet(uri, {
    cooldownDuration: cooldownMs,
    cacheMaxAge: maxAgeMs,
    timeoutDuration: KEYS_TIMEOUT_MS,
    [customFetch]: (url: string, init: RequestInit) => fetchBounded(url, init, onKeys),
  });
  let failure: { readonly until: number; readonly cause: unknown } | undefined;
  return async (header, token) => {
    if (failure === undefined || Date.now() >= failure.until) {
      try {
        const key = await remote(header, token);
        failure = undefined;
        return key;
      } catch (error) {
        if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) throw error;
        // Without any key nobody gets in: then it is worth asking sooner.
        failure = { until: Date.now() + (remote.jwks() === undefined ? 1_000 : cooldownMs), cause: error };
      }
    }
    const lastGood = remote.jwks() ?? remembered;
    if (lastGood !== undefined) return createLocalJWKSet(lastGood)(header, token);
    throw new FabulaError('OVERLOADED', 'The keys of the token issuer cannot be fetched at present.', { cause: failure.cause });
  };
}

async function fetchBounded(url: string, options: RequestInit, onKeys: KeysOptions['onKeys']): Promise<Response> {
  const response = await fetch(url, options);
  const text = await boundedText(response, MAX_KEYS_BYTES);
  if (response.status === 200 && onKeys !== undefined) {
    const jwks = JSON.parse(text) as JSONWebKeySet | null;
    if (Array.isArray(jwks?.keys)) onKeys(jwks);
  }
  return new Response(text, { status: response.status, headers: response.headers });
}

function isSubject(subject: unknown): subject is string {
  return (
    typeof subject === 'string' &&
    subject !== '' &&
    subject.length <= MAX_SUBJECT_LENGTH &&
    subject.isWellFormed() &&
    !subject.includes('\0')
  );
}

/** Roles we do not know give nothing. */
function rolesOf(claim: unknown): ReadonlySet<UserRole> {
  const given: readonly unknown[] = Array.isArray(claim) ? claim : [];
  return new Set(USER_ROLES.filter((role) => given.includes(role)));
}

function refused(why: string, cause?: unknown): FabulaError {
  return new FabulaError('UNAUTHENTICATED', `No valid token: ${why}.`, { cause });
}

/** Words for the caller: which rule failed, nothing of the token itself. */
function reason(error: unknown): string {
  if (error instanceof errors.JWTExpired) return 'it has expired';
  if (error instanceof errors.JWTClaimValidationFailed) return `the claim ${error.claim} is missing or wrong`;
  if (error instanceof errors.JOSEAlgNotAllowed) return 'its algorithm is not allowed';
  if (error instanceof errors.JWKSNoMatchingKey) return 'its key is unknown';
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'its signature is wrong';
  return error instanceof errors.JOSEError ? 'it is malformed' : errorText(error);
}
