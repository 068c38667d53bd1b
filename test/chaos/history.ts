/** One try of one command as its client saw it. A command is known by its `commandId` and what it asks for: a reused id is another command. */
export interface Attempt {
  readonly commandId: string;
  /** What was asked, in words that `log-truth.ts` also finds for the record. */
  readonly payload: string;
  /** Unknown before the answer of commands that make a playthrough. */
  readonly stream: string | undefined;
  /** The turn its reader saw; undefined for commands that make a playthrough. */
  readonly turn: number | undefined;
  /** ms of one clock for all clients. */
  readonly sentAt: number;
  readonly endedAt: number;
  readonly saw: Saw;
}

export type Saw =
  | {
      readonly kind: 'accepted';
      readonly duplicate: boolean;
      readonly stream: string;
      readonly partition: number;
      readonly offset: number;
      readonly turn: number;
      /** Of the playthrough in the answer; a duplicate shows it as it is now. */
      readonly stateHash: string;
    }
  /** A decision: the command, as asked, has no effect. `turnNow` comes with TURN_STALE. */
  | { readonly kind: 'refused'; readonly code: string; readonly turnNow?: number }
  /** The server says that this try had no effect, and that another may. */
  | { readonly kind: 'no-effect'; readonly code: string }
  /** Nobody told: a broken connection, no answer in time, OUTCOME_UNKNOWN. */
  | { readonly kind: 'unknown'; readonly code: string };

/** A playthrough as some server showed it. */
export interface Sighting {
  readonly stream: string;
  readonly turn: number;
  readonly stateHash: string;
}

export interface Fault {
  readonly what: string;
  /** On the clients' clock. */
  readonly at: number;
  /** ms since the epoch, to compare with the log's time. */
  readonly wall: number;
}

/** All that clients saw during a run. */
export class History {
  readonly attempts: Attempt[] = [];
  readonly sightings: Sighting[] = [];
  readonly faults: Fault[] = [];
  readonly counts = new Map<string, number>();
  /** Accepted choices and rewinds that were no duplicates. */
  acceptedTurns = 0;

  add(attempt: Attempt): void {
    this.attempts.push(attempt);
    const { saw } = attempt;
    this.count(saw.kind === 'accepted' ? (saw.duplicate ? 'duplicate' : 'accepted') : `${saw.kind} ${saw.code}`);
    if (saw.kind === 'accepted' && !saw.duplicate) {
      this.count(`accepted ${attempt.payload.split(' ', 1)[0]}`);
      if (attempt.payload.startsWith('choose') || attempt.payload.startsWith('rewind')) this.acceptedTurns++;
    }
  }

  fault(what: string): void {
    this.faults.push({ what, at: performance.now(), wall: Date.now() });
    this.count(`fault ${what}`);
  }

  count(what: string, by = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + by);
  }

  of(what: string): number {
    return this.counts.get(what) ?? 0;
  }
}
