import * as fc from 'fast-check';
import { isRejection } from '#lib/decision';
import type { Asked, Role } from './action.js';
import type { ComplianceCommand, ComplianceEvent, HoldScope } from './compliance-stream.js';
import { Office, type Who } from './testing/office.js';

/*
 * Random histories of staff, executors and time, judged by an account of its own that knows nothing of `decide`: it only reads events. What must
 * never happen is looked for in every history.
 */

interface Account {
  readonly holds: Map<string, { readonly scope: HoldScope; readonly until: number | null }>;
  readonly actions: Map<
    string,
    { readonly by: string; readonly asked: Asked; readonly expiresAt: number; approved: boolean; begun: boolean; done: number }
  >;
}

const SUBJECTS = ['r-1', 'r-2'] as const;
const people: readonly Who[] = [
  ['p-1', 'dpo'],
  ['p-1', 'admin'],
  ['p-2', 'dpo'],
  ['p-3', 'admin'],
  ['p-4', 'compliance'],
  ['p-5', 'operator'],
];

type Step =
  | {
      readonly do: 'propose';
      readonly who: number;
      readonly kind: 'erase' | 'prune' | 'release-hold' | 'rotate-kek';
      readonly about: number;
      readonly for: number;
    }
  | { readonly do: 'approve' | 'refuse' | 'withdraw'; readonly who: number; readonly about: number }
  | { readonly do: 'hold'; readonly who: number; readonly scope: number; readonly for: number }
  | { readonly do: 'begin'; readonly about: number; readonly stale: boolean }
  | { readonly do: 'carriedOut'; readonly about: number }
  | { readonly do: 'logBase'; readonly about: number }
  | { readonly do: 'expire'; readonly about: number }
  | { readonly do: 'wait'; readonly ms: number };

const who = fc.nat(people.length - 1);
const about = fc.nat(5);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant('propose' as const),
    who,
    kind: fc.constantFrom('erase' as const, 'erase' as const, 'prune' as const, 'release-hold' as const, 'rotate-kek' as const),
    about,
    for: fc.integer({ min: 1, max: 60 }),
  }),
  fc.record({ do: fc.constantFrom('approve' as const, 'approve' as const, 'refuse' as const, 'withdraw' as const), who, about }),
  fc.record({ do: fc.constant('hold' as const), who, scope: fc.nat(3), for: fc.nat(60) }),
  fc.record({ do: fc.constant('begin' as const), about, stale: fc.boolean() }),
  fc.record({ do: fc.constant('carriedOut' as const), about }),
  fc.record({ do: fc.constant('logBase' as const), about }),
  fc.record({ do: fc.constant('expire' as const), about }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 40 }) }),
);

const scopes: readonly HoldScope[] = [
  { kind: 'subject', id: SUBJECTS[0] },
  { kind: 'subject', id: SUBJECTS[1] },
  { kind: 'everything', id: '*' },
  { kind: 'story', id: 'lighthouse' },
];

/** A way that one `judged` may be taken: as the state is now, or as it was before the last hold. */
function commandOf(office: Office, one: Step): readonly [Who, ComplianceCommand] | undefined {
  const open = office.state?.actions ?? [];
  const holds = office.state?.holds ?? [];
  const action = open[('about' in one ? one.about : 0) % Math.max(1, open.length)];
  switch (one.do) {
    case 'wait':
      office.now += one.ms;
      return undefined;
    case 'propose': {
      const hold = holds[one.about % Math.max(1, holds.length)];
      if (one.kind === 'release-hold' && hold === undefined) return undefined;
      const asked: Asked =
        one.kind === 'erase'
          ? { kind: 'erase', subject: SUBJECTS[one.about % 2] as string, legalBasis: 'GDPR 17' }
          : one.kind === 'prune'
            ? { kind: 'prune', retention: 'all', what: 'log', before: [] }
            : one.kind === 'rotate-kek'
              ? { kind: 'rotate-kek', from: 'a', to: 'b' }
              : { kind: 'release-hold', hold: hold?.id ?? '' };
      return [people[one.who] as Who, office.proposal(asked, office.now + one.for)];
    }
    case 'hold':
      return [
        people[one.who] as Who,
        {
          type: 'placeHold',
          id: office.newId('h'),
          matter: 'case',
          scope: scopes[one.scope] as HoldScope,
          until: one.for < 20 ? null : office.now + one.for,
        },
      ];
    case 'expire': {
      const ending = [...open, ...holds][one.about % Math.max(1, open.length + holds.length)];
      return ending === undefined ? undefined : [['system', 'system'], { type: 'expire', id: ending.id }];
    }
    default:
      break;
  }
  if (action === undefined) return undefined;
  const { id } = action;
  if (one.do === 'begin') return [['system', 'system'], { type: 'begin', id, judged: office.placed - (one.stale ? 1 : 0) }];
  if (one.do === 'carriedOut') return [['system', 'system'], { type: 'carriedOut', id, result: null }];
  if (one.do === 'logBase') return [['system', 'system'], { type: 'logBase', id, partition: 0, offset: 1, digest: 'a'.repeat(64) }];
  const person = people[one.who] as Who;
  return [person, one.do === 'refuse' ? { type: 'refuse', id, reason: 'no, no' } : { type: one.do, id }];
}

