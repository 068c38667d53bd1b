/*
 * How long what is recorded is kept, and for what: the one table of it. Classes go by what a record is about, so that a record belongs to
 * one class whatever its events; docs/reference/retention.md is made of this table.
 */

export type RetentionName = 'play' | 'refused' | 'stories' | 'compliance' | 'log';

export interface RetentionClass {
  readonly name: RetentionName;
  readonly purpose: string;
  /** Until two people set something else; null: as long as there is no reason to forget. */
  readonly keepDays: number | null;
  /** It cannot be kept without an end: it tells of readers, and nobody asked for their age. */
  readonly mustEnd: boolean;
  /** Streams of that kind, `<kind>/…`; null: records that had no effect, of any stream. */
  readonly streams: string | null;
  /** What each of its event types is recorded for. */
  readonly events: Readonly<Record<string, string>>;
}

/** Whoever may be a child counts as one: three years after a turn it may be forgotten, if nobody set another end. */
const READERS_DAYS = 1_095;
const REFUSED_DAYS = 365;

export const RETENTION_CLASSES: readonly RetentionClass[] = [
  {
    name: 'play',
    purpose: 'Playing on, rewinding, and showing readers and auditors what happened.',
    keepDays: READERS_DAYS,
    mustEnd: true,
    streams: 'playthrough',
    events: {
      PlaythroughStarted: 'Where a playthrough begins, and of which version of the story.',
      ChoiceMade: 'One turn: going on from it, rewinding to it, showing that it was allowed.',
      TimedOut: 'A turn that time took.',
      PlaythroughEnded: 'That an ending was reached.',
      Rewound: 'Going on from an earlier turn.',
      WhatIfForked: 'Trying another way without changing this one.',
      CheckpointSet: "A reader's bookmark; its name is sealed under the reader's key and goes with it.",
    },
  },
  {
    name: 'refused',
    purpose: 'Showing that retries, conflicts and damaged records had no effect.',
    keepDays: REFUSED_DAYS,
    mustEnd: true,
    streams: null,
    events: {},
  },
  {
    name: 'stories',
    purpose: 'Knowing which version of a story was offered when, and by whom; playing it on.',
    keepDays: null,
    mustEnd: false,
    streams: 'story',
    events: {
      StoryVersionDrafted: 'That a version exists, and who wrote it.',
      StoryVersionPublished: 'Since when readers may start it.',
      StoryVersionRetired: 'Since when they may not.',
    },
  },
  {
    name: 'compliance',
    purpose: 'Accounting for what was held, erased, pruned and looked at, and by whose decision.',
    keepDays: null,
    mustEnd: false,
    streams: 'compliance',
    events: {
      ActionProposed: 'What was to be done, and why.',
      ActionApproved: 'That another person agreed.',
      ActionRefused: 'That another person did not agree, and why.',
      ActionWithdrawn: 'That it was taken back.',
      ActionExpired: 'That nobody approved it in time.',
      ActionBegun: 'From when on no hold could stop it.',
      ActionCarriedOut: 'What came of it.',
      LogBaseTaken: 'What a partition begins with whose first records were forgotten.',
      HoldPlaced: 'What must not be erased or pruned.',
      HoldReleased: 'That it may be again.',
      BreakGlassOpened: 'Who read bodies although their role alone does not let them, and why.',
      BreakGlassClosed: 'When that ended.',
    },
  },
  {
    name: 'log',
    purpose: 'Following a log back to the one that it was copied from.',
    keepDays: null,
    mustEnd: false,
    streams: 'log',
    events: { LogCopied: 'Which log it was copied from.', LogCopyFinished: 'That all of it was.' },
  },
];

export function retentionClass(name: string): RetentionClass | undefined {
  return RETENTION_CLASSES.find((one) => one.name === name);
}

/** The class of a record; undefined: this build knows none, so it is kept. */
export function retentionOf(stream: string | null, accepted: boolean): RetentionClass | undefined {
  const kind = accepted ? (stream?.slice(0, stream.indexOf('/')) ?? '') : null;
  return RETENTION_CLASSES.find(({ streams }) => streams === kind);
}
