import type { Clock, Timers } from '#lib/platform';
import { RecordsForgotten, type EventLog, type Offset } from './event-log.js';

/** How long the log may take to show one record, ms. */
const WITHIN_MS = 1_000;
/** Times that are kept: a role that does not get on is asked for again and again, and several roles may stand at one place. */
const KEPT = 1_000;

/**
 * How long the record that a role takes next has been in the log: the role's lag in time. The age of what it took last would be another
 * thing: after an idle hour, the first new record would look an hour late.
 */
export class OldestWaiting {
  /** Log time by place; what the log says of a record never changes. */
  private readonly times = new Map<string, number>();
  /** At most one question for each place. */
  private readonly asking = new Map<string, Promise<number | undefined>>();
  /** Since when this process knows of a record that the log has not shown. */
  private readonly unseen = new Map<string, number>();

  constructor(
    private readonly log: EventLog,
    private readonly clock: Clock,
    private readonly timers: Timers,
  ) {}

  /**
   * Age of the record at `nextOffset`, ms; 0 when none waits there, because the log ends at `end`. While the log does not show the record it
   * is at least as old as the first question for it: no answer at all would keep alerts silent just then. Never rejects.
   */
  async lagMs(partition: number, nextOffset: Offset, end: Offset): Promise<number> {
    if (nextOffset >= end) return 0;
    const place = `${partition}/${nextOffset}`;
    const asked = this.clock.now();
    let since = await this.timeOf(partition, nextOffset);
    if (since === undefined) {
      since = this.unseen.get(place) ?? asked;
      keep(this.unseen, place, since);
    } else this.unseen.delete(place);
    return Math.max(0, this.clock.now() - since);
  }

  private async timeOf(partition: number, offset: Offset): Promise<number | undefined> {
    const place = `${partition}/${offset}`;
    const known = this.times.get(place);
    if (known !== undefined) return known;
    let asked = this.asking.get(place);
    if (asked === undefined) {
      asked = this.read(partition, offset).finally(() => this.asking.delete(place));
      this.asking.set(place, asked);
    }
    let cancel = (): void => undefined;
    const late = new Promise<undefined>((resolve) => (cancel = this.timers.after(WITHIN_MS, () => resolve(undefined))));
    try {
      return await Promise.race([asked, late]);
    } finally {
      cancel();
    }
  }

  private async read(partition: number, offset: Offset): Promise<number | undefined> {
    const abort = new AbortController();
    const cancel = this.timers.after(WITHIN_MS, () => abort.abort());
    try {
      for await (const { records } of this.log.read(partition, offset, { maxRecords: 1, upTo: offset + 1, signal: abort.signal })) {
        const time = records[0]?.time;
        if (time !== undefined) keep(this.times, `${partition}/${offset}`, time);
        return time;
      }
      return undefined;
    } catch (error) {
      // The role never gets there; what it misses is as old as the first record that is left, and grows older.
      if (error instanceof RecordsForgotten) return await this.timeOf(partition, error.begin);
      // Whoever follows the log meets the same failure and says so; the lag is then only known to be so long at least.
      return undefined;
    } finally {
      cancel();
    }
  }
}

function keep(kept: Map<string, number>, place: string, time: number): void {
  kept.set(place, time);
  if (kept.size <= KEPT) return;
  const [oldest] = kept.keys();
  if (oldest !== undefined) kept.delete(oldest);
}
