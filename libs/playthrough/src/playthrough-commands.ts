import type { CompiledStory } from '#lib/story';
import type { NarrativeState, ReaderCheckpoint } from './playthrough-state.js';

/** `turn` is always the turn the reader saw; another one is answered with TURN_STALE. */
export type PlaythroughCommand =
  | { readonly type: 'start'; readonly storyId: string; readonly versionHash: string; readonly preview: boolean; readonly seed?: string }
  | { readonly type: 'choose'; readonly choiceId: string; readonly turn: number }
  | { readonly type: 'rewind'; readonly toTurn: number; readonly turn: number }
  /** Sent to the stream of the new what-if. */
  | { readonly type: 'fork'; readonly from: string; readonly atTurn: number }
  | { readonly type: 'setCheckpoint'; readonly checkpoint: ReaderCheckpoint; readonly turn: number }
  /** From the system only: take the timed choice whose deadline has passed. */
  | { readonly type: 'timeOut'; readonly turn: number };

/** All that deciding may know beside command and state. */
export interface PlaythroughContext {
  readonly story: CompiledStory;
  /** max(clock, the stream's last `at`). */
  readonly now: number;
  readonly playthroughId: string;
  readonly reader: string;
  /** 32 hex characters of fresh randomness; becomes the seed of a started playthrough. */
  readonly entropy: string;
  /** For rewind (own stream) and fork (the source): the state as it was at that turn, already checked against the recorded hash. */
  readonly past?: {
    readonly narrative: NarrativeState;
    /** Draw counter now: draws never repeat after a rewind. */
    readonly draws: number;
    readonly storyId: string;
    readonly versionHash: string;
    readonly reader: string;
    readonly seed: string;
    readonly enteredAt: number;
  };
}

/** `STORY_FAULT`: an effect cannot be computed (overflow, division by zero) or storylets are nested too deep; refused, nothing changed. */
export type PlaythroughRejectionCode =
  | 'BAD_INPUT'
  | 'PLAYTHROUGH_NOT_FOUND'
  | 'PLAYTHROUGH_ENDED'
  | 'CHOICE_UNKNOWN'
  | 'CHOICE_LOCKED'
  | 'STATE_TOO_LARGE'
  | 'TURN_STALE'
  | 'STORY_FAULT';

/** A choice is accepted this long after its deadline, so that a network's delay is not the reader's fault. */
export const TIMEOUT_GRACE_MS = 250;
