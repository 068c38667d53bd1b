import { page, recorded, server } from './testing/recorded.js';

const URL_AND_TOKEN = ['--url', 'http://fabula.test', '--token', 't'];
const action = {
  id: 'a-0123456789abcdef',
  kind: 'erase',
  stage: 'approved',
  reason: 'request 815',
  proposedBy: 'r-dora',
  proposedAs: 'dpo',
  proposedAt: 1_800_000_000_000,
  expiresAt: 1_800_000_600_000,
  decidedBy: 'r-ada',
  decidedAs: 'admin',
  blocked: 'hold h-0000000000000001 on story bells touches this subject',
  failed: null,
  action: { id: 'a-0123456789abcdef', kind: 'erase', subject: 'r-anna', legalBasis: 'GDPR 17' },
  result: null,
};
const hold = {
  id: 'h-0000000000000001',
  scope: { kind: 'everything', id: '*' },
  matter: 'case 12',
  placedBy: 'r-dora',
  placedAt: 1_800_000_000_000,
  until: null,
  releasedAt: null,
};
const compliance = (words: readonly string[], answers: Readonly<Record<string, unknown>> = {}) => {
  const at = server(answers);
  const ended = recorded(['compliance', ...words, ...URL_AND_TOKEN], { fetch: at.fetch, columns: 240 });
  return ended.then((said) => ({ ...said, asked: at.asked, bodies: at.bodies.map((body) => JSON.parse(body) as unknown) }));
};

