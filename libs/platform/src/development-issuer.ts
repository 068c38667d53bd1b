import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  calculateJwkThumbprint,
  createLocalJWKSet,
  exportJWK,
  generateKeyPair,
  importJWK,
  SignJWT,
  type JWK,
  type JWTVerifyGetKey,
} from 'jose';
import { errorCode } from './error-code.js';
import type { UserRole } from './user-roles.js';

export const DEVELOPMENT_ISSUER = 'http://localhost/fabula-development';
export const DEVELOPMENT_AUDIENCE = 'fabula-development';

export interface MintOptions {
  readonly sub: string;
  readonly roles: readonly UserRole[];
  /** Seconds; a day unless given. Below 0 mints an expired token, for tests. */
  readonly ttlSeconds?: number;
}

/** Issues tokens to whoever can read the data directory. For one's own machine only. */
export interface DevelopmentIssuer {
  readonly issuer: string;
  readonly audience: string;
  readonly keys: JWTVerifyGetKey;
  mintToken(options: MintOptions): Promise<string>;
}

/** Somebody asked for the development issuer in production. */
export class DevelopmentIssuerRefused extends Error {
  override readonly name = 'DevelopmentIssuerRefused';
  constructor() {
    super('The development issuer gives anybody any role and is refused when NODE_ENV=production: set AUTH_ISSUER and AUTH_AUDIENCE.');
  }
}

/**
 * Opens the issuer of a data directory, making its Ed25519 key (`development-issuer.json`, 0600) at first.
 * @throws DevelopmentIssuerRefused in production
 */
export async function openDevelopmentIssuer(dataDir: string, production: boolean): Promise<DevelopmentIssuer> {
  if (production) throw new DevelopmentIssuerRefused();
  const jwk = await keyOf(dataDir);
  const kid = await calculateJwkThumbprint(jwk);
  const key = await importJWK(jwk, 'EdDSA');
  const { d: _private, ...publicJwk } = jwk;
  return {
    issuer: DEVELOPMENT_ISSUER,
    audience: DEVELOPMENT_AUDIENCE,
    keys: createLocalJWKSet({ keys: [{ ...publicJwk, kid, alg: 'EdDSA', use: 'sig' }] }),
    mintToken({ sub, roles, ttlSeconds = 86_400 }) {
      const now = Math.floor(Date.now() / 1000);
      return new SignJWT({ roles: [...roles] })
        .setProtectedHeader({ alg: 'EdDSA', kid, typ: 'JWT' })
        .setIssuer(DEVELOPMENT_ISSUER)
        .setAudience(DEVELOPMENT_AUDIENCE)
        .setSubject(sub)
        .setIssuedAt(now)
        .setExpirationTime(now + ttlSeconds)
        .sign(key);
    },
  };
}

async function keyOf(dataDir: string): Promise<JWK> {
  await mkdir(dataDir, { recursive: true });
  const file = path.join(dataDir, 'development-issuer.json');
  for (let attempt = 0; ; attempt++) {
    try {
      return parseKey(await readFile(file, 'utf8'), file);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT' || attempt > 0) throw error;
    }
    const { privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
    try {
      await writeFile(file, JSON.stringify(await exportJWK(privateKey)), { flag: 'wx', mode: 0o600 });
    } catch (error) {
      // Another process made one at the same moment: theirs is read.
      if (errorCode(error) !== 'EEXIST') throw error;
    }
  }
}

function parseKey(text: string, file: string): JWK {
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed !== 'object' || parsed === null || !('kty' in parsed) || parsed.kty !== 'OKP' || !('d' in parsed))
    throw new Error(`${file} does not hold an Ed25519 key: remove it, and a new one is made.`);
  return parsed as JWK;
}
