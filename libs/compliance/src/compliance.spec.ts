import * as fc from 'fast-check';
import { isRejection } from '#lib/decision';
import { ACTION_KINDS, approvers, proposers, type Asked, type Role } from './action.js';
import { compliance } from './compliance.js';
import { applyRecordedCompliance, complianceStateFromJson, complianceStateToJson } from './compliance-state.js';
import {
  MAX_ACTIONS,
  MAX_GLASS_MS,
  MAX_GLASSES,
  MAX_HOLDS,
  MAX_PROPOSAL_MS,
  type ComplianceCommand,
  type ComplianceState,
} from './compliance-stream.js';
import { ADMIN, COMPLIANCE, DPO, erase, everything, Office, OPERATOR, OTHER_DPO, SYSTEM } from './testing/office.js';

const rotate: Asked = { kind: 'rotate-kek', from: 'k1', to: 'k2' };
const prune: Asked = { kind: 'prune', retention: 'children', what: 'leaves', before: [{ partition: 0, offset: 7 }] };

describe('an action', () => {
  it('is proposed by one person, approved by another, begun and carried out once', () => {
    const office = new Office();
    const id = office.propose(DPO, erase('r-anna'));
    expect(office.send(ADMIN, { type: 'approve', id })).toMatchObject([{ type: 'ActionApproved', by: 'r-ada', role: 'admin' }]);
    expect(office.send(SYSTEM, { type: 'begin', id, judged: 0 })).toMatchObject([{ type: 'ActionBegun' }]);
    expect(office.send(SYSTEM, { type: 'begin', id, judged: 0 })).toEqual([]);
    expect(office.send(SYSTEM, { type: 'carriedOut', id, result: { keys: 2 } })).toMatchObject([
      { type: 'ActionCarriedOut', result: { keys: 2 } },
    ]);
    expect(office.code(SYSTEM, { type: 'carriedOut', id, result: null })).toBe('ACTION_NOT_FOUND');
    expect(office.state?.actions).toEqual([]);
  });

  it('that prunes has its bases recorded while it is carried out, by the system alone, each binding the ones before', () => {
    const office = new Office();
    const base = { type: 'logBase', partition: 3, offset: 7, digest: 'a'.repeat(64) } as const;
    const id = office.propose(DPO, { ...prune, what: 'log' } as Asked);
    office.send(ADMIN, { type: 'approve', id });
    expect(office.code(SYSTEM, { ...base, id })).toBe('CONFLICT');
    office.send(SYSTEM, { type: 'begin', id, judged: 0 });
    expect(office.code(ADMIN, { ...base, id })).toBe('FORBIDDEN');
    expect(office.code(SYSTEM, { ...base, id, offset: 0 })).toBe('BAD_INPUT');
    expect(office.code(SYSTEM, { ...base, id, digest: 'x' })).toBe('BAD_INPUT');
    expect(office.state).not.toHaveProperty('bases');
    expect(office.send(SYSTEM, { ...base, id })).toMatchObject([
      { type: 'LogBaseTaken', id, partition: 3, offset: 7, digest: base.digest },
    ]);
    const first = office.state?.bases;
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(complianceStateFromJson(complianceStateToJson(office.state as ComplianceState))).toEqual(office.state);
    const fork = new Office();
    fork.state = office.state;
    office.send(SYSTEM, { ...base, id, partition: 4 });
    fork.send(SYSTEM, { ...base, id, partition: 4, digest: 'b'.repeat(64) });
    expect(new Set([first, office.state?.bases, fork.state?.bases]).size).toBe(3);
    const kek = office.propose(ADMIN, rotate);
    office.send(DPO, { type: 'approve', id: kek });
    office.send(SYSTEM, { type: 'begin', id: kek, judged: 0 });
    expect(office.code(SYSTEM, { ...base, id: kek })).toBe('BAD_INPUT');
    office.send(SYSTEM, { type: 'carriedOut', id, result: null });
    expect(office.code(SYSTEM, { ...base, id })).toBe('ACTION_NOT_FOUND');
  });

  it('is never approved by who proposed it, whatever else is true', () => {
    const office = new Office();
    const id = office.propose(DPO, erase('r-anna'));
    expect(office.code(DPO, { type: 'approve', id })).toBe('NEEDS_ANOTHER_PERSON');
    expect(office.code(['r-dora', 'admin'], { type: 'approve', id })).toBe('NEEDS_ANOTHER_PERSON');
    expect(office.code(['r-dora', 'admin'], { type: 'refuse', id, reason: 'not so' })).toBe('NEEDS_ANOTHER_PERSON');
    office.send(OTHER_DPO, { type: 'approve', id });
    expect(office.code(ADMIN, { type: 'approve', id })).toBe('CONFLICT');
  });

  it('is not approved when its time is over, and then expires', () => {
    const office = new Office();
    const id = office.propose(DPO, erase('r-anna'), office.now + 10);
    office.now += 9;
    expect(office.code(SYSTEM, { type: 'expire', id })).toBe('CONFLICT');
    expect(office.code(ADMIN, { type: 'approve', id })).toBeUndefined();
    office.now += 1;
    expect(office.code(ADMIN, { type: 'approve', id })).toBe('ACTION_EXPIRED');
    expect(office.send(SYSTEM, { type: 'expire', id })).toMatchObject([{ type: 'ActionExpired', id }]);
    expect(office.code(ADMIN, { type: 'approve', id })).toBe('ACTION_NOT_FOUND');
    expect(office.code(DPO, office.proposal(erase('r-anna'), office.now))).toBe('BAD_INPUT');
    expect(office.code(DPO, office.proposal(erase('r-anna'), office.now + MAX_PROPOSAL_MS + 1))).toBe('BAD_INPUT');
  });

  it('does not expire once it is approved', () => {
    const office = new Office();
    const id = office.propose(DPO, erase('r-anna'), office.now + 10);
    office.send(ADMIN, { type: 'approve', id });
    office.now += 1_000;
    expect(office.code(SYSTEM, { type: 'expire', id })).toBe('CONFLICT');
    office.send(SYSTEM, { type: 'begin', id, judged: 0 });
  });

  it('is given up by its proposer or by another person, until it begins', () => {
    const office = new Office();
    const first = office.propose(DPO, erase('r-anna'));
    expect(office.code(OTHER_DPO, { type: 'withdraw', id: first })).toBe('FORBIDDEN');
    expect(office.send(DPO, { type: 'withdraw', id: first })).toMatchObject([{ type: 'ActionWithdrawn' }]);
    const second = office.propose(DPO, erase('r-anna'));
    office.send(ADMIN, { type: 'approve', id: second });
    expect(office.send(OTHER_DPO, { type: 'refuse', id: second, reason: 'a mistake' })).toMatchObject([{ type: 'ActionRefused' }]);
    const third = office.propose(DPO, erase('r-anna'));
    office.send(ADMIN, { type: 'approve', id: third });
    office.send(SYSTEM, { type: 'begin', id: third, judged: 0 });
    expect(office.code(DPO, { type: 'withdraw', id: third })).toBe('CONFLICT');
    expect(office.code(ADMIN, { type: 'refuse', id: third, reason: 'too late' })).toBe('CONFLICT');
  });

  it.each(ACTION_KINDS)('of the kind %s is proposed and approved in the roles that it needs, and in no others', (kind) => {
    const asked: { readonly [K in typeof kind]: Asked } = {
      erase: erase('r-anna'),
      prune,
      'release-hold': { kind: 'release-hold', hold: '' },
      'rotate-kek': rotate,
      'rotate-signing-key': { kind: 'rotate-signing-key', newVkey: 'fabula+1+k' },
      'set-retention': { kind: 'set-retention', retention: 'children', purpose: 'play', keepDays: 30 },
    };
    const roles: readonly Role[] = ['reader', 'author', 'operator', 'compliance', 'dpo', 'admin', 'system'];
    for (const proposer of roles) {
      for (const approver of roles) {
        const office = new Office();
        const given = kind === 'release-hold' ? ({ kind, hold: office.hold(everything) } as const) : asked[kind];
        const proposal = office.proposal(given);
        const may = proposers(kind).includes(proposer);
        expect(office.code(['r-p', proposer], proposal)).toBe(may ? undefined : 'FORBIDDEN');
        if (!may) continue;
        office.send(['r-p', proposer], proposal);
        const second = approvers(kind, proposer).includes(approver);
        expect(office.code(['r-q', approver], { type: 'approve', id: proposal.action.id })).toBe(second ? undefined : 'FORBIDDEN');
      }
    }
    expect(proposers(kind).every((role) => approvers(kind, role).length > 0)).toBe(true);
  });

  it('that prunes needs a data protection officer and an administrator, in either order', () => {
    const office = new Office();
    const byDpo = office.propose(DPO, prune);
    expect(office.code(OTHER_DPO, { type: 'approve', id: byDpo })).toBe('FORBIDDEN');
    office.send(ADMIN, { type: 'approve', id: byDpo });
    const byAdmin = office.propose(ADMIN, prune);
    expect(office.code(['r-max', 'admin'], { type: 'approve', id: byAdmin })).toBe('FORBIDDEN');
    office.send(DPO, { type: 'approve', id: byAdmin });
  });

  it('is begun and carried out by the system alone', () => {
    const office = new Office();
    const id = office.propose(DPO, erase('r-anna'));
    office.send(ADMIN, { type: 'approve', id });
    for (const who of [DPO, ADMIN, COMPLIANCE, OPERATOR]) {
      expect(office.code(who, { type: 'begin', id, judged: 0 })).toBe('FORBIDDEN');
      expect(office.code(who, { type: 'carriedOut', id, result: null })).toBe('FORBIDDEN');
      expect(office.code(who, { type: 'expire', id })).toBe('FORBIDDEN');
    }
    expect(office.code(SYSTEM, { type: 'carriedOut', id, result: null })).toBe('CONFLICT');
  });

  it('that forgets a person waits until what that person proposed is decided: under a new pseudonym they would be another one', () => {
    const office = new Office();
    const own = office.propose(DPO, prune);
    const id = office.propose(OTHER_DPO, erase(DPO[0]));
    expect(office.code(ADMIN, { type: 'approve', id })).toBe('CONFLICT');
    office.send(DPO, { type: 'withdraw', id: own });
    office.send(ADMIN, { type: 'approve', id });
    expect(office.code(DPO, office.proposal(prune))).toBe('CONFLICT');
    expect(office.code(DPO, { type: 'approve', id: office.propose(ADMIN, prune) })).toBeUndefined();
    office.send(SYSTEM, { type: 'begin', id, judged: office.placed });
    expect(office.code(DPO, office.proposal(prune))).toBe('CONFLICT');
  });

  it('that forgets the person who proposed it needs nothing more', () => {
    const office = new Office();
    const id = office.propose(DPO, erase(DPO[0]));
    office.send(OTHER_DPO, { type: 'approve', id });
    office.send(SYSTEM, { type: 'begin', id, judged: office.placed });
  });

  it('does not run beside another one for the same subject', () => {
    const office = new Office();
    office.propose(DPO, erase('r-anna'));
    expect(office.code(OTHER_DPO, office.proposal(erase('r-anna')))).toBe('CONFLICT');
    office.propose(OTHER_DPO, erase('r-bert'));
  });
});

