import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { EXIT_CODES, generateCosigner, parseNote, Proofs, withSignatures, verifyStore, type LogName, type StoreReport } from '#lib/audit';
import { timestampOn } from '../../../libs/audit/src/testing/timestamps.js';
import { audited, bundleOf, testSigner, type Audited } from '../../../libs/audit/src/testing/audited.js';
import type { MemoryAuditStore } from '#lib/audit';
import { commandLineReference } from './program.js';
import { recorded, server } from './testing/recorded.js';

const { vkey } = testSigner.verifier;
const URL_AND_TOKEN = ['--url', 'http://fabula.test', '--token', 't'];

describe('fabula audit', () => {
  let folder: string;
  let history: Audited<MemoryAuditStore>;
  let bundle: Buffer;
  const file = (name: string, content: string | Buffer): string => {
    const full = path.join(folder, name);
    writeFileSync(full, content);
    return full;
  };
  const note = async (log: LogName): Promise<string> => (await history.store.latestNote(log, history.logId))?.note ?? '';

  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'fabula-cli-'));
    history = audited(11);
    await history.round(6);
    bundle = await history.bundle();
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  describe('verify', () => {
    test('ends with 0 for a genuine bundle and says what it cannot show', async () => {
      const kept = file('kept.note', await note('root'));
      const { code, out } = await recorded(['audit', 'verify', file('good.tar', bundle), '--key', vkey, '--previous', kept]);
      expect(code).toBe(0);
      expect(out).toContain('✓ Verified');
      expect(out).toContain('the key that you gave');
      expect(out).toContain('that every record reached the log');
    });

    test('takes the key from a file, and without one says that the bundle vouches for itself', async () => {
      const good = file('good.tar', bundle);
      expect((await recorded(['audit', 'verify', good, '--key', file('audit.vkey', `${vkey}\n`)])).code).toBe(0);
      expect((await recorded(['audit', 'verify', good])).out).toContain("the bundle's own key: give yours with --key");
    });

    test('says loudly that only a part is there, and accepts it where a part was meant', async () => {
      const part = file('part.tar', await history.bundle([{ log: 'p0', from: 1n }]));
      const verify = (...more: string[]) => recorded(['audit', 'verify', part, '--key', vkey, ...more], { columns: 300 });
      expect((await verify('--partial')).code).toBe(0);
      expect((await verify('--partial')).out).toContain('ONLY A PART of the log\n  - not here: leaves 0–1 of p0');
      const whole = await verify('--whole');
      expect(whole.code).toBe(EXIT_CODES.INCOMPLETE);
      expect(whole.out).toContain('INCOMPLETE  not in this bundle: leaves 0–1 of p0');
      expect((await verify('--whole', '--partial')).code).toBe(2);
      expect((await recorded(['audit', 'verify', file('good.tar', bundle), '--key', vkey, '--whole'])).out).toContain('✓ Whole');
    });

    test('holds cosignatures to the policy that is given, and says when the root tree was stamped', async () => {
      const witness = generateCosigner('one.test/w');
      const root = await note('root');
      const rootNote = withSignatures(root, [witness.cosign(parseNote(root).text, 1_800_000_000)]);
      const size = (await history.store.latestNote('root', history.logId))?.size ?? 0n;
      const timestamp = { size, note: root, authority: 'https://tsa.test', response: timestampOn(root, 1_800_000_000_000) };
      const seen = file('seen.tar', await bundleOf(history, { rootNote, evidence: { timestamp } }));
      const policy = (quorum: string): string => file('policy', `witness one ${witness.verifier.vkey}\nquorum ${quorum}\n`);
      const good = await recorded(['audit', 'verify', seen, '--key', vkey, '--policy', policy('one')], { columns: 300 });
      expect(good.code).toBe(0);
      expect(good.out).toContain(`the quorum of your policy cosigned the root tree of ${size}`);
      expect(good.out).toMatch(/witness +one\.test\/w\+[0-9a-f]{8}, 2027-01-15 08:00:00Z: root tree of \d+; right/);
      expect(good.out).toMatch(/stamped +2027-01-15 08:00:00Z by nobody named: root tree of \d+; its signature was not checked/);
      const unchecked = await recorded(['audit', 'verify', seen, '--key', vkey], { columns: 300 });
      expect([unchecked.code, unchecked.out]).toEqual([0, expect.stringContaining('not checked: no policy was given')]);
      const bare = await recorded(['audit', 'verify', file('good.tar', bundle), '--key', vkey, '--policy', policy('one')], {
        columns: 300,
      });
      expect([bare.code, bare.out]).toEqual([EXIT_CODES.WITNESS, expect.stringContaining('the quorum of your policy is missing')]);
      const unusable = await recorded(['audit', 'verify', seen, '--key', vkey, '--policy', policy('two')]);
      expect([unusable.code, unusable.err]).toEqual([2, expect.stringContaining('The policy cannot be used: line 2')]);
    });

    test('ends with the code of the tampering, and names and places it', async () => {
      const at = bundle.indexOf('"verdict":"accepted"') + '"verdict":"'.length;
      const changed = Buffer.from(bundle);
      changed[at] = 'b'.charCodeAt(0);
      const bad = file('bad.tar', changed);
      const asJson = await recorded(['audit', 'verify', bad, '--key', vkey, '--json']);
      const report = JSON.parse(asJson.out) as {
        ok: boolean;
        exitCode: number;
        findings: { kind: keyof typeof EXIT_CODES; where: { file?: string } }[];
      };
      expect(report.ok).toBe(false);
      expect(asJson.code).toBe(report.exitCode);
      expect(Object.values(EXIT_CODES)).toContain(asJson.code);
      const people = await recorded(['audit', 'verify', bad, '--key', vkey]);
      expect(people.out).toContain('✗ Not genuine');
      expect(people.out).toContain(report.findings[0]?.kind);
      expect(people.out).toMatch(/entries-000000\.ndjson, line \d+/);
      const cut = await recorded(['audit', 'verify', file('cut.tar', bundle.subarray(0, bundle.length >> 1)), '--key', vkey]);
      expect(cut.code).toBe(EXIT_CODES.TRUNCATION);
    });

    test.each([
      ['a missing bundle', () => ['no-such.tar'], 'cannot be read'],
      ['a broken key', () => [file('good.tar', bundle), '--key', 'x+00000000+y'], 'The key cannot be used'],
      ['a missing key file', () => [file('good.tar', bundle), '--key', 'no-such.vkey'], 'cannot be read'],
    ])('ends with 2 for %s', async (_what, argv, says) => {
      const { code, err } = await recorded(['audit', 'verify', ...argv()]);
      expect([code, err]).toEqual([2, expect.stringContaining(says)]);
    });
  });

  describe('verify --store and rebuild', () => {
    const work = (state: string, more: object = {}): object => ({
      state,
      startedAt: '2026-11-23T18:00:00.000Z',
      finishedAt: null,
      progress: [
        { log: 'p0', done: state === 'done' ? 40 : 10, total: 40 },
        { log: 'root', done: 0, total: 2 },
      ],
      report: null,
      error: null,
      ...more,
    });
    const report = async (): Promise<StoreReport> =>
      verifyStore({ store: history.store, vkey, log: history.log, outsideNotes: [await note('root')] });
    const asked = (what: string, ...answers: readonly object[]): ReturnType<typeof server> =>
      server({ [`POST /audit/store/${what}`]: work('running'), [`GET /audit/store/${what}`]: answers });

    test('orders the verification, waits for it, and ends with 0 for an honest store', async () => {
      const found = asked('verification', work('running'), work('done', { report: await report() }));
      const { code, out, err } = await recorded(['audit', 'verify', '--store', ...URL_AND_TOKEN], { fetch: found.fetch });
      expect(code).toBe(0);
      expect(out).toContain('✓ Nothing was tampered with');
      expect(out).toMatch(/root +\d+ +\d+ +0/);
      expect(err).toContain('verifying: 40 leaves');
      expect(found.asked).toEqual(['POST /audit/store/verification', 'GET /audit/store/verification', 'GET /audit/store/verification']);
    });

    test('ends with the code of the tampering, and names and places it', async () => {
      const tampered = audited(11);
      await tampered.round(6);
      const leaf = tampered.store.trees.get('p1')?.leaves[3];
      if (leaf === undefined) throw new Error('a history of six rounds has four leaves in p1');
      leaf.bytes[leaf.bytes.indexOf('"verdict":"') + 11] = 'x'.charCodeAt(0);
      const bad = await verifyStore({ store: tampered.store, vkey, log: tampered.log });
      const answers = asked('verification', work('done', { report: bad })).fetch;
      const { code, out } = await recorded(['audit', 'verify', '--store', ...URL_AND_TOKEN], { fetch: answers });
      expect(code).toBe(EXIT_CODES.LEAF);
      expect(out).toContain('✗ Not genuine');
      expect(out).toContain('tree p1, leaf 3');
      expect(out).toContain('not shown: that the store as a whole was not set back');
      const asJson = await recorded(['audit', 'verify', '--store', '--json', ...URL_AND_TOKEN], {
        fetch: asked('verification', work('done', { report: bad })).fetch,
      });
      expect([asJson.code, JSON.parse(asJson.out)]).toEqual([EXIT_CODES.LEAF, expect.objectContaining({ ok: false, exitCode: code })]);
    });

    test('says what was rebuilt', async () => {
      const trees = [
        { log: 'p0', size: '30' },
        { log: 'p1', size: '11' },
      ];
      const { fetch } = asked('rebuild', work('running'), work('done', { report: { trees } }));
      const { code, out, err } = await recorded(['audit', 'rebuild', ...URL_AND_TOKEN], { fetch });
      expect([code, out]).toEqual([0, expect.stringContaining('✓ 2 trees built anew from the log: 41 leaves')]);
      expect(err).toContain('rebuilding: 40 records');
    });

    test.each([
      ['failed', work('failed', { error: 'p0: another root (compare)' }), 'The rebuild failed: p0: another root (compare)'],
      ['forgotten', work('none'), 'was the server started again?'],
    ])('ends with 1 when the rebuild is %s', async (_what, answer, says) => {
      const { code, err } = await recorded(['audit', 'rebuild', ...URL_AND_TOKEN], { fetch: asked('rebuild', answer).fetch });
      expect([code, err]).toEqual([1, expect.stringContaining(says)]);
    });

    test.each([
      ['neither file nor store', []],
      ['both', ['x.tar', '--store']],
      ['a key of its own', ['--store', '--key', vkey]],
      ['a policy of its own', ['--store', '--policy', 'own.policy']],
    ])('ends with 2 for %s', async (_what, argv) => {
      const { code, err } = await recorded(['audit', 'verify', ...argv]);
      expect([code, err]).toEqual([2, expect.stringContaining('--store')]);
    });
  });

  describe('prove', () => {
    const answers = async (
      change: (proof: Record<string, unknown>) => Record<string, unknown> = (proof) => proof,
    ): Promise<Record<string, unknown>> => {
      const size = (await history.store.latestNote('p0', history.logId))?.size ?? 0n;
      const proof = await new Proofs(history.store, history.logId).inclusion('p0', 2n, size);
      return {
        'GET /audit/logs': {
          logId: history.logId,
          verifierKey: vkey,
          logs: [
            {
              log: 'p0',
              origin: `${testSigner.verifier.name}/${history.logId}/p0`,
              size: String(size),
              signedSize: String(size),
              signedAt: null,
            },
          ],
        },
        'GET /audit/logs/p0/checkpoint': await note('p0'),
        'GET /audit/logs/p0/proof/inclusion': change({
          log: 'p0',
          index: '2',
          size: String(size),
          leaf: proof.leaf.toString('utf8'),
          hashes: proof.hashes.map((hash) => hash.toString('base64')),
        }),
      };
    };
    const prove = async (given: Record<string, unknown>, ...more: readonly string[]) =>
      recorded(['audit', 'prove', '--log', 'p0', '--index', '2', ...more, ...URL_AND_TOKEN], { fetch: server(given).fetch });

    test('checks leaf, path and signature here, and shows each step', async () => {
      const { code, out } = await prove(await answers(), '--key', vkey);
      expect(out).toContain('✓ the leaf is in the signed tree');
      expect(out).toMatch(/1\. Leaf 2 of p0[^]*5\. The note is signed by/);
      expect(code).toBe(0);
      expect(JSON.parse((await prove(await answers(), '--json')).out)).toMatchObject({ ok: true, index: '2', vkey });
    });

    test.each([
      [
        'another leaf',
        (proof: Record<string, unknown>) => ({ ...proof, leaf: String(proof['leaf']).replace('"index":"2"', '"index":"3"') }),
      ],
      ['a changed leaf', (proof: Record<string, unknown>) => ({ ...proof, leaf: `${String(proof['leaf'])} ` })],
      [
        'another path',
        (proof: Record<string, unknown>) => ({
          ...proof,
          hashes: (proof['hashes'] as string[]).map(() => Buffer.alloc(32).toString('base64')),
        }),
      ],
      ['a path that is none', (proof: Record<string, unknown>) => ({ ...proof, hashes: ['x'] })],
    ])('ends with 1 for %s', async (_what, change) => {
      const { code, out } = await prove(await answers(change));
      expect([code, out]).toEqual([1, expect.stringContaining('✗ the proof does not lead to the signed root')]);
    });

    test('ends with 1 when the note is of another tree or signed by another key', async () => {
      const given = await answers();
      const foreign = await prove({ ...given, 'GET /audit/logs/p0/checkpoint': await note('root') });
      expect([foreign.code, foreign.err]).toEqual([1, expect.stringContaining('The note is of ')]);
      const unsigned = await prove({
        ...given,
        'GET /audit/logs/p0/checkpoint': (await note('p0')).replace(/— .*/, (line) => `${line.slice(0, -4)}AAAA`),
      });
      expect([unsigned.code, unsigned.err]).toEqual([1, expect.stringContaining('not signed by the key')]);
    });
  });

  test('checkpoint prints the exact note, and lists all trees without a name', async () => {
    const logs = {
      logId: 'l',
      verifierKey: vkey,
      logs: [{ log: 'root', origin: 'o', size: '7', signedSize: '6', signedAt: '2026-11-23T18:00:00.000Z' }],
    };
    const { fetch } = server({ 'GET /audit/logs/root/checkpoint': await note('root'), 'GET /audit/logs': logs });
    expect(await recorded(['audit', 'checkpoint', 'root', ...URL_AND_TOKEN], { fetch })).toEqual({
      code: 0,
      out: await note('root'),
      err: '',
    });
    expect((await recorded(['audit', 'checkpoint', ...URL_AND_TOKEN], { fetch })).out).toMatch(/root +7 +6 +2026-11-23 18:00:00Z +o/);
    expect((await recorded(['keys', 'show', ...URL_AND_TOKEN], { fetch })).out).toBe(`${vkey}\n`);
  });
});

describe('the command line reference', () => {
  test('lists every command with its options, and every exit code of verify', () => {
    const text = commandLineReference();
    for (const name of [
      'story lint',
      'story play',
      'playthrough replay',
      'projection parked',
      'log topics',
      'audit prove',
      'audit rebuild',
      'keys show',
      'token',
    ])
      expect(text).toContain(`## fabula ${name}\n`);
    for (const code of Object.values(EXIT_CODES)) expect(text).toContain(`| ${code} | `);
    expect(text).toContain('| `--ttl <duration>` | how long it is good for, like 15m, 12h, 1d; default `1d` |');
  });

  test('help of every command fits 80 columns and ends with 0', async () => {
    const names = [...commandLineReference().matchAll(/^## fabula (.+)$/gm)].map(([, name]) => (name ?? '').split(' '));
    expect(names.length).toBeGreaterThan(20);
    for (const name of names) {
      const { code, out } = await recorded([...name, '--help']);
      expect([name, code, out.split('\n').filter((line) => line.length > 80)]).toEqual([name, 0, []]);
    }
  });
});
