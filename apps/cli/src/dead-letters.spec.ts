import { page, recorded, server } from './testing/recorded.js';

const URL_AND_TOKEN = ['--url', 'http://fabula.test', '--token', 't'];
const letter = {
  partition: 3,
  offset: 1742,
  kind: 'unknown-envelope',
  status: 'open',
  stream: null,
  reason: 'envelope version 2, written by a newer Fabula',
  key: 'playthrough/p1',
  size: 7,
  digest: 'ab'.repeat(32),
  time: 1_800_000_000_000,
  firstSeen: 1_800_000_000_500,
  attempts: 0,
  lastError: null,
  release: null,
};
const released = { ...letter, kind: 'invalid', status: 'released', release: { reason: 'a trial', by: 'op-1', at: 1_800_000_001_000 } };

describe('fabula log dead-letters', () => {
  test('list shows them as a table and ends with 1 while one is open', async () => {
    const { fetch, asked } = server({ 'GET /admin/dead-letters': page([letter, released]) });
    const { code, out } = await recorded(
      ['log', 'dead-letters', 'list', '--kind', 'invalid', '--status', 'open', '--partition', '3', ...URL_AND_TOKEN],
      { fetch, columns: 160 },
    );
    expect(code).toBe(1);
    expect(out).toMatch(/3 +1,742 +unknown-envelope +open +2027-01-15 08:00:00Z/);
    expect(asked).toEqual(['GET /admin/dead-letters?status=open&kind=invalid&partition=3&first=100']);
    const closed = await recorded(['log', 'dead-letters', 'list', '--json', ...URL_AND_TOKEN], {
      fetch: server({ 'GET /admin/dead-letters': page([released]) }).fetch,
    });
    expect([closed.code, JSON.parse(closed.out)]).toEqual([0, { deadLetters: [released] }]);
  });

  test('show prints what is JSON as such, and other bytes in hexadecimal, never raw', async () => {
    const shown = { ...released, headers: null, bytes: Buffer.from('{"v":2}').toString('base64'), complete: true, decoded: { v: 2 } };
    const json = await recorded(['log', 'dead-letters', 'show', '3', '1742', ...URL_AND_TOKEN], {
      fetch: server({ 'GET /admin/dead-letters/3/1742': shown }).fetch,
    });
    expect([json.code, json.out]).toEqual([0, expect.stringContaining('"v": 2')]);
    expect(json.out).toContain('op-1: a trial');
    const garbage = { ...shown, bytes: Buffer.from('\u001b[2J').toString('base64'), complete: false, decoded: null, key: 'a\u001b[2J' };
    const hex = await recorded(['log', 'dead-letters', 'show', '3', '1742', ...URL_AND_TOKEN], {
      fetch: server({ 'GET /admin/dead-letters/3/1742': garbage }).fetch,
    });
    expect(hex.out).toContain('1b 5b 32 4a');
    expect(hex.out).toContain('only the beginning');
    expect(hex.out).not.toContain('\u001b');
  });

  test('retry and release go to the place and say what became of it', async () => {
    const { fetch, asked, bodies } = server({
      'POST /admin/dead-letters/3/1742/retry': { kind: 'applied', records: 3 },
      'POST /admin/dead-letters/3/1742/release': { ...letter, status: 'released' },
    });
    const retry = await recorded(['log', 'dead-letters', 'retry', '3', '1742', ...URL_AND_TOKEN], { fetch });
    expect([retry.code, retry.out]).toEqual([0, '✓ applied: 3 records\n']);
    const release = await recorded(['log', 'dead-letters', 'release', '3', '1742', '--reason', 'a trial', ...URL_AND_TOKEN], { fetch });
    expect([release.code, release.out]).toEqual([0, '✓ the record at 1742 of partition 3 is invalid for every reader from now on\n']);
    expect([asked.length, bodies]).toEqual([2, ['{"reason":"a trial"}']]);
  });

  test('a refusal of the server ends with 1 and says why', async () => {
    const refusal = Response.json({ code: 'CONFLICT', detail: 'it was released already', correlationId: 'c' }, { status: 409 });
    const { code, err } = await recorded(['log', 'dead-letters', 'release', '3', '1', '--reason', 'again', ...URL_AND_TOKEN], {
      fetch: server({ 'POST /admin/dead-letters/3/1/release': refusal }).fetch,
    });
    expect([code, err]).toEqual([1, expect.stringContaining('it was released already')]);
  });

  test.each([
    [['release', '3', '1'], '--reason'],
    [['release', '3', '1', '--reason', 'x'], '3 to 500'],
    [['show', '3', 'one'], 'whole number'],
    [['list', '--kind', 'bad'], 'Allowed choices'],
  ])('%j is bad usage', async (words, says) => {
    const { code, err } = await recorded(['log', 'dead-letters', ...words, ...URL_AND_TOKEN]);
    expect([code, err]).toEqual([2, expect.stringContaining(says)]);
  });
});