describe('a hold', () => {
  it('on a subject or on everything stops the erasure of that subject at every step before it begins', () => {
    for (const scope of [everything, { kind: 'subject', id: 'r-anna' } as const]) {
      const office = new Office();
      const early = office.propose(DPO, erase('r-anna'));
      office.hold(scope);
      expect(office.code(ADMIN, { type: 'approve', id: early })).toBe('HELD');
      const later = new Office();
      const id = later.propose(DPO, erase('r-anna'));
      later.send(ADMIN, { type: 'approve', id });
      later.hold(scope);
      expect(later.code(SYSTEM, { type: 'begin', id, judged: later.placed })).toBe('HELD');
      expect(new Office().code(DPO, later.proposal(erase('r-anna')))).toBeUndefined();
      expect(later.code(DPO, later.proposal(erase('r-carl')))).toBe(scope === everything ? 'HELD' : undefined);
    }
  });

  it('that was placed after holds were judged makes them be judged again', () => {
    const office = new Office();
    const id = office.propose(DPO, erase('r-anna'));
    office.send(ADMIN, { type: 'approve', id });
    const judged = office.placed;
    office.hold({ kind: 'story', id: 'lighthouse' });
    expect(office.code(SYSTEM, { type: 'begin', id, judged })).toBe('CONFLICT');
    expect(office.code(SYSTEM, { type: 'begin', id, judged: office.placed })).toBeUndefined();
  });

  it('stops pruning when it is on everything, and nothing that destroys nothing', () => {
    const office = new Office();
    office.hold(everything);
    expect(office.code(DPO, office.proposal(prune))).toBe('HELD');
    expect(office.code(ADMIN, office.proposal(rotate))).toBeUndefined();
  });

  it('is placed by one data protection officer and released by two persons at once with the approval', () => {
    const office = new Office();
    for (const who of [ADMIN, COMPLIANCE, OPERATOR])
      expect(office.code(who, { type: 'placeHold', id: office.newId('h'), matter: 'case', scope: everything, until: null })).toBe(
        'FORBIDDEN',
      );
    const hold = office.hold(everything);
    const id = office.propose(DPO, { kind: 'release-hold', hold });
    expect(office.code(DPO, { type: 'approve', id })).toBe('NEEDS_ANOTHER_PERSON');
    expect(office.send(COMPLIANCE, { type: 'approve', id })).toMatchObject([
      { type: 'ActionApproved', id },
      { type: 'HoldReleased', id: hold, action: id },
      { type: 'ActionCarriedOut', id, result: { hold } },
    ]);
    expect(office.state).toMatchObject({ holds: [], actions: [] });
    expect(office.code(DPO, office.proposal({ kind: 'release-hold', hold }))).toBe('HOLD_NOT_FOUND');
  });

  it('ends by itself when it was placed for a time', () => {
    const office = new Office();
    const hold = office.hold({ kind: 'subject', id: 'r-anna' }, office.now + 10);
    expect(office.code(DPO, office.proposal(erase('r-anna')))).toBe('HELD');
    expect(office.code(SYSTEM, { type: 'expire', id: hold })).toBe('CONFLICT');
    office.now += 10;
    expect(office.code(DPO, office.proposal(erase('r-anna')))).toBeUndefined();
    expect(office.send(SYSTEM, { type: 'expire', id: hold })).toMatchObject([{ type: 'HoldReleased', action: null }]);
  });

  it('names its scope rightly', () => {
    const office = new Office();
    const place = (scope: object): ComplianceCommand =>
      ({ type: 'placeHold', id: office.newId('h'), matter: 'case', scope, until: null }) as ComplianceCommand;
    for (const scope of [{ kind: 'everything', id: 'x' }, { kind: 'subject', id: '*' }, { kind: 'planet', id: 'x' }, {}])
      expect(office.code(DPO, place(scope))).toBe('BAD_INPUT');
  });
});

