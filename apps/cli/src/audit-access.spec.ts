import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { verifyBundle } from '#lib/audit';
import { audited, bundleOf, streamed } from '../../../libs/audit/src/testing/audited.js';
import { recorded, server, type Recorded } from './testing/recorded.js';

const URL_AND_TOKEN = ['--url', 'http://fabula.test', '--token', 't'];
const entry = {
  v: 1,
  log: 'a-log',
  tree: 'access',
  index: '7',
  time: '1800000000000',
  event: 'sensitive_read',
  actor: 'r-one',
  roles: ['operator'],
  action: 'GET /admin/playthroughs/:id/turns',
  target: { id: 'p1', bodies: 'withheld' },
  outcome: 'ok',
  correlationId: 'c-1',
  previousLeaf: null,
};
const failures = {
  ...entry,
  event: 'authn_login_fail',
  actor: null,
  roles: [],
  action: 'GET /audit/search',
  target: { actor: 'x\u001b[2J' },
  outcome: 'UNAUTHENTICATED',
  count: '2000',
};

describe('fabula audit access', () => {
  test('lists who looked at what, and shows no terminal codes of whoever tried', async () => {
    const { fetch, asked } = server({ 'GET /audit/access': { entries: [failures, entry], next: null } });
    const { code, out } = await recorded(['audit', 'access', '--playthrough', 'p1', '--event', 'sensitive_read', ...URL_AND_TOKEN], {
      fetch,
      columns: 220,
    });
    expect(code).toBe(0);
    expect(asked).toEqual(['GET /audit/access?event=sensitive_read&playthroughId=p1&first=100']);
    expect(out).toMatch(/2027-01-15 08:00:00Z +authn_login_fail +2,?000/);
    expect(out).toMatch(/sensitive_read +1 +r-one \(operator\) +GET \/admin\/playthroughs\/:id\/turns +id=p1 bodies=withheld +ok/);
    expect(out).not.toContain('\u001b');
  });

  test('reads on until the limit, and says when there is more', async () => {
    const { fetch } = server({ 'GET /audit/access': { entries: [entry, entry], next: '1.1' } });
    const { out } = await recorded(['audit', 'access', '--limit', '4', '--json', ...URL_AND_TOKEN], { fetch });
    expect(JSON.parse(out)).toEqual({ entries: [entry, entry, entry, entry], more: true });
  });
});

describe('fabula audit access --export', () => {
  const id = '0f0e0d0c-0b0a-4908-8706-050403020100';
  const done = { ...entry, event: 'sensitive_export', action: 'export finished' };
  let folder: string;
  let bundle: Buffer;
  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'fabula-handed-'));
    const history = audited(12);
    await history.round(4);
    bundle = await bundleOf(history, { id });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const asked = async (bytes: Buffer, target: object): Promise<Recorded & { readonly urls: readonly string[] }> => {
    const file = path.join(folder, 'export.tar');
    writeFileSync(file, bytes);
    const answers = server({ 'GET /audit/access': { entries: [{ ...done, target: { exportId: id, ...target } }], next: null } });
    const said = await recorded(['audit', 'access', '--export', file, ...URL_AND_TOKEN], { fetch: answers.fetch, columns: 400 });
    return { ...said, urls: answers.asked };
  };

  test('says of a file whether it is the one that was handed over, by its bytes or its manifest', async () => {
    const { manifestSha256 } = await verifyBundle(streamed(bundle));
    const sha256 = createHash('sha256').update(bundle).digest('hex');
    const same = await asked(bundle, { sha256, manifestSha256 });
    expect([same.code, same.urls]).toEqual([0, [`GET /audit/access?exportId=${id}&first=100`]]);
    expect(same.out).toMatch(/this file[^]*✓ The access log names this export/);
    const packed = await asked(bundle, { sha256: '0'.repeat(64), manifestSha256 });
    expect([packed.code, packed.out]).toEqual([0, expect.stringContaining('this manifest')]);
  });

  test('ends with 1 for another file, also when only its manifest is still the one that was handed over', async () => {
    const { manifestSha256 } = await verifyBundle(streamed(bundle));
    const other = await asked(bundle, { sha256: '0'.repeat(64), manifestSha256: '1'.repeat(64) });
    expect([other.code, other.out]).toEqual([1, expect.stringContaining('✗ No entry names this file')]);
    const changed = Buffer.from(bundle);
    changed[bundle.indexOf('"verdict":"accepted"') + 12]! ^= 1;
    const tampered = await asked(changed, { manifestSha256 });
    expect([tampered.code, tampered.out]).toEqual([1, expect.stringContaining('manifest none')]);
    const none = await asked(Buffer.from('no export'), {});
    expect([none.code, none.urls]).toEqual([2, []]);
  });
});

describe('what operators are not shown', () => {
  test('is said to be withheld by `playthrough show`, and ends `playthrough replay`', async () => {
    const turn = {
      turn: 0,
      kind: 'STARTED',
      correlationId: 'c',
      at: '2027-01-15T08:00:00.000Z',
      stateHash: 'ab'.repeat(32),
      offset: 3,
      withheld: true,
      events: [],
    };
    const answers = { 'GET /admin/playthroughs/p1/turns': { edges: [{ node: turn }], pageInfo: { hasNextPage: false, endCursor: null } } };
    const show = await recorded(['playthrough', 'show', 'p1', ...URL_AND_TOKEN], { fetch: server(answers).fetch });
    expect([show.code, show.out]).toEqual([0, expect.stringContaining('withheld from operators')]);
    const replay = await recorded(['playthrough', 'replay', 'p1', ...URL_AND_TOKEN], { fetch: server(answers).fetch });
    expect(replay.code).toBe(1);
  });
});
