import type { Decoded, Envelope } from './decision-record.js';
import { partitionOf } from './decision-record.js';

/** How many accepted commands a stream head remembers; an older retry meets the turn check instead. */
export const WINDOW_SIZE = 64;

export interface AcceptedCommand {
  readonly commandId: string;
  readonly commandDigest: string;
  /** The stream's version after that command. */
  readonly version: number;
  /** Where its record stands in the partition: a retry is answered with the first position. */
  readonly offset: number;
}

/** All that decides a record's verdict. Immutable: `admit` returns a new one. */
export interface StreamHead {
  readonly version: number;
  readonly previous: string | null;
  /** Oldest first, at most 64. */
  readonly window: readonly AcceptedCommand[];
}

export const EMPTY_HEAD: StreamHead = Object.freeze({ version: 0, previous: null, window: Object.freeze([]) });

/** What a record counts for. Only `accepted` changes anything. */
export type Verdict = 'accepted' | 'duplicate' | 'reused' | 'conflict' | 'invalid';

export interface Admission {
  readonly verdict: Verdict;
  readonly head: StreamHead;
  /** For `duplicate` and `reused`: what the window remembers of the first command with this id. */
  readonly first?: AcceptedCommand;
}

/**
 * The one rule that says what a record counts for. The engine, every projector, the auditor and every verifier run it,
 * so they cannot disagree. Pure, and reads the envelope only.
 */
export function admit(head: StreamHead, envelope: Envelope, digest: string, offset: number): Admission {
  const first = head.window.find((accepted) => accepted.commandId === envelope.commandId);
  if (first !== undefined) {
    return { verdict: first.commandDigest === envelope.commandDigest ? 'duplicate' : 'reused', head, first };
  }
  if (envelope.expectedVersion !== head.version || envelope.previous !== head.previous) return { verdict: 'conflict', head };
  const version = head.version + envelope.eventCount;
  const accepted = { commandId: envelope.commandId, commandDigest: envelope.commandDigest, version, offset };
  // One copy: this runs for every record of every rebuild.
  const window = head.window.slice(Math.max(0, head.window.length - WINDOW_SIZE + 1));
  window.push(accepted);
  return { verdict: 'accepted', head: { version, previous: digest, window } };
}

/** The record as `admit` may see it on that partition: undecodable or misplaced ones are invalid before any head is read. */
export function admissible(decoded: Decoded, partition: number, partitions: number): decoded is Extract<Decoded, { kind: 'record' }> {
  return decoded.kind === 'record' && partitionOf(decoded.record.stream, partitions) === partition;
}
