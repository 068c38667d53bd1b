import { systemClock, systemTimers, type Clock, type Timers } from '#lib/platform';

/** How old an answer may be, and how long a scrape waits for a fresh one, ms. */
const MAX_AGE_MS = 5_000;
const WITHIN_MS = 1_000;

/** An answer that is asked for again only when it is too old; undefined when none came in time. Never rejects. */
export class Sampled<T> {
  private known: { readonly value: T; readonly at: number } | undefined;
  private asking: Promise<T | undefined> | undefined;

  constructor(
    private readonly read: () => Promise<T>,
    private readonly clock: Clock = systemClock,
    private readonly timers: Timers = systemTimers,
  ) {}

  async get(): Promise<T | undefined> {
    if (this.known !== undefined && this.clock.now() - this.known.at < MAX_AGE_MS) return this.known.value;
    this.asking ??= this.ask();
    let cancel = (): void => undefined;
    const late = new Promise<undefined>((resolve) => (cancel = this.timers.after(WITHIN_MS, () => resolve(undefined))));
    try {
      return await Promise.race([this.asking, late]);
    } finally {
      cancel();
    }
  }

  private async ask(): Promise<T | undefined> {
    const at = this.clock.now();
    try {
      const value = await this.read();
      this.known = { value, at };
      return value;
    } catch {
      // Readiness and the log output tell why the database does not answer; a scrape only leaves out what it cannot know.
      return undefined;
    } finally {
      this.asking = undefined;
    }
  }
}
