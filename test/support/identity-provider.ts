import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { exportJWK, generateKeyPair, type JWK } from 'jose';

/** A process of `oidc-provider`; ended and begun again, with other keys or the same, it is the same issuer. */
export class IdentityProvider {
  private child: ChildProcess | undefined;
  private output = '';

  constructor(private readonly port: number) {}

  get issuer(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** @param keys private keys; the first signs, all are published */
  async start(keys: readonly JWK[], roles: readonly string[] = ['compliance']): Promise<void> {
    const script = path.resolve(__dirname, 'identity-provider-process.mjs');
    const child = spawn(process.execPath, [script, JSON.stringify({ port: this.port, keys, roles })], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child = child;
    let problems = '';
    child.stderr.on('data', (data: Buffer) => void (problems += data.toString()));
    await new Promise<void>((resolve, reject) => {
      child.stdout.on('data', (data: Buffer) => {
        this.output += data.toString();
        if (this.output.includes('ready')) resolve();
      });
      child.once('exit', () => reject(new Error(`the provider ended:\n${problems}`)));
    });
    this.output = '';
  }

  async stop(): Promise<void> {
    const { child } = this;
    this.child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /** How often somebody asked for that path since the start. */
  asked(route: string): number {
    return this.output.split('\n').filter((line) => line === `GET ${route}`).length;
  }

  async token(): Promise<string> {
    const body = new URLSearchParams({ grant_type: 'client_credentials', client_id: 'a-service', client_secret: 'known to the test' });
    const answer = await fetch(`${this.issuer}/token`, { method: 'POST', body });
    const { access_token: token } = (await answer.json()) as { readonly access_token?: string };
    if (token === undefined) throw new Error(`the provider gave no token: ${answer.status}`);
    return token;
  }
}

export async function signingKey(kid: string): Promise<JWK> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  return { ...(await exportJWK(privateKey)), kid, alg: 'ES256', use: 'sig' };
}