describe('fabula compliance', () => {
  test('retention shows where a pruned log begins and with which base, and nothing of it before there is one', async () => {
    const one = { name: 'play', keepDays: 365, setBy: null, oldest: null, expired: [], heldBy: [], pruned: [] };
    const partition = { partition: 0, begin: 0, end: 900, base: null };
    const whole = await compliance(['retention'], { 'GET /admin/compliance/retention': { classes: [one], log: [partition] } });
    expect([whole.code, whole.out]).toEqual([0, expect.not.stringContaining('begins')]);
    const base = { offset: 512, digest: 'ab'.repeat(32), action: action.id };
    const log = [
      { ...partition, begin: 512, base },
      { ...partition, partition: 1 },
    ];
    const pruned = await compliance(['retention'], { 'GET /admin/compliance/retention': { classes: [one], log } });
    expect(pruned.out).toMatch(/partition +begins +ends +base up to +action +digest\s+0 +512 +900 +512 +a-0123456789abcdef +(ab){32}/);
    expect(pruned.out).not.toMatch(/\n1 /);
  });

  test('actions shows who decided what, and ends with 1 while one is blocked', async () => {
    const blocked = await compliance(['actions', '--stage', 'approved'], { 'GET /admin/compliance/actions': page([action]) });
    expect(blocked.code).toBe(1);
    expect(blocked.out).toMatch(
      /a-0123456789abcdef +erase +approved +r-anna +2027-01-15 08:00:00Z r-dora \(dpo\) +r-ada \(admin\) +hold h-0/,
    );
    expect(blocked.asked).toEqual(['GET /admin/compliance/actions?stage=approved&first=100']);
    const going = await compliance(['actions', '--json'], { 'GET /admin/compliance/actions': page([{ ...action, blocked: null }]) });
    expect([going.code, JSON.parse(going.out)]).toEqual([0, { actions: [{ ...action, blocked: null }] }]);
  });

  test('holds and events are tables, or JSON for programs', async () => {
    const holds = await compliance(['holds', '--active'], { 'GET /admin/compliance/holds': page([hold]) });
    expect([holds.code, holds.out]).toEqual([
      0,
      expect.stringMatching(/h-0000000000000001 +everything +case 12 +2027-01-15 08:00:00Z r-dora/),
    ]);
    expect(holds.asked).toEqual(['GET /admin/compliance/holds?active=true&first=100']);
    const event = {
      sequence: 1,
      at: 1_800_000_000_000,
      type: 'HoldPlaced',
      subject: hold.id,
      actor: 'r-dora',
      role: 'dpo',
      partition: 3,
      offset: 7,
      correlationId: 'c',
    };
    const events = await compliance(['events'], { 'GET /admin/compliance/events': page([event]) });
    expect(events.out).toMatch(/HoldPlaced +h-0000000000000001 +r-dora \(dpo\) +p3\/7/);
  });

  test('proposing, approving and refusing send what was said', async () => {
    const done = { id: action.id, duplicate: false };
    const proposed = await compliance(
      ['propose', 'erase', '{"subject":"r-anna","legalBasis":"GDPR 17"}', '--reason', 'request 815', '--minutes', '5'],
      {
        'POST /admin/compliance/actions': done,
      },
    );
    expect([proposed.code, proposed.out]).toEqual([0, `✓ ${action.id} proposed\n`]);
    expect(proposed.bodies).toEqual([
      { action: { kind: 'erase', subject: 'r-anna', legalBasis: 'GDPR 17' }, reason: 'request 815', expiresInMinutes: 5 },
    ]);
    const approved = await compliance(['approve', action.id], { [`POST /admin/compliance/actions/${action.id}/approve`]: done });
    expect(approved.out).toBe(`✓ ${action.id} approved\n`);
    const refusal = Response.json(
      { code: 'NEEDS_ANOTHER_PERSON', detail: 'another person must approve it', correlationId: 'c' },
      { status: 409 },
    );
    const own = await compliance(['approve', action.id], { [`POST /admin/compliance/actions/${action.id}/approve`]: refusal });
    expect([own.code, own.err]).toEqual([1, expect.stringContaining('NEEDS_ANOTHER_PERSON: another person must approve it')]);
    const refused = await compliance(['refuse', action.id, '--reason', 'not so'], {
      [`POST /admin/compliance/actions/${action.id}/refuse`]: done,
    });
    expect(refused.bodies).toEqual([{ reason: 'not so' }]);
  });

  test('a hold names everything, or one scope, and says for what it may come too late', async () => {
    const placed = { id: hold.id, duplicate: false, underWay: [action.id] };
    const all = await compliance(['hold', '--matter', 'case 12'], { 'POST /admin/compliance/holds': placed });
    expect(all.bodies).toEqual([{ scope: { kind: 'everything' }, matter: 'case 12' }]);
    expect(all.out).toContain(`too late for them: ${action.id}`);
    const one = await compliance(['hold', '--scope', 'story', '--id', 'bells', '--matter', 'case 12'], {
      'POST /admin/compliance/holds': placed,
    });
    expect(one.bodies).toEqual([{ scope: { kind: 'story', id: 'bells' }, matter: 'case 12' }]);
  });

  test('break-glass shows what is open and ends with 1 while something is', async () => {
    const open = { open: [{ id: 'g-0000000000000001', by: 'r-olaf', until: 1_800_000_000_000, correlationId: 'c-1' }] };
    const shown = await compliance(['break-glass'], { 'GET /admin/compliance/break-glass': open });
    expect([shown.code, shown.out]).toEqual([1, expect.stringMatching(/g-0000000000000001 +r-olaf +2027-01-15 08:00:00Z +c-1/)]);
    const opened = await compliance(['break-glass', '--open', '15', '--reason', 'outage 815'], {
      'POST /admin/compliance/break-glass': { id: 'g-0000000000000001', duplicate: false, until: 1_800_000_000_000 },
    });
    expect([opened.out, opened.bodies]).toEqual([
      '✓ g-0000000000000001 open until 2027-01-15 08:00:00Z\n',
      [{ reason: 'outage 815', minutes: 15 }],
    ]);
  });

  test.each([
    [['hold', '--scope', 'story', '--matter', 'case'], '--scope and --id go together'],
    [['hold', '--scope', 'planet', '--id', 'x', '--matter', 'case'], 'Allowed choices'],
    [['propose', 'erase', 'not json', '--reason', 'why'], 'not JSON'],
    [['propose', 'erase', '[]', '--reason', 'why'], 'JSON object'],
    [['break-glass', '--open', '61', '--reason', 'why'], '60'],
    [['break-glass', '--open', '5'], '--reason'],
  ])('%j is bad usage', async (words, says) => {
    const { code, err, asked } = await compliance(words);
    expect([code, err, asked]).toEqual([2, expect.stringContaining(says), []]);
  });
});
