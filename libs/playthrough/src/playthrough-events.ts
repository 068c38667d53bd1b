import type { Value } from '#lib/story';
import type { NarrativeState, ReaderCheckpoint } from './playthrough-state.js';

/*
 * The storage format of a playthrough's stream. A change here needs a new version and an upcaster; golden files hold every version ever written.
 * Each event carries the state hash after it, so that a fold is checked at every turn.
 */

export type OfferedChoice = {
  readonly choiceId: string;
  readonly visible: boolean;
  readonly enabled: boolean;
  /** Text of the part of the guard that failed, when it was locked or hidden. */
  readonly failed?: string;
};
export type Change = {
  readonly name: string;
  readonly from: Value;
  readonly to: Value;
};
export type Draw = {
  /** Stable id of the effect that drew. */
  readonly id: string;
  /** Draw counter within the playthrough: with the seed and the id it is the draw's key. */
  readonly n: number;
  readonly result: Value;
};

/** What one move did, whoever caused it. */
type Move = {
  readonly turn: number;
  readonly storyId: string;
  readonly versionHash: string;
  /** Version of the engine's own semantics (draws, clamping, order of effects). */
  readonly semantics: 1;
  readonly fromPassageId: string;
  readonly choiceId: string;
  /** What stood before the reader, in order, hidden choices of the passage too; the denominator of every statistic. */
  readonly offered: readonly OfferedChoice[];
  /** Variables that the guards of the taken choice read. */
  readonly guardInputs: { readonly [name: string]: Value };
  readonly changes: readonly Change[];
  readonly draws: readonly Draw[];
  /** Where the reader stands now; equal to fromPassageId when the choice ended the story in place. */
  readonly toPassageId: string;
  /** Whether that passage was entered by this move (a visit more); false when the choice ended the story in place. */
  readonly entered: boolean;
  readonly returnTo: readonly string[];
  readonly at: number;
  readonly deadline: number | null;
  readonly stateHash: string;
};

export type PlaythroughStarted = {
  readonly type: 'PlaythroughStarted';
  readonly v: 1;
  readonly playthroughId: string;
  readonly storyId: string;
  readonly versionHash: string;
  readonly semantics: 1;
  readonly seed: string;
  readonly reader: string;
  readonly preview: boolean;
  readonly draws: readonly Draw[];
  readonly narrative: NarrativeState;
  readonly at: number;
  readonly deadline: number | null;
  readonly stateHash: string;
};
export type ChoiceMade = Move & {
  readonly type: 'ChoiceMade';
  readonly v: 1;
  /** Position among the visible offers; for people, never a key. */
  readonly ordinal: number;
  /** SHA-256 of the label shown. */
  readonly labelHash: string;
  readonly decisionMs: number;
};
/** The timed choice was taken because nobody chose before its deadline. */
export type TimedOut = Move & { readonly type: 'TimedOut'; readonly v: 1 };
export type PlaythroughEnded = {
  readonly type: 'PlaythroughEnded';
  readonly v: 1;
  readonly turn: number;
  readonly passageId: string;
  readonly ending: string;
  readonly at: number;
  readonly stateHash: string;
};
/** Going back: nothing is deleted, and the whole resulting state travels so that folding needs no history. */
export type Rewound = {
  readonly type: 'Rewound';
  readonly v: 1;
  readonly turn: number;
  readonly toTurn: number;
  readonly narrative: NarrativeState;
  readonly at: number;
  readonly deadline: number | null;
  readonly stateHash: string;
};
/** First event of a what-if's own stream. */
export type WhatIfForked = {
  readonly type: 'WhatIfForked';
  readonly v: 1;
  readonly playthroughId: string;
  readonly from: { readonly playthroughId: string; readonly turn: number };
  readonly storyId: string;
  readonly versionHash: string;
  readonly semantics: 1;
  readonly seed: string;
  readonly reader: string;
  readonly narrative: NarrativeState;
  readonly at: number;
  readonly deadline: number | null;
  readonly stateHash: string;
};
export type CheckpointSet = {
  readonly type: 'CheckpointSet';
  readonly v: 1;
  readonly turn: number;
  readonly checkpoint: ReaderCheckpoint;
  readonly at: number;
  readonly stateHash: string;
};

export type PlaythroughEvent = PlaythroughStarted | ChoiceMade | TimedOut | PlaythroughEnded | Rewound | WhatIfForked | CheckpointSet;
