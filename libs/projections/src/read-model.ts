import type { AcceptedCommand, StreamHead, StreamId } from '#lib/decision';
import type { Offset } from '#lib/log';

/*
 * The read models as rows. A row is a pure function of the log's records, so that a rebuild, another machine or the memory
 * adapter come to the same bytes. Times are ms since the epoch, taken from records, never from a clock.
 */

/** A stream as the read models hold it: what `admit` needs, and the folded state as canonical JSON. */
export interface StreamRow {
  readonly stream: StreamId;
  readonly version: number;
  readonly previous: string | null;
  /** Null while nothing of the stream could be folded yet (parked at its first record). */
  readonly state: string | null;
  readonly updatedOffset: Offset;
}

/** One accepted command; the last 64 of a stream are its head's window. */
export interface CommandRow extends AcceptedCommand {
  readonly stream: StreamId;
}

export interface PlaythroughRow {
  readonly id: string;
  readonly storyId: string;
  readonly versionHash: string;
  readonly reader: string;
  readonly status: 'active' | 'ended';
  readonly turn: number;
  readonly passageId: string;
  readonly ending: string | null;
  readonly deadline: number | null;
  /** Started by an author to try a version. */
  readonly preview: boolean;
  /** The playthrough and turn a what-if was forked from. */
  readonly forkedFromId: string | null;
  readonly forkedFromTurn: number | null;
  /** Null: as stored already (only a playthrough's first record knows it). */
  readonly startedAt: number | null;
  readonly updatedAt: number;
}

/** What one accepted record did to one turn: the reader's history, and the way back to past states. */
export interface TurnRow {
  readonly playthroughId: string;
  readonly turn: number;
  readonly offset: Offset;
  /** Type of the first event. */
  readonly kind: string;
  /** Where the reader stood before (for starts and jumps: where they came to). */
  readonly passageId: string;
  readonly choiceId: string | null;
  readonly correlationId: string;
  readonly at: number;
  readonly stateHash: string;
  /** JSON array of the events as stored in the log, in their stored versions. */
  readonly events: string;
  /** Canonical JSON of the state after this turn: on the stream's first record and every 32nd turn. */
  readonly snapshot: string | null;
}

export interface CheckpointRow {
  readonly playthroughId: string;
  readonly turn: number;
  readonly mark: string;
  /** JSON of the sealed name. */
  readonly name: string;
  readonly at: number;
}

export interface StoryRow {
  readonly id: string;
  /** The version that new playthroughs get; null while none is published. */
  readonly currentVersion: string | null;
  /** Of the current version, else of the newest. */
  readonly title: string;
  readonly updatedAt: number;
}

/** Null in a change: as stored already. Stored null: did not happen. */
export interface StoryVersionRow {
  readonly storyId: string;
  readonly versionHash: string;
  readonly title: string;
  /** `forgotten`: an old draft that gave way to newer ones; importing it again brings it back. */
  readonly status: 'draft' | 'published' | 'retired' | 'forgotten';
  readonly lintErrors: number;
  readonly lintWarnings: number | null;
  readonly format: string | null;
  readonly passages: number | null;
  readonly draftedAt: number | null;
  readonly publishedAt: number | null;
  readonly retiredAt: number | null;
  readonly updatedAt: number;
}

/** Counters are kept per partition and summed when read: popular choices never make two projectors wait for one row. */
export interface ChoiceStat {
  readonly storyId: string;
  readonly versionHash: string;
  readonly passageId: string;
  readonly choiceId: string;
  readonly offered: number;
  readonly visible: number;
  readonly enabled: number;
  readonly picked: number;
}

export interface PassageStat {
  readonly storyId: string;
  readonly versionHash: string;
  readonly passageId: string;
  /** Entered by starting there or by a move, and left by a move. */
  readonly entered: number;
  readonly left: number;
  /** Playthroughs that reached an ending there. */
  readonly ended: number;
  /** Rewinds that came here, and that went away from here, of runs that were going on. */
  readonly rewoundTo: number;
  readonly rewoundFrom: number;
  /** Active playthroughs standing there now, previews and what-ifs included: whom a migration would touch. */
  readonly standing: number;
}

export interface EndingStat {
  readonly storyId: string;
  readonly versionHash: string;
  readonly ending: string;
  readonly reached: number;
}

/** Null in a change: as stored already. Stored null: did not happen. */
export interface ComplianceActionRow {
  readonly id: string;
  readonly kind: string | null;
  /** JSON of the action, as proposed. */
  readonly action: string | null;
  readonly stage: 'proposed' | 'approved' | 'begun' | 'carried-out' | 'refused' | 'withdrawn' | 'expired';
  readonly reason: string | null;
  readonly proposedBy: string | null;
  readonly proposedAs: string | null;
  readonly proposedAt: number | null;
  readonly expiresAt: number | null;
  /** Who approved it, else who refused or withdrew it; a refusal of what was approved takes the approver's place. */
  readonly decidedBy: string | null;
  readonly decidedAs: string | null;
  readonly decidedAt: number | null;
  /** Why it was refused. */
  readonly refusal: string | null;
  readonly begunAt: number | null;
  readonly endedAt: number | null;
  /** JSON of what came of it. */
  readonly result: string | null;
}

/** Null in a change: as stored already. Stored null: did not happen. */
export interface ComplianceHoldRow {
  readonly id: string;
  readonly scopeKind: string | null;
  readonly scopeId: string | null;
  readonly matter: string | null;
  readonly placedBy: string | null;
  readonly placedAt: number | null;
  readonly until: number | null;
  readonly releasedAt: number | null;
  /** The action that released it; null beside `releasedAt`: its time was over. */
  readonly releasedBy: string | null;
}

/** One event of the stream `compliance/main`. */
export interface ComplianceEventRow {
  /** The stream's version after it. */
  readonly sequence: number;
  readonly offset: Offset;
  readonly at: number;
  readonly type: string;
  /** Id of the action, the hold or the broken glass. */
  readonly subject: string;
  readonly actor: string;
  readonly role: string;
  readonly correlationId: string;
  /** JSON of the event. */
  readonly event: string;
}

/** A stream that could not be folded further: held back alone, with every accepted record from there on. */
export interface ParkedRow {
  readonly stream: StreamId;
  readonly code: ParkCode;
  readonly reason: string;
  readonly fromOffset: Offset;
  /** The log's time of the record that could not be folded. */
  readonly parkedAt: number;
}

/** STATE_DIFFERS: the events do not lead to the recorded state; STORE_REFUSED: the database cannot hold a value; STATE_UNREADABLE: it holds one that was never ours. */
export type ParkCode = 'UNKNOWN_EVENT' | 'UNKNOWN_STREAM' | 'STATE_DIFFERS' | 'FOLD_FAILED' | 'STORE_REFUSED' | 'STATE_UNREADABLE';

export interface ParkedRecordRow {
  readonly stream: StreamId;
  readonly offset: Offset;
  readonly bytes: Uint8Array;
  readonly time: number;
}

/** A stored stream with its window: what a projector or an engine starts from. */
export interface StoredStreamRow extends StreamRow {
  readonly window: StreamHead['window'];
  readonly parked: string | null;
}
