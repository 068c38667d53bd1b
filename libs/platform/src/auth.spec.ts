import { mkdtemp, rm, stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { createLocalJWKSet, exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose';
import { createTokenVerifier, type TokenVerifier } from './auth.js';
import { DevelopmentIssuerRefused, openDevelopmentIssuer, type DevelopmentIssuer } from './development-issuer.js';

describe('tokens', () => {
  let dir: string;
  let issuer: DevelopmentIssuer;
  let verifier: TokenVerifier;
  beforeAll(async () => {
    dir = await mkdtemp(path.join(os.tmpdir(), 'fabula-issuer-'));
    issuer = await openDevelopmentIssuer(dir, false);
    verifier = createTokenVerifier({ ...issuer, clockToleranceSeconds: 30 });
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  test('of the development issuer give the subject and the known roles', async () => {
    const identity = await verifier.verify(await issuer.mintToken({ sub: 'ann', roles: ['reader', 'author'] }));
    expect(identity.subject).toBe('ann');
    expect([...identity.roles].sort()).toEqual(['author', 'reader']);
    expect(identity.expiresAt).toBeGreaterThan(Date.now());
  });

  test('stay good over a restart, because the key is kept, readable by its owner alone', async () => {
    const token = await issuer.mintToken({ sub: 'ann', roles: [] });
    const again = await openDevelopmentIssuer(dir, false);
    expect((await createTokenVerifier({ ...again, clockToleranceSeconds: 0 }).verify(token)).subject).toBe('ann');
    expect((await stat(path.join(dir, 'development-issuer.json'))).mode & 0o777).toBe(0o600);
  });

  test('are not issued here in production', async () => {
    await expect(openDevelopmentIssuer(dir, true)).rejects.toThrow(DevelopmentIssuerRefused);
  });

  describe('are refused', () => {
    const claims = (subject: string | undefined) => {
      const jwt = new SignJWT({ roles: ['admin'] }).setIssuer(issuer.issuer).setAudience(issuer.audience).setExpirationTime('1h');
      return subject === undefined ? jwt : jwt.setSubject(subject);
    };
    const cases: Record<string, () => Promise<string>> = {
      'when expired': () => issuer.mintToken({ sub: 'ann', roles: [], ttlSeconds: -60 }),
      'when unsigned': async () =>
        new UnsecuredJWT({ roles: ['admin'] })
          .setSubject('ann')
          .setIssuer(issuer.issuer)
          .setAudience(issuer.audience)
          .setExpirationTime('1h')
          .encode(),
      'when signed by another key': async () => {
        const { privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519' });
        return claims('ann').setProtectedHeader({ alg: 'EdDSA' }).sign(privateKey);
      },
      'when signed with a shared secret': () => claims('ann').setProtectedHeader({ alg: 'HS256' }).sign(new Uint8Array(32)),
      'when the signature was changed': async () => {
        const token = await issuer.mintToken({ sub: 'ann', roles: [] });
        return `${token.slice(0, -8)}${token.endsWith('AAAAAAAA') ? 'BBBBBBBB' : 'AAAAAAAA'}`;
      },
      'when they are no token at all': async () => 'not.a.token',
      'when empty': async () => '',
      'when longer than any honest one': async () => 'a'.repeat(100_000),
    };
    test.each(Object.keys(cases))('%s', async (name) => {
      const token = (await cases[name]?.()) ?? '';
      await expect(verifier.verify(token)).rejects.toMatchObject({ name: 'FabulaError', code: 'UNAUTHENTICATED' });
    });

    test('when of another issuer, for another audience, without end, without subject or with an unusable one', async () => {
      const { privateKey, publicKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
      const keys = createLocalJWKSet({ keys: [{ ...(await exportJWK(publicKey)), alg: 'EdDSA' }] });
      const mine = createTokenVerifier({ issuer: issuer.issuer, audience: issuer.audience, keys, clockToleranceSeconds: 0 });
      const sign = (jwt: SignJWT) => jwt.setProtectedHeader({ alg: 'EdDSA' }).sign(privateKey);
      expect((await mine.verify(await sign(claims('ann')))).subject).toBe('ann');
      const endless = new SignJWT({}).setIssuer(issuer.issuer).setAudience(issuer.audience).setSubject('ann');
      const bad = [claims('ann').setIssuer('https://evil.example'), claims('ann').setAudience('other'), endless, claims(undefined)];
      for (const jwt of [...bad, claims(''), claims('x\0'), claims('x'.repeat(300))])
        await expect(mine.verify(await sign(jwt))).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    });
  });

  test('with unknown or malformed roles give none of them', async () => {
    const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
    const keys = createLocalJWKSet({ keys: [await exportJWK(publicKey)] });
    const mine = createTokenVerifier({ issuer: 'https://i.example', audience: 'a', keys, clockToleranceSeconds: 0 });
    for (const roles of [['god', 'reader', 7], 'admin', { admin: true }, null]) {
      const jwt = new SignJWT({ roles }).setIssuer('https://i.example').setAudience('a').setSubject('s').setExpirationTime('1h');
      const identity = await mine.verify(await jwt.setProtectedHeader({ alg: 'ES256' }).sign(privateKey));
      expect([...identity.roles]).toEqual(Array.isArray(roles) ? ['reader'] : []);
    }
  });
});