describe('a broken glass', () => {
  const open = (office: Office, ms = MAX_GLASS_MS): ComplianceCommand => ({
    type: 'breakGlass',
    id: office.newId('g'),
    reason: 'an outage',
    until: office.now + ms,
    correlationId: 'b5052fa8',
  });

  it('is open for operators and administrators, for at most an hour, once each', () => {
    const office = new Office();
    for (const who of [DPO, COMPLIANCE]) expect(office.code(who, open(office))).toBe('FORBIDDEN');
    expect(office.code(OPERATOR, open(office, MAX_GLASS_MS + 1))).toBe('BAD_INPUT');
    expect(office.code(OPERATOR, open(office, 0))).toBe('BAD_INPUT');
    expect(office.send(OPERATOR, open(office))).toMatchObject([{ type: 'BreakGlassOpened', by: 'r-olaf', correlationId: 'b5052fa8' }]);
    expect(office.code(OPERATOR, open(office))).toBe('CONFLICT');
    expect(office.code(ADMIN, open(office))).toBeUndefined();
  });

  it('is closed by who opened it, by those who watch, or by time', () => {
    const office = new Office();
    const first = open(office, 10);
    office.send(OPERATOR, first);
    const { id } = first as { id: string };
    expect(office.code(['r-other', 'operator'], { type: 'closeGlass', id })).toBe('FORBIDDEN');
    expect(office.code(OPERATOR, { type: 'closeGlass', id })).toBeUndefined();
    expect(office.code(COMPLIANCE, { type: 'closeGlass', id })).toBeUndefined();
    office.now += 10;
    expect(office.send(SYSTEM, { type: 'expire', id })).toMatchObject([{ type: 'BreakGlassClosed', by: null }]);
    expect(office.code(DPO, { type: 'closeGlass', id })).toBe('BREAK_GLASS_NOT_FOUND');
  });
});

