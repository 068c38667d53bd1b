/** As far as it must be known of a partition; the projector's own status has it. */
interface Standing {
  readonly partition: number;
  readonly nextOffset: number;
  readonly error: string | null;
}

interface Failing {
  readonly at: number;
  readonly since: number;
  last: number;
  reported: boolean;
}

/** So long may a partition fail at one place before somebody must look: outages of the database are shorter, or seen elsewhere too. */
export const STALLED_AFTER_MS = 30_000;
/** Attempts come at least every few seconds: a failure older than this was the last one. */
const FORGOTTEN_AFTER_MS = 60_000;

/** Notices partitions whose projector fails again and again without getting on: each failure by itself looks like an outage. */
export class Stalls {
  private readonly failing = new Map<number, Failing>();

  constructor(
    private readonly now: () => number,
    private readonly alarm: (message: string) => void,
  ) {}

  /** A projector's attempt failed while it stood there. */
  failed(partition: number, nextOffset: number, error: string): void {
    const now = this.now();
    const before = this.failing.get(partition);
    if (before === undefined || before.at !== nextOffset || now - before.last > FORGOTTEN_AFTER_MS) {
      this.failing.set(partition, { at: nextOffset, since: now, last: now, reported: false });
      return;
    }
    before.last = now;
    if (before.reported || now - before.since < STALLED_AFTER_MS) return;
    before.reported = true;
    this.alarm(`the projector of partition ${partition} is stuck at offset ${nextOffset}: ${error}`);
  }

  /** Which of these do not get on, and why. */
  of(standings: readonly Standing[]): Record<number, string> {
    const now = this.now();
    const stalled: Record<number, string> = {};
    for (const { partition, nextOffset, error } of standings) {
      const failing = this.failing.get(partition);
      if (failing === undefined || failing.at !== nextOffset || error === null || now - failing.last > FORGOTTEN_AFTER_MS) continue;
      if (failing.last - failing.since >= STALLED_AFTER_MS)
        stalled[partition] = `stuck at offset ${nextOffset} for ${Math.round((now - failing.since) / 1_000)} s: ${error}`;
    }
    return stalled;
  }
}
