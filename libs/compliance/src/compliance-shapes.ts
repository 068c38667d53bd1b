import type { Json } from '#lib/canonical';
import { eventShape, shapes, type Actor, type EventShapes, type Shape } from '#lib/decision';
import { actionShapes, idShape, nameShape, pseudonymShape, reasonShape, type Action } from './action.js';
import type {
  ActionApproved,
  ActionBegun,
  ActionCarriedOut,
  ActionExpired,
  ActionProposed,
  ActionRefused,
  ActionWithdrawn,
  BreakGlassClosed,
  BreakGlassOpened,
  ComplianceCommand,
  ComplianceEvent,
  HoldPlaced,
  HoldReleased,
  HoldScope,
  LogBaseTaken,
} from './compliance-stream.js';

/*
 * The storage format of the compliance stream, field by field: the JSON Schemas in `schemas/events` are made of it, and every event is checked
 * against it before it is appended. What has been released is never changed; docs/how-to/evolve-events.md says how to go on instead.
 */

const { about, anyOf, constant, integer, nullable, object, oneOf, sha256Shape, text } = shapes;

/** What an executor tells: its own form for each kind of action, see docs/how-to/keep-and-hold.md. */
const anything: Shape<Json> = { schema: {}, fault: (value) => (value === undefined ? ': is missing' : undefined) };
const partitionShape = integer(0, 4_095);
const correlation = text({ max: 200 });

export const scopeShape = object<HoldScope>({
  kind: oneOf('subject', 'story', 'playthrough', 'everything'),
  id: about('Pseudonym, story id or playthrough id; `*` for everything.', nameShape),
});

const kept = {
  at: about('When, in ms since the epoch; never decreases within a stream.', integer()),
  stateHash: about('SHA-256 of the state after this event, by which every fold is checked.', sha256Shape()),
};
const of = (what: string): Shape<string> => about(`Id of the ${what}.`, idShape);
const by = {
  by: about('Pseudonym of who did it.', pseudonymShape),
  role: about('The role they acted in.', oneOf<Actor['role']>('reader', 'author', 'compliance', 'dpo', 'operator', 'admin', 'system')),
};
const reason = about('Words of staff; they hold no personal data.', reasonShape);

const versions = {
  ActionProposed: [
    eventShape<ActionProposed>('ActionProposed', 1, 'Somebody proposed what two people must agree on.', {
      ...kept,
      ...by,
      action: about('What is to be done.', anyOf<Action>(...Object.values(actionShapes as { readonly [kind: string]: Shape<Action> }))),
      reason,
      expiresAt: about('Not approved after then, ms since the epoch.', integer()),
    }),
  ],
  ActionApproved: [eventShape<ActionApproved>('ActionApproved', 1, 'Another person agreed.', { id: of('action'), ...kept, ...by })],
  ActionRefused: [
    eventShape<ActionRefused>('ActionRefused', 1, 'Another person did not agree.', { id: of('action'), ...kept, ...by, reason }),
  ],
  ActionWithdrawn: [
    eventShape<ActionWithdrawn>('ActionWithdrawn', 1, 'Who proposed it took it back.', { id: of('action'), ...kept, ...by }),
  ],
  ActionExpired: [eventShape<ActionExpired>('ActionExpired', 1, 'Nobody approved it in time.', { id: of('action'), ...kept })],
  ActionBegun: [
    eventShape<ActionBegun>('ActionBegun', 1, 'It is being carried out: from here on no hold stops it.', { id: of('action'), ...kept }),
  ],
  ActionCarriedOut: [
    eventShape<ActionCarriedOut>('ActionCarriedOut', 1, 'It was carried out.', {
      id: of('action'),
      ...kept,
      result: about('What whoever carried it out tells of it.', anything),
    }),
  ],
  LogBaseTaken: [
    eventShape<LogBaseTaken>(
      'LogBaseTaken',
      1,
      'What a partition of the log begins with once its records before the offset are forgotten.',
      {
        id: of('action'),
        ...kept,
        partition: about('The partition.', partitionShape),
        offset: about('The records before it are in the base.', integer(1)),
        digest: about('SHA-256 over all that is kept of them; docs/reference/log-base.md says of what.', sha256Shape()),
      },
    ),
  ],
  HoldPlaced: [
    eventShape<HoldPlaced>('HoldPlaced', 1, 'What the scope names is neither erased nor pruned until the hold is released.', {
      id: of('hold'),
      ...kept,
      ...by,
      matter: about('What it is held for; no personal data.', reasonShape),
      scope: about('What is held.', scopeShape),
      until: about('It ends then by itself, ms since the epoch; null: only by release.', nullable(integer())),
    }),
  ],
  HoldReleased: [
    eventShape<HoldReleased>('HoldReleased', 1, 'The hold is over.', {
      id: of('hold'),
      ...kept,
      action: about('The action of two people that released it; null: its time was over.', nullable(idShape)),
    }),
  ],
  BreakGlassOpened: [
    eventShape<BreakGlassOpened>('BreakGlassOpened', 1, 'Somebody may read bodies for a while, which their role alone does not let them.', {
      id: of('broken glass'),
      ...kept,
      ...by,
      reason,
      until: about('Over by then, ms since the epoch.', integer()),
      correlationId: about('Of the request that opened it: what is read meanwhile is filed under it.', correlation),
    }),
  ],
  BreakGlassClosed: [
    eventShape<BreakGlassClosed>('BreakGlassClosed', 1, 'It is over.', {
      id: of('broken glass'),
      ...kept,
      by: about('Who closed it; null: its time was over.', nullable(pseudonymShape)),
    }),
  ],
} satisfies { readonly [type in ComplianceEvent['type']]: readonly Shape[] };

/** The shape of every version of every event of the compliance stream. */
export const complianceShapes: EventShapes = new Map(
  Object.entries(versions).map(([type, known]) => [type, { written: 1, versions: known }]),
);

type Command<T extends ComplianceCommand['type']> = Extract<ComplianceCommand, { type: T }>;

/** Commands as they must be; the action of a proposal is checked by its kind. */
export const commandShapes: { readonly [T in ComplianceCommand['type']]: Shape<Command<T>> } = {
  propose: object<Command<'propose'>>({
    type: constant('propose'),
    action: anything as unknown as Shape<Action>,
    reason: reasonShape,
    expiresAt: integer(),
  }),
  approve: object<Command<'approve'>>({ type: constant('approve'), id: idShape }),
  refuse: object<Command<'refuse'>>({ type: constant('refuse'), id: idShape, reason: reasonShape }),
  withdraw: object<Command<'withdraw'>>({ type: constant('withdraw'), id: idShape }),
  placeHold: object<Command<'placeHold'>>({
    type: constant('placeHold'),
    id: idShape,
    matter: reasonShape,
    scope: scopeShape,
    until: nullable(integer()),
  }),
  breakGlass: object<Command<'breakGlass'>>({
    type: constant('breakGlass'),
    id: idShape,
    reason: reasonShape,
    until: integer(),
    correlationId: correlation,
  }),
  closeGlass: object<Command<'closeGlass'>>({ type: constant('closeGlass'), id: idShape }),
  begin: object<Command<'begin'>>({ type: constant('begin'), id: idShape, judged: integer() }),
  logBase: object<Command<'logBase'>>({
    type: constant('logBase'),
    id: idShape,
    partition: partitionShape,
    offset: integer(1),
    digest: sha256Shape(),
  }),
  carriedOut: object<Command<'carriedOut'>>({ type: constant('carriedOut'), id: idShape, result: anything }),
  expire: object<Command<'expire'>>({ type: constant('expire'), id: idShape }),
};
