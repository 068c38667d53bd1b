import type { AcceptedCommand, Admission } from '#lib/decision';
import type { Offset } from '#lib/log';
import type { PlannedRecord } from './batch-plan.js';
import type { HotStream } from './hot-set.js';
import type { StreamState } from './stream-kind.js';
import type { TailRecord } from './tail-index.js';

/** What the log made of a planned record. */
export type Settled =
  | {
      readonly kind: 'accepted';
      readonly offset: Offset;
      readonly version: number;
      /** Null: it could not be folded. */ readonly state: StreamState | null;
    }
  /** Another writer's record with the same command came first. */
  | { readonly kind: 'duplicate'; readonly first: AcceptedCommand }
  | { readonly kind: 'reused' }
  | { readonly kind: 'conflict' };

const CONFLICT: Settled = { kind: 'conflict' };

/**
 * Verdicts on one batch, read back. Its bytes may stand in the log several times (each append of unknown outcome may have arrived):
 * whichever copy was accepted counts, the others are duplicates.
 */
export class Verdicts {
  private readonly settled = new Map<string, Settled>();

  constructor(records: readonly PlannedRecord[]) {
    for (const { digest } of records) this.settled.set(digest, CONFLICT);
  }

  note(record: TailRecord, admission: Admission, hot: HotStream): void {
    const known = this.settled.get(record.digest);
    if (known === undefined || known.kind === 'accepted') return;
    this.settled.set(record.digest, settledBy(record, admission, hot));
  }

  of(planned: PlannedRecord): Settled {
    return this.settled.get(planned.digest) ?? CONFLICT;
  }
}

function settledBy({ offset }: TailRecord, { verdict, head, first }: Admission, hot: HotStream): Settled {
  if (verdict === 'accepted') return { kind: 'accepted', offset, version: head.version, state: hot.parked === null ? hot.state : null };
  if (verdict === 'duplicate' && first !== undefined) return { kind: 'duplicate', first };
  return verdict === 'reused' ? { kind: 'reused' } : CONFLICT;
}
