import { recorded, server } from './testing/recorded.js';

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