describe('however much is open', () => {
  it('the state stays below 64 KiB, and a hold can still be released', () => {
    const office = new Office();
    const longest = 'x'.repeat(100);
    let last = '';
    let holds = 0;
    for (; holds <= MAX_HOLDS; holds++) {
      const command: ComplianceCommand = {
        type: 'placeHold',
        id: office.newId('h'),
        matter: 'm'.repeat(500),
        scope: { kind: 'playthrough', id: `${longest}${holds}` },
        until: 1_795_000_000_000,
      };
      if (office.code(DPO, command) === 'TOO_MANY_OPEN') break;
      office.send(DPO, command);
      last = command.id;
    }
    expect(holds).toBeGreaterThan(150);
    office.propose(DPO, { kind: 'release-hold', hold: last });
    let actions = 1;
    for (; actions <= MAX_ACTIONS; actions++) {
      const proposal = office.proposal(erase(`${longest.slice(4)}${actions}`));
      if (office.code(DPO, proposal) === 'TOO_MANY_OPEN') break;
      office.send(DPO, proposal);
    }
    expect(actions).toBeGreaterThan(50);
    for (let glasses = 0; glasses < MAX_GLASSES; glasses++)
      office.send([`r-${longest.slice(8)}${glasses}`, 'operator'], {
        type: 'breakGlass',
        id: office.newId('g'),
        reason: 'r'.repeat(500),
        until: office.now + 1,
        correlationId: 'c'.repeat(200),
      });
    expect(
      office.code(OPERATOR, { type: 'breakGlass', id: office.newId('g'), reason: 'one more', until: office.now + 1, correlationId: 'c' }),
    ).toBe('TOO_MANY_OPEN');
    expect(Buffer.byteLength(complianceStateToJson(office.state as ComplianceState))).toBeLessThan(64 * 1024);
  });

  it('500 holds on stories and 100 actions have room', () => {
    const office = new Office();
    for (let n = 0; n < MAX_HOLDS; n++) office.hold({ kind: 'story', id: `s${n}` });
    expect(
      office.code(DPO, { type: 'placeHold', id: office.newId('h'), matter: 'case', scope: { kind: 'story', id: 'one' }, until: null }),
    ).toBe('TOO_MANY_OPEN');
    for (let n = 0; n < MAX_ACTIONS; n++) office.propose(DPO, erase(`r-${n}`));
    expect(office.code(DPO, office.proposal(erase('r-one')))).toBe('TOO_MANY_OPEN');
  });
});

