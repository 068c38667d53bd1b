import { shapes, type Actor, type ObjectShape } from '#lib/decision';

/*
 * What two people together may have done. The types below are stored in events: a change needs a new version of `ActionProposed`.
 */

export type ActionKind = 'erase' | 'prune' | 'release-hold' | 'rotate-signing-key' | 'rotate-kek' | 'set-retention';

/** Destroys the keys of a reader's personal data; `subject` is the reader's pseudonym. */
export type EraseAction = {
  readonly id: string;
  readonly kind: 'erase';
  readonly subject: string;
  /** E.g. `GDPR 17(1)(b)`; never a person's name. */
  readonly legalBasis: string;
};
/** Forgets what a retention class no longer keeps: audit leaves or the log itself, below an offset of each partition named. */
export type PruneAction = {
  readonly id: string;
  readonly kind: 'prune';
  readonly retention: string;
  readonly what: 'leaves' | 'log';
  readonly before: readonly { readonly partition: number; readonly offset: number }[];
};
export type ReleaseHoldAction = { readonly id: string; readonly kind: 'release-hold'; readonly hold: string };
export type RotateSigningKeyAction = { readonly id: string; readonly kind: 'rotate-signing-key'; readonly newVkey: string };
/** Wraps every data key anew. */
export type RotateKekAction = { readonly id: string; readonly kind: 'rotate-kek'; readonly from: string; readonly to: string };
export type SetRetentionAction = {
  readonly id: string;
  readonly kind: 'set-retention';
  readonly retention: string;
  readonly purpose: string;
  /** Null: as long as there is no reason to forget. */
  readonly keepDays: number | null;
};
export type Action = EraseAction | PruneAction | ReleaseHoldAction | RotateSigningKeyAction | RotateKekAction | SetRetentionAction;
/** An action as somebody asks for it: its id comes with the command. */
export type Asked = { readonly [K in ActionKind]: Omit<Extract<Action, { kind: K }>, 'id'> }[ActionKind];

const { about, constant, integer, list, nullable, object, oneOf, text } = shapes;

export const MAX_REASON = 500;
const MAX_NAME = 120;
const PRINTABLE = /^[\x21-\x7e]+$/;
/** No control characters. */
const PLAIN = /^\P{Cc}*$/u;
const MAX_PARTITIONS = 1_024;

export const idShape = about('Derived from who asked and their commandId.', text({ max: 40, pattern: /^[a-z]-[0-9a-f]{16}$/ }));
export const pseudonymShape = text({ max: 100, pattern: PRINTABLE });
/** Words of staff; they hold no personal data. */
export const reasonShape = text({ min: 3, max: MAX_REASON, pattern: PLAIN });
export const nameShape = text({ max: MAX_NAME, pattern: PLAIN });

export const actionShapes: { readonly [K in ActionKind]: ObjectShape<Extract<Action, { kind: K }>> } = {
  erase: object<EraseAction>({
    id: idShape,
    kind: constant('erase'),
    subject: pseudonymShape,
    legalBasis: text({ min: 3, max: 200, pattern: PLAIN }),
  }),
  prune: object<PruneAction>({
    id: idShape,
    kind: constant('prune'),
    retention: nameShape,
    what: oneOf('leaves', 'log'),
    before: list(object<PruneAction['before'][number]>({ partition: integer(0, 4_095), offset: integer() }), MAX_PARTITIONS),
  }),
  'release-hold': object<ReleaseHoldAction>({ id: idShape, kind: constant('release-hold'), hold: idShape }),
  'rotate-signing-key': object<RotateSigningKeyAction>({
    id: idShape,
    kind: constant('rotate-signing-key'),
    newVkey: text({ max: 400, pattern: PRINTABLE }),
  }),
  'rotate-kek': object<RotateKekAction>({ id: idShape, kind: constant('rotate-kek'), from: nameShape, to: nameShape }),
  'set-retention': object<SetRetentionAction>({
    id: idShape,
    kind: constant('set-retention'),
    retention: nameShape,
    purpose: reasonShape,
    keepDays: nullable(integer(1, 36_500)),
  }),
};

export const ACTION_KINDS = Object.keys(actionShapes) as readonly ActionKind[];
export const isActionKind = (kind: unknown): kind is ActionKind => typeof kind === 'string' && Object.hasOwn(actionShapes, kind);

/** What the action is about, so that two of them do not run beside each other; empty where that is no question. */
export function targetOf(action: Action): string {
  if (action.kind === 'erase') return action.subject;
  return action.kind === 'release-hold' ? action.hold : '';
}

/** What cannot be undone, and what a hold therefore stops. */
export const destroys = (kind: ActionKind): boolean => kind === 'erase' || kind === 'prune';

export type Role = Actor['role'];
const PROPOSE: { readonly [K in ActionKind]: readonly Role[] } = {
  erase: ['dpo'],
  prune: ['dpo', 'admin'],
  'release-hold': ['dpo'],
  'rotate-signing-key': ['admin'],
  'rotate-kek': ['admin'],
  'set-retention': ['dpo', 'admin'],
};

/** Who may propose such an action. */
export const proposers = (kind: ActionKind): readonly Role[] => PROPOSE[kind];

/** Who may approve or refuse it, besides being another person: pruning and retention need a data protection officer and an administrator. */
export function approvers(kind: ActionKind, proposedAs: Role): readonly Role[] {
  switch (kind) {
    case 'erase':
      return ['dpo', 'admin'];
    case 'release-hold':
      return ['dpo', 'admin', 'compliance'];
    case 'prune':
    case 'set-retention':
      return proposedAs === 'dpo' ? ['admin'] : ['dpo'];
    default:
      return ['admin', 'dpo'];
  }
}
