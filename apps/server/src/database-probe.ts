import { errorText } from '#lib/platform';
import { within } from './within.js';

/** A database that says nothing for so long is away; whoever asks whether this process is ready waits little longer. */
const ANSWERS_WITHIN_MS = 2_000;

/** Whether the database answers; one question at a time, whoever asks. */
export class DatabaseProbe {
  private asking: Promise<Record<string, string>> | undefined;

  constructor(private readonly clocks: { look(): Promise<unknown> }) {}

  /** The database's own word, or that it says none; empty when all is well. Never rejects. */
  async problem(): Promise<Record<string, string>> {
    this.asking ??= this.ask().finally(() => (this.asking = undefined));
    const answer = await within(this.asking, ANSWERS_WITHIN_MS);
    return answer === 'late' ? { database: `no answer within ${ANSWERS_WITHIN_MS} ms` } : answer;
  }

  private async ask(): Promise<Record<string, string>> {
    try {
      // Any question would do; this one tells whether the clocks agree too.
      await this.clocks.look();
      return {};
    } catch (error) {
      return { database: errorText(error) };
    }
  }
}
