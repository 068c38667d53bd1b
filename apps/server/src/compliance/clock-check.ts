import type { Pool } from 'pg';
import { EngineFailure } from '#lib/engine';
import type { Clock } from '#lib/platform';
import { isDatabaseOutage } from '../http/database-outage.js';

/** So far this process's clock and the database's may be apart. Holds, proposals and retention are reckoned in minutes and days. */
const APART_MS = 60_000;

/**
 * Compares this process's clock with the database's. What time ends in compliance cannot be taken back: with a clock a year ahead a hold would
 * be released, what it held erased, and no command be taken for a year, since times in a stream only grow. So nothing of it is done unless two
 * clocks agree. Which of two is wrong nobody here can tell; where both are the same machine's, this sees nothing.
 */
export class ClockCheck {
  private wrong: string | undefined;

  constructor(
    private readonly pool: Pool,
    private readonly clock: Clock,
    private readonly alarm: (message: string) => void,
  ) {}

  /** What the last look found, for people who ask whether the process is well. */
  notes(): Record<string, string> {
    return this.wrong === undefined ? {} : { clock: this.wrong };
  }

  /** Looks now. Answers in words for people, null: they agree. @throws when the database does not answer */
  async look(): Promise<string | null> {
    const from = this.clock.now();
    const { rows } = await this.pool.query<{ at: string }>('select floor(extract(epoch from clock_timestamp()) * 1000)::bigint as at');
    const at = Number(rows[0]?.at);
    // An answer may come late: only what was before the question or after the answer is apart.
    const apart = Math.max(from - at, at - this.clock.now());
    if (apart <= APART_MS) {
      this.wrong = undefined;
      return null;
    }
    const found = `the clock of this process is ${Math.round(apart / 1_000)} s ${from > at ? 'ahead of' : 'behind'} the database's: set the wrong one; until then nothing of compliance is taken, ended or carried out here`;
    if (this.wrong === undefined) this.alarm(found);
    this.wrong = found;
    return found;
  }

  /** Before a command of compliance is decided. @throws EngineFailure CLOCK_WRONG; OVERLOADED while the database does not answer */
  async assert(): Promise<void> {
    const found = await this.look().catch((error: unknown) => {
      if (!isDatabaseOutage(error)) throw error;
      throw new EngineFailure('OVERLOADED', 'The database does not tell its time at present; nothing was recorded.', { cause: error });
    });
    if (found !== null) throw new EngineFailure('CLOCK_WRONG', `Nothing was recorded: ${found}.`);
  }
}
