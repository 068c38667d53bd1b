import type { Value } from '#lib/story';

/* Type aliases, not interfaces: only these count as JSON for the compiler. */

/** Free text of a reader, readable only while the subject's key exists. All fields are base64url. */
export type SealedText = {
  readonly alg: 'A256GCM';
  /** Which key of which subject. */
  readonly kid: string;
  readonly iv: string;
  readonly ct: string;
  readonly tag: string;
};

export type ReaderCheckpoint = {
  readonly name: SealedText;
  /** Keyed hash of the name under the subject's key: equal names have equal marks, so (name, turn) is idempotent; says nothing once the key is gone. */
  readonly mark: string;
  readonly turn: number;
};

/** The narrative part: what a rewind restores and what the state hash covers. */
export type NarrativeState = {
  readonly passageId: string;
  readonly variables: { readonly [name: string]: Value };
  readonly visits: { readonly [passageId: string]: number };
  /** By `passage/choice`. */
  readonly chosen: { readonly [choiceKey: string]: number };
  /** Passages to come back to from storylets, innermost last; at most 16. */
  readonly returnTo: readonly string[];
  /** How many draws were made: the counter of the next draw's key. */
  readonly draws: number;
  readonly ending: string | null;
};

/** Everything about one playthrough; pure function of its events. At most 64 KiB as canonical JSON. */
export type PlaythroughState = {
  readonly id: string;
  readonly storyId: string;
  readonly versionHash: string;
  /** Pseudonym of the reader it belongs to. */
  readonly reader: string;
  /** 32 hex characters; with it every draw can be derived again. */
  readonly seed: string;
  readonly status: 'active' | 'ended';
  /** Only grows: start is 0; choice, time-out, rewind, migration add 1. */
  readonly turn: number;
  /** When the current passage was entered, and when its timed choice is taken (ms), if it has one. */
  readonly enteredAt: number;
  readonly deadline: number | null;
  readonly narrative: NarrativeState;
  readonly checkpoints: readonly ReaderCheckpoint[];
  readonly forkedFrom: { readonly playthroughId: string; readonly turn: number } | null;
  /** Previews and what-ifs never count in statistics. */
  readonly preview: boolean;
  /** `at` of the last event: time never runs backwards in a stream. */
  readonly lastAt: number;
};

export const MAX_STATE_BYTES = 64 * 1024;
export const MAX_CHECKPOINTS = 50;
export const MAX_RETURN_DEPTH = 16;
