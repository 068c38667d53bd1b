import { execFile, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import * as fc from 'fast-check';
import { systemClock, systemIds } from '#lib/platform';
import { describeWith } from '../../../../test/support/requirement.js';
import { audited } from '../testing/audited.js';
import { readTimestamp, TIMESTAMP_QUERY, TIMESTAMP_REPLY, timestampRequest, TimestampRefused } from './timestamp.js';
import { Timestamper, type KeptTimestamp } from './timestamper.js';

const run = promisify(execFile);
const openssl = spawnSync('openssl', ['version']).status === 0;

const CONFIG = `
[ts]
serial = SERIAL
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
`;

describeWith('openssl', openssl, 'OpenSSL is not here', 'timestamps by an authority made with openssl', () => {
  let base: string;
  let server: Server;
  let url: string;
  const file = (name: string): string => path.join(base, name);
  /** What the authority answers instead of its own word. */
  let instead: ((reply: Buffer) => Buffer) | undefined;
  let asked = 0;

  beforeAll(async () => {
    base = await mkdtemp(path.join(os.tmpdir(), 'fabula-tsa-'));
    await writeFile(file('ts.cnf'), CONFIG.replace('SERIAL', file('serial')));
    await writeFile(file('serial'), '01\n');
    const made = [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-subj',
      '/CN=Test authority',
      '-days',
      '2',
    ];
    await run('openssl', [
      ...made,
      '-addext',
      'extendedKeyUsage=critical,timeStamping',
      '-keyout',
      file('tsa.key'),
      '-out',
      file('tsa.pem'),
    ]);
    server = createServer((request, response) => {
      void (async () => {
        const parts: Buffer[] = [];
        for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
        asked++;
        if (request.headers['content-type'] !== TIMESTAMP_QUERY) return response.writeHead(415).end();
        const reply = await answered(Buffer.concat(parts));
        response.writeHead(200, { 'content-type': TIMESTAMP_REPLY }).end(instead?.(reply) ?? reply);
      })();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/tsa`;
  });
  afterAll(async () => {
    server.close();
    server.closeAllConnections();
    await rm(base, { recursive: true, force: true });
  });
  async function answered(query: Buffer): Promise<Buffer> {
    const name = randomBytes(6).toString('hex');
    await writeFile(file(`${name}.tsq`), query);
    const args = [
      'ts',
      '-reply',
      '-config',
      file('ts.cnf'),
      '-section',
      'ts',
      '-queryfile',
      file(`${name}.tsq`),
      '-out',
      file(`${name}.tsr`),
    ];
    await run('openssl', [...args, '-inkey', file('tsa.key'), '-signer', file('tsa.pem')]);
    return readFile(file(`${name}.tsr`));
  }

  it('are asked for in a way that openssl understands, and are about these bytes and this request only', async () => {
    const bytes = Buffer.from('a signed note\n');
    // A nonce whose first bit is set, one with zeros in front, and a plain one.
    for (const nonce of ['ff', '00007f', '00ff', '01'].map((hex) => Buffer.from(hex, 'hex'))) {
      const reply = await answered(timestampRequest(bytes, nonce));
      expect(Math.abs(readTimestamp(reply, bytes, nonce) - systemClock.now())).toBeLessThan(60_000);
      expect(() => readTimestamp(reply, Buffer.from('another note\n'), nonce)).toThrow('about other bytes');
      expect(() => readTimestamp(reply, bytes, Buffer.from('02', 'hex'))).toThrow('another request');
    }
  });

  it('that are refused or garbled are no timestamps', async () => {
    const bytes = Buffer.from('a signed note\n');
    const nonce = randomBytes(16);
    const reply = await answered(timestampRequest(bytes, nonce));
    const refusal = await answered(Buffer.from('not a request'));
    expect(() => readTimestamp(refusal, bytes, nonce)).toThrow('did not grant it');
    fc.assert(
      fc.property(fc.nat(reply.length - 1), fc.integer({ min: 1, max: 255 }), fc.nat(reply.length), (at, mask, end) => {
        const changed = Buffer.from(reply);
        changed[at]! ^= mask;
        for (const garbled of [changed, reply.subarray(0, end === reply.length ? 0 : end)])
          try {
            // Bytes of the signature are the auditor's to check; the time is whatever the token says.
            expect(typeof readTimestamp(garbled, bytes, nonce)).toBe('number');
          } catch (error) {
            expect(error).toBeInstanceOf(TimestampRefused);
          }
      }),
      { numRuns: 500 },
    );
  });

  it('are had once per interval on the newest root note, and verify offline with openssl', async () => {
    const log = audited(7);
    await log.round(2);
    let now = systemClock.now();
    const kept: KeptTimestamp[] = [];
    const overdue: string[] = [];
    const timestamper = new Timestamper({
      store: log.store,
      records: {
        keepTimestamp: (one) => Promise.resolve(void kept.unshift(one)),
        timestamps: (_, __, limit) => Promise.resolve(kept.slice(0, limit)),
      },
      logId: 'log-7',
      url,
      fetch,
      clock: { now: () => now },
      timers: { after: () => () => undefined },
      ids: systemIds,
      intervalMs: 86_400_000,
      onOverdue: (message) => overdue.push(message),
    });
    const { signal } = new AbortController();
    asked = 0;
    await timestamper.round(signal);
    await timestamper.round(signal);
    expect([timestamper.problem, asked, kept.length]).toEqual([null, 1, 1]);
    const [stamp] = kept as [KeptTimestamp];
    expect(stamp.note).toBe((await log.store.latestNote('root', 'log-7'))?.note);
    await writeFile(file('note'), stamp.note);
    await writeFile(file('token.tsr'), stamp.response);
    const verify = ['ts', '-verify', '-in', file('token.tsr'), '-CAfile', file('tsa.pem'), '-data'];
    expect((await run('openssl', [...verify, file('note')])).stdout + '').toContain('Verification: OK');
    await writeFile(file('other'), `${stamp.note} `);
    await expect(run('openssl', [...verify, file('other')])).rejects.toThrow();
    // A failed try keeps nothing, is repeated, and is said once it lasts.
    instead = () => Buffer.from('nonsense');
    for (const hours of [25, 30, 1]) {
      now += hours * 3_600_000;
      await timestamper.round(signal);
    }
    expect([kept.length, overdue.length, timestamper.problem]).toEqual([1, 1, 'the answer is no timestamp']);
    instead = undefined;
    await timestamper.round(signal);
    expect([kept.length, timestamper.problem]).toEqual([2, null]);
  });
});