/** What must never happen, said of one event and the account before it. */
function broken({ holds, actions }: Account, event: ComplianceEvent): string | undefined {
  if (event.type === 'ActionApproved' || event.type === 'ActionBegun') {
    const action = actions.get(event.id);
    if (action === undefined) return 'something that was never proposed went on';
    const { asked } = action;
    if (asked.kind === 'erase' || asked.kind === 'prune') {
      for (const { scope, until } of holds.values()) {
        const stands = until === null || until > event.at;
        const touches = scope.kind === 'everything' || (asked.kind === 'erase' && scope.kind === 'subject' && scope.id === asked.subject);
        if (stands && touches) return `${asked.kind} went on under a hold on ${scope.kind}`;
      }
    }
    if (event.type === 'ActionBegun') return action.approved && !action.begun ? undefined : 'it began unapproved, or twice';
    if (event.by === action.by) return 'somebody approved their own proposal';
    if (event.at >= action.expiresAt) return 'it was approved after its time';
    return action.approved ? 'it was approved twice' : undefined;
  }
  if (event.type === 'LogBaseTaken') {
    const action = actions.get(event.id);
    return action?.begun === true && action.done === 0 && action.asked.kind === 'prune' ? undefined : 'a base of no pruning was recorded';
  }
  if (event.type === 'ActionCarriedOut') {
    const action = actions.get(event.id);
    if (action === undefined || action.done > 0) return 'it was carried out twice, or never proposed';
    if (!action.approved) return 'it was carried out unapproved';
    return action.asked.kind === 'release-hold' || action.begun ? undefined : 'it was carried out before it began';
  }
  return undefined;
}

function kept({ holds, actions }: Account, event: ComplianceEvent): void {
  switch (event.type) {
    case 'ActionProposed':
      actions.set(event.action.id, {
        by: event.by,
        asked: event.action,
        expiresAt: event.expiresAt,
        approved: false,
        begun: false,
        done: 0,
      });
      return;
    case 'HoldPlaced':
      holds.set(event.id, { scope: event.scope, until: event.until });
      return;
    case 'HoldReleased':
      holds.delete(event.id);
      return;
    default: {
      const action = actions.get('id' in event ? event.id : '');
      if (action === undefined) return;
      if (event.type === 'ActionApproved') action.approved = true;
      if (event.type === 'ActionBegun') action.begun = true;
      if (event.type === 'ActionCarriedOut') action.done++;
    }
  }
}

describe('in every history', () => {
  it('nothing held is destroyed, nobody approves what they proposed or what is too old, and nothing is carried out twice', () => {
    const seen = new Map<string, number>();
    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 80 }), (steps) => {
        const office = new Office();
        const account: Account = { holds: new Map(), actions: new Map() };
        for (const one of steps) {
          const sent = commandOf(office, one);
          if (sent === undefined) continue;
          const [person, command] = sent;
          const stale = command.type === 'begin' && command.judged !== office.placed;
          if (isRejection(office.decide(person, command))) continue;
          for (const event of office.send(person, command)) {
            expect(broken(account, event)).toBeUndefined();
            if (event.type === 'ActionBegun') expect(stale).toBe(false);
            kept(account, event);
            seen.set(event.type, (seen.get(event.type) ?? 0) + 1);
          }
        }
      }),
      { numRuns: process.env['FABULA_TEST_LONG'] === undefined ? 400 : 20_000, seed: 5 },
    );
    // A history in which nothing happens proves nothing.
    for (const type of [
      'ActionApproved',
      'ActionBegun',
      'ActionCarriedOut',
      'ActionExpired',
      'HoldReleased',
      'ActionRefused',
      'ActionWithdrawn',
    ])
      expect([type, (seen.get(type) ?? 0) > 20]).toEqual([type, true]);
  });

  it('roles are as the record says, so that an auditor can check them', () => {
    const office = new Office();
    const id = office.propose(['p-1', 'dpo'], { kind: 'erase', subject: 'r-1', legalBasis: 'GDPR 17' });
    const roles = (['p-2', 'p-3'] as const).map((person, i): Role => {
      const [event] =
        i === 0
          ? office.send([person, 'admin'], { type: 'approve', id })
          : office.send([person, 'dpo'], { type: 'refuse', id, reason: 'late' });
      return (event as { readonly role: Role }).role;
    });
    expect(roles).toEqual(['admin', 'dpo']);
  });
});
