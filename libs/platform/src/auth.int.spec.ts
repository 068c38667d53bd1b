import type { webcrypto } from 'node:crypto';
import http from 'node:http';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { createTokenVerifier, remoteKeys } from './auth.js';
import { freePort } from './embedded-postgres.js';

describe("an issuer's published keys", () => {
  let port: number;
  let issuer: http.Server;
  let asked = 0;
  let privateKey: webcrypto.CryptoKey;
  const serve = (body: string) =>
    new Promise<void>((resolve) => {
      issuer = http.createServer((_request, response) => {
        asked++;
        response.setHeader('content-type', 'application/json').end(body);
      });
      issuer.listen(port, '127.0.0.1', resolve);
    });
  const close = () => new Promise<void>((resolve) => (issuer.closeAllConnections(), issuer.close(() => resolve())));
  const token = (kid: string) =>
    new SignJWT({ roles: ['reader'] })
      .setProtectedHeader({ alg: 'EdDSA', kid })
      .setIssuer('https://issuer.example')
      .setAudience('fabula')
      .setSubject('ann')
      .setExpirationTime('1h')
      .sign(privateKey);

  beforeAll(async () => {
    port = await freePort();
    const pair = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
    privateKey = pair.privateKey;
    await serve(JSON.stringify({ keys: [{ ...(await exportJWK(pair.publicKey)), kid: 'one', alg: 'EdDSA' }] }));
  });
  afterAll(close);

  test('are fetched, an unknown key id is refused without a fetch per token, and an outage of the issuer shuts nobody out', async () => {
    const keysUri = new URL(`http://127.0.0.1:${port}/jwks.json`);
    const rules = { issuer: 'https://issuer.example', audience: 'fabula', clockToleranceSeconds: 0 };
    const verifier = createTokenVerifier({ ...rules, keys: remoteKeys(keysUri) });
    expect((await verifier.verify(await token('one'))).subject).toBe('ann');
    expect(asked).toBe(1);
    for (const kid of ['two', 'three', 'four'])
      await expect(verifier.verify(await token(kid))).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    expect(asked).toBe(1);

    // Keys that are always too old: each verification wants new ones.
    const forgetful = createTokenVerifier({ ...rules, keys: remoteKeys(keysUri, { maxAgeMs: 0 }) });
    await forgetful.verify(await token('one'));
    await forgetful.verify(await token('one'));
    expect(asked).toBe(3);
    await close();
    for (let count = 0; count < 3; count++) expect((await forgetful.verify(await token('one'))).subject).toBe('ann');

    // Who never had any key can only ask its callers to come back.
    const newcomer = createTokenVerifier({ ...rules, keys: remoteKeys(keysUri) });
    await expect(newcomer.verify(await token('one'))).rejects.toMatchObject({ code: 'OVERLOADED', retryable: true });
  });
});
