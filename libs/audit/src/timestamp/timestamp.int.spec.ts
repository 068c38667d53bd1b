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
import { describeWith, isLong } from '../../../../test/support/requirement.js';
import { MalformedDer } from '../bundle/der.js';
import type { RootEvidence } from '../bundle/root-evidence.js';
import { readTimestampToken, type TimestampToken } from '../bundle/timestamp-token.js';
import { verifyBundle, type BundleReport } from '../bundle/verify-bundle.js';
import { audited, bundleOf, streamed, testSigner } from '../testing/audited.js';
import { pack, unpack, withManifest } from '../testing/tampering.js';
import { signCheckpointNote, treeSize } from '../tlog/index.js';
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

const CA_CONFIG = `
[ca]
default_ca = own
[own]
database = DIR/index
rand_serial = yes
new_certs_dir = DIR
default_md = sha256
policy = any
x509_extensions = stamps
[any]
organizationName = optional
commonName = supplied
[stamps]
extendedKeyUsage = critical,timeStamping
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
      { numRuns: isLong ? 1_000_000 : 500 },
    );
  });

  describe('in a bundle', () => {
    const log = audited(8);
    let evidence: RootEvidence & { readonly timestamp: NonNullable<RootEvidence['timestamp']> };
    let later: bigint;
    const verify = (bundle: Buffer): Promise<BundleReport> => verifyBundle(streamed(bundle), { vkey: testSigner.verifier.vkey });
    beforeAll(async () => {
      await log.round(4);
      const stamped = await log.store.latestNote('root', log.logId);
      const note = stamped?.note ?? '';
      const response = await answered(timestampRequest(Buffer.from(note), randomBytes(16)));
      evidence = { timestamp: { size: stamped?.size ?? 0n, note, authority: url, response } };
      await log.round(4);
      later = (await log.store.latestNote('root', log.logId))?.size ?? 0n;
      expect(later).toBeGreaterThan(evidence.timestamp.size);
    });

    it('are of a note that its root tree continues; OpenSSL verifies the files as they lie there', async () => {
      const bundle = await bundleOf(log, { evidence });
      const report = await verify(bundle);
      expect([report.exitCode, report.findings]).toEqual([0, []]);
      expect(report.timestamp).toMatchObject({
        authority: url,
        size: String(evidence.timestamp.size),
        signer: 'CN=Test authority',
        signature: 'verified',
      });
      expect(Math.abs((report.timestamp?.stampedAt ?? 0) - systemClock.now())).toBeLessThan(60_000);
      expect(report.notShown.join()).toContain('openssl ts -verify -in data/timestamp.tsr -data data/timestamp.note');
      for (const { name, content } of (await unpack(bundle)).filter(({ name: one }) => one.startsWith('data/timestamp.')))
        await writeFile(file(path.basename(name)), content);
      const args = ['ts', '-verify', '-in', file('timestamp.tsr'), '-data', file('timestamp.note'), '-CAfile', file('tsa.pem')];
      expect((await run('openssl', args)).stdout + '').toContain('Verification: OK');
      expect((await verify(await bundleOf(log))).timestamp).toBeNull();
    });

    it('that are about another note, not signed so, cut short or of another history are named, whoever signs the manifest', async () => {
      const files = await unpack(await bundleOf(log, { evidence }));
      const replaced = (name: string, content: Buffer | string): Promise<BundleReport> =>
        verify(
          pack(
            withManifest(
              files.map((one) => (one.name === name ? { name, content: Buffer.from(content) } : one)),
              testSigner,
            ),
          ),
        );
      const token = 'data/timestamp.tsr';
      const other = await replaced(token, await answered(timestampRequest(Buffer.from('another note\n'), randomBytes(16))));
      expect([other.exitCode, other.findings[0]?.message]).toEqual([24, expect.stringContaining('about other bytes')]);
      const { response } = evidence.timestamp;
      // The imprint stands in the token once; the signature is its end.
      const signature = Buffer.from(response);
      signature[response.length - 3]! ^= 1;
      const forged = await replaced(token, signature);
      expect(forged).toMatchObject({ exitCode: 24, timestamp: { signature: 'wrong' } });
      const time = response.indexOf(Buffer.from('0Z').subarray(1), response.indexOf(Buffer.from([0x18, 0x0f, 0x32, 0x30])));
      const earlier = Buffer.from(response);
      earlier[time - 1] = earlier[time - 1] === 0x30 ? 0x31 : 0x30;
      expect(await replaced(token, earlier)).toMatchObject({ exitCode: 24, timestamp: { signature: 'wrong' } });
      for (const bytes of [response.subarray(0, -1), Buffer.alloc(0), await answered(Buffer.from('no request'))])
        expect(await replaced(token, bytes)).toMatchObject({ exitCode: 24, timestamp: null });
      const origin = evidence.timestamp.note.slice(0, evidence.timestamp.note.indexOf('\n'));
      const lie = signCheckpointNote({ origin, size: treeSize(2n), root: Buffer.alloc(32, 1) }, testSigner);
      expect((await replaced('data/timestamp.note', lie)).findings.map(({ kind }) => kind)).toEqual(['FORK', 'TIMESTAMP']);
      expect((await replaced('data/timestamp.json', JSON.stringify({ authority: url, hashes: [] }))).exitCode).toBe(15);
    });

    it('never end the verifier, whatever their bytes are', () => {
      const { response } = evidence.timestamp;
      fc.assert(
        fc.property(fc.nat(response.length - 1), fc.integer({ min: 1, max: 255 }), fc.nat(response.length), (at, mask, end) => {
          const changed = Buffer.from(response);
          changed[at]! ^= mask;
          for (const garbled of [changed, response.subarray(0, end === response.length ? 0 : end)])
            try {
              const { signature, stampedAt } = readTimestampToken(garbled);
              expect([signature === 'wrong' || garbled === changed, Number.isSafeInteger(stampedAt)]).toEqual([true, true]);
            } catch (error) {
              expect(error).toBeInstanceOf(MalformedDer);
            }
        }),
        { numRuns: isLong ? 1_000_000 : 500 },
      );
    });
  });

  it('of authorities with other algorithms verify too, and one that was out of date is not good', async () => {
    const note = Buffer.from('a signed note\n');
    const subject = ['-nodes', '-subj', '/O=Time/CN=Other', '-keyout', file('o.key')];
    await writeFile(file('ca.cnf'), CA_CONFIG.replaceAll('DIR', base));
    await writeFile(file('index'), '');
    const signed = async (): Promise<TimestampToken> => {
      await writeFile(file('o.tsq'), timestampRequest(note, randomBytes(8)));
      const made = [
        'ts',
        '-reply',
        '-config',
        file('ts.cnf'),
        '-section',
        'ts',
        '-sha384',
        '-queryfile',
        file('o.tsq'),
        '-out',
        file('o.tsr'),
      ];
      await run('openssl', [...made, '-inkey', file('o.key'), '-signer', file('o.pem')]);
      return readTimestampToken(await readFile(file('o.tsr')));
    };
    for (const key of [
      ['-newkey', 'rsa:2048'],
      ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
    ]) {
      await run('openssl', [
        'req',
        '-x509',
        ...key,
        ...subject,
        '-addext',
        'extendedKeyUsage=critical,timeStamping',
        '-out',
        file('o.pem'),
      ]);
      expect(await signed()).toMatchObject({ signature: 'verified', unfit: null, digest: 'sha256', signer: 'CN=Other, O=Time' });
    }
    await run('openssl', ['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', ...subject, '-out', file('o.csr')]);
    const old = ['-startdate', '20200101000000Z', '-enddate', '20210101000000Z'];
    const by = ['ca', '-selfsign', '-batch', '-notext', '-config', file('ca.cnf'), '-keyfile', file('o.key')];
    await run('openssl', [...by, ...old, '-in', file('o.csr'), '-out', file('o.pem')]);
    expect(await signed()).toMatchObject({ signature: 'verified', unfit: expect.stringContaining('not valid at the time') as string });
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
