/** What a monitor raises: stable names, and the exit code of a round that raises it. Those that the verifiers know too have their codes. */
export const ALARMS = {
  /** A note that no trusted key signed, or that speaks of another tree. */
  BAD_SIGNATURE: 10,
  /** Entries that do not give the signed root. */
  ENTRIES_DIFFER: 11,
  /** A tree that became smaller than it was signed and shown. */
  ROLLED_BACK: 14,
  /** Two signed histories of one tree. */
  FORK: 15,
  /** An answer that is not in the form that Fabula gives. */
  MALFORMED: 17,
  /** The server does not answer, or does not let the monitor in. */
  UNREACHABLE: 30,
  /** Another log than the one that was watched. */
  OTHER_LOG: 31,
  /** A note was shown that the root tree does not hold. */
  NOTE_NOT_IN_ROOT: 32,
  /** Nothing was signed or published again for too long. */
  STALE: 33,
  /** The log ends before leaves or read models do, or ended later before. */
  LOG_SHRANK: 34,
  /** The auditor does not go on although the log does. */
  AUDIT_STANDS: 35,
  /** The projector does not go on although the log does. */
  PROJECTION_STANDS: 36,
  /** Read models count other verdicts than the leaves. */
  COUNTS_DIFFER: 37,
} as const;

export type AlarmName = keyof typeof ALARMS;

export interface Alarm {
  readonly name: AlarmName;
  readonly exitCode: number;
  readonly tree?: string;
  readonly message: string;
  /** The notes that contradict each other, whole: evidence. */
  readonly notes?: readonly string[];
}

/** The worst first: what contradicts a signature says more than what is late. */
const PRIORITY: readonly AlarmName[] = [
  'FORK',
  'ROLLED_BACK',
  'BAD_SIGNATURE',
  'ENTRIES_DIFFER',
  'NOTE_NOT_IN_ROOT',
  'OTHER_LOG',
  'LOG_SHRANK',
  'COUNTS_DIFFER',
  'MALFORMED',
  'AUDIT_STANDS',
  'PROJECTION_STANDS',
  'STALE',
  'UNREACHABLE',
];

export const byWeight = (alarms: readonly Alarm[]): readonly Alarm[] =>
  alarms.toSorted((a, b) => PRIORITY.indexOf(a.name) - PRIORITY.indexOf(b.name));

/** Ends what is looked at with an alarm; what was believed before stays believed. */
export class Raised extends Error {
  override readonly name = 'Raised';
  readonly alarm: Alarm;
  constructor(name: AlarmName, message: string, more: { readonly tree?: string; readonly notes?: readonly string[] } = {}) {
    super(message);
    this.alarm = { name, exitCode: ALARMS[name], message, ...more };
  }
}