describe('whatever is sent', () => {
  it('is answered with events that fold, or with a known code', () => {
    const office = new Office();
    office.hold({ kind: 'subject', id: 'r-anna' });
    const id = office.propose(DPO, erase('r-bert'));
    const text = fc.oneof(fc.string(), fc.constantFrom(id, 'r-anna', '\ud800', 'x'.repeat(501)), fc.anything());
    const garbage = fc.oneof(
      fc.anything(),
      fc.record(
        {
          type: fc.oneof(
            fc.constantFrom('propose', 'approve', 'refuse', 'withdraw', 'placeHold', 'begin', 'carriedOut', 'expire'),
            fc.anything(),
          ),
          id: text,
          reason: text,
          matter: text,
          until: fc.oneof(fc.nat(), fc.anything()),
          judged: fc.oneof(fc.nat(3), fc.anything()),
          result: fc.anything(),
          expiresAt: fc.oneof(fc.nat(), fc.anything()),
          action: fc.oneof(
            fc.anything(),
            fc.record({ id: text, kind: fc.oneof(fc.constantFrom(...ACTION_KINDS), fc.anything()), subject: text, legalBasis: text }),
          ),
          scope: fc.oneof(fc.anything(), fc.record({ kind: fc.constantFrom('subject', 'everything'), id: text })),
        },
        { requiredKeys: ['type'] },
      ),
    );
    const known =
      /^(BAD_INPUT|FORBIDDEN|CONFLICT|ACTION_NOT_FOUND|ACTION_EXPIRED|NEEDS_ANOTHER_PERSON|HELD|HOLD_NOT_FOUND|BREAK_GLASS_NOT_FOUND|TOO_MANY_OPEN)$/;
    fc.assert(
      fc.property(garbage, fc.constantFrom(DPO, ADMIN, SYSTEM), fc.boolean(), (command, [actor, role], empty) => {
        const state = empty ? null : office.state;
        const decision = compliance.decide(command as ComplianceCommand, state, { now: office.now, actor: { id: actor, role } });
        if (isRejection(decision)) {
          expect(decision.rejected).toMatch(known);
          return;
        }
        let after = state;
        for (const event of decision) after = applyRecordedCompliance(after, event);
        if (after !== null) expect(complianceStateFromJson(complianceStateToJson(after))).toEqual(after);
      }),
      { numRuns: 1_500 },
    );
  });

  it('is not read as a state when it is none', () => {
    for (const text of ['null', '{}', '{"actions":[]}', '{"actions":[],"holds":{},"glasses":[],"placed":0}', 'x'])
      expect(() => complianceStateFromJson(text)).toThrow();
  });
});
