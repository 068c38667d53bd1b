import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { importJWK, SignJWT, type JWK } from 'jose';
import { IdentityProvider, signingKey } from '../../../test/support/identity-provider.js';
import { createAuth, createTokenVerifier, remoteKeys, type KeysOptions, type TokenVerifier } from './auth.js';
import { loadConfig } from './config.js';
import { freePort } from './embedded-postgres.js';
import { BadIssuerMetadata, discoveredKeys, keysUriOf } from './oidc-discovery.js';
import { REMEMBERED_FOR_MS, RememberedKeys } from './remembered-keys.js';

const METADATA = '/.well-known/openid-configuration';

describe("a real provider's tokens", () => {
  let provider: IdentityProvider;
  let [first, second]: JWK[] = [];
  beforeAll(async () => {
    provider = new IdentityProvider(await freePort());
    [first, second] = [await signingKey('first'), await signingKey('second')];
  });
  afterEach(() => provider.stop());

  function verifierOf(ages: KeysOptions = {}, now?: () => number): TokenVerifier {
    const keys = discoveredKeys(provider.issuer, {
      keysAt: (uri) => remoteKeys(uri, ages),
      ...(now === undefined ? {} : { now }),
    });
    return createTokenVerifier({ issuer: provider.issuer, audience: 'fabula', keys, clockToleranceSeconds: 0 });
  }
  const refused = { code: 'UNAUTHENTICATED' };

  test('are verified by what its metadata says, which is read once', async () => {
    await provider.start([first as JWK], ['compliance', 'superuser']);
    const verifier = verifierOf();
    const tokens = await Promise.all([provider.token(), provider.token(), provider.token()]);
    const identities = await Promise.all(tokens.map((token) => verifier.verify(token)));
    expect(identities.map(({ subject, roles }) => [subject, ...roles])).toEqual(tokens.map(() => ['a-service', 'compliance']));
    expect([provider.asked(METADATA), provider.asked('/jwks')]).toEqual([1, 1]);
  });

  test('are accepted over a rotation of its keys: the new at once, the old as long as it is published', async () => {
    await provider.start([first as JWK]);
    const verifier = verifierOf({ cooldownMs: 0 });
    const old = await provider.token();
    await verifier.verify(old);
    await provider.stop();
    await provider.start([second as JWK, first as JWK]);
    const fresh = await provider.token();
    expect((await verifier.verify(fresh)).subject).toBe('a-service');
    expect((await verifier.verify(old)).subject).toBe('a-service');
    await provider.stop();
    await provider.start([second as JWK]);
    // Keys that are always too old are fetched anew: the withdrawn one is gone.
    const later = verifierOf({ maxAgeMs: 0, cooldownMs: 0 });
    expect((await later.verify(fresh)).subject).toBe('a-service');
    await expect(later.verify(old)).rejects.toMatchObject(refused);
  });

  test('go on being accepted while it is down, and nobody new is told that their token is wrong', async () => {
    await provider.start([first as JWK]);
    let time = Date.now();
    const verifier = verifierOf({ maxAgeMs: 0, cooldownMs: 0 }, () => time);
    const token = await provider.token();
    await verifier.verify(token);
    await provider.stop();
    // Also when its metadata should be looked up again.
    time += 2 * 3_600_000;
    for (let n = 0; n < 3; n++) expect((await verifier.verify(token)).subject).toBe('a-service');
    await expect(verifierOf().verify(token)).rejects.toMatchObject({ code: 'OVERLOADED', retryable: true });
  });

  test('go on being accepted by a process that starts while it is down, for a day', async () => {
    await provider.start([first as JWK]);
    const dir = await mkdtemp(path.join(os.tmpdir(), 'fabula-keys-'));
    try {
      const config = loadConfig({ AUTH_ISSUER: provider.issuer, AUTH_AUDIENCE: 'fabula', FABULA_DATA_DIR: dir });
      const token = await provider.token();
      await (await createAuth(config)).verifier.verify(token);
      const file = path.join(dir, 'issuer-keys.json');
      // Written beside the answer: nobody waits for it.
      for (let n = 0; n < 200 && !existsSync(file); n++) await new Promise((resolve) => setImmediate(resolve));
      await provider.stop();
      expect((await (await createAuth(config)).verifier.verify(token)).subject).toBe('a-service');
      await expect((await createAuth(config)).verifier.verify(`${token.slice(0, -6)}AAAAAA`)).rejects.toMatchObject(refused);

      const tomorrow = new RememberedKeys(file, provider.issuer, () => Date.now() + REMEMBERED_FOR_MS);
      expect(await tomorrow.read()).toBeUndefined();
      expect(await new RememberedKeys(file, 'https://another.example').read()).toBeUndefined();
      await writeFile(file, (await readFile(file, 'utf8')).slice(0, 40));
      await expect((await createAuth(config)).verifier.verify(token)).rejects.toMatchObject({ code: 'OVERLOADED' });
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  test('of keys that are not its own are refused without asking it for each', async () => {
    await provider.start([first as JWK]);
    const verifier = verifierOf();
    await verifier.verify(await provider.token());
    const forged = async (kid: string): Promise<string> =>
      new SignJWT({ roles: ['admin'] })
        .setProtectedHeader({ alg: 'ES256', kid })
        .setIssuer(provider.issuer)
        .setAudience('fabula')
        .setSubject('mallory')
        .setExpirationTime('1h')
        .sign(await importJWK(second as JWK, 'ES256'));
    for (let n = 0; n < 200; n++) await expect(verifier.verify(await forged(`made-up-${n}`))).rejects.toMatchObject(refused);
    await expect(verifier.verify(await forged('first'))).rejects.toMatchObject(refused);
    expect([provider.asked(METADATA), provider.asked('/jwks')]).toEqual([1, 1]);
  });
});

describe('metadata of an issuer', () => {
  let server: http.Server;
  let answer: (response: http.ServerResponse) => void;
  let issuer: string;
  beforeAll(async () => {
    const port = await freePort();
    issuer = `http://127.0.0.1:${port}`;
    server = http.createServer((_request, response) => answer(response));
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  });
  afterAll(() => new Promise<void>((resolve) => (server.closeAllConnections(), server.close(() => resolve()))));
  const says = (metadata: unknown): void => {
    answer = (response) => response.setHeader('content-type', 'application/json').end(JSON.stringify(metadata));
  };

  test('is followed to keys over https, or on this machine', async () => {
    for (const uri of ['https://keys.example/jwks', 'http://127.0.0.1:1/jwks', 'http://localhost:1/jwks', 'http://[::1]:1/jwks']) {
      says({ issuer, jwks_uri: uri });
      expect((await keysUriOf(issuer)).href).toBe(uri);
    }
  });

  const wrong: Record<string, () => void> = {
    'of another issuer': () => says({ issuer: 'https://evil.example', jwks_uri: 'https://keys.example/jwks' }),
    'of an issuer with a slash more': () => says({ issuer: `${issuer}/`, jwks_uri: 'https://keys.example/jwks' }),
    'with keys over plain http elsewhere': () => says({ issuer, jwks_uri: 'http://keys.example/jwks' }),
    'with keys at a name that only looks like this machine': () => says({ issuer, jwks_uri: 'http://127.0.0.1.evil.example/jwks' }),
    'with keys in a file': () => says({ issuer, jwks_uri: 'file:///etc/passwd' }),
    'without keys': () => says({ issuer }),
    'that is null': () => says(null),
    'that is no JSON': () => void (answer = (response) => response.end('<html>')),
    'that is not found': () => void (answer = (response) => response.writeHead(404).end('{}')),
    'that never ends': () =>
      void (answer = (response) => {
        const more = (): void =>
          void (response.writableEnded || response.destroyed || response.write(' '.repeat(64 * 1024), () => setImmediate(more)));
        more();
      }),
  };
  test.each(Object.keys(wrong))('%s is refused', async (name) => {
    wrong[name]?.();
    await expect(keysUriOf(issuer)).rejects.toThrow(BadIssuerMetadata);
  });

  test('that is redirected elsewhere is refused', async () => {
    answer = (response) => response.writeHead(302, { location: 'https://evil.example/' }).end();
    await expect(keysUriOf(issuer)).rejects.toThrow();
  });

  test('that is wrong is asked for once a second, however many tokens come, and said once', async () => {
    let asked = 0;
    answer = (response) => (asked++, response.writeHead(500).end());
    const problems: string[] = [];
    let time = 0;
    const keys = discoveredKeys(issuer, { keysAt: remoteKeys, now: () => time, onProblem: (problem) => problems.push(problem) });
    const verifier = createTokenVerifier({ issuer, audience: 'fabula', keys, clockToleranceSeconds: 0 });
    const key = await signingKey('any');
    const token = await new SignJWT({})
      .setProtectedHeader({ alg: 'ES256', kid: 'any' })
      .setIssuer(issuer)
      .sign(await importJWK(key, 'ES256'));
    const many = async (): Promise<void> => {
      await Promise.all(Array.from({ length: 50 }, () => expect(verifier.verify(token)).rejects.toMatchObject({ code: 'OVERLOADED' })));
    };
    await many();
    await many();
    expect([asked, problems.length]).toEqual([1, 1]);
    time += 1_000;
    await many();
    expect([asked, problems.length]).toEqual([2, 2]);
  });
});
