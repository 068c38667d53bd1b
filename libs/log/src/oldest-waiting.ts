import type { Clock, Timers } from '#lib/platform';
import type { EventLog, Offset } from './event-log.js';

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

  constructor(
    private readonly log: EventLog,
    private readonly clock: Clock,
    private readonly timers: Timers,
  ) {}

  /**
   * Age of the record at `nextOffset`, ms; 0 when none waits there, because the log ends at `end`; null when the log does not show the
   * record in time. Never rejects.
   */
  async lagMs(partition: number, nextOffset: Offset, end: Offset): Promise<number | null> {
    if (nextOffset >= end) return 0;
    const time = await this.timeOf(partition, nextOffset);
    return time === undefined ? null : Math.max(0, this.clock.now() - time);
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
        if (time !== undefined) this.keep(`${partition}/${offset}`, time);
        return time;
      }
      return undefined;
    } catch {
      // Whoever follows the log meets the same failure and says so; a lag that is not known is only left out.
      return undefined;
    } finally {
      cancel();
    }
  }

  private keep(place: string, time: number): void {
    this.times.set(place, time);
    if (this.times.size <= KEPT) return;
    const [oldest] = this.times.keys();
    if (oldest !== undefined) this.times.delete(oldest);
  }
}
