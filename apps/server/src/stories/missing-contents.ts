import type { Pool } from 'pg';
import type { ReadModels } from '#lib/projections';

const CHECK_EVERY_MS = 5_000;

/**
 * Looks for versions that records speak of and whose content is not there: lost primary data, or a record that nobody of ours wrote. Folding
 * needs no content, so nothing else would notice before somebody plays.
 */
export class MissingContents {
  private known: readonly string[] = [];
  private readonly timer: NodeJS.Timeout;
  private looking: Promise<void> | undefined;

  constructor(
    private readonly pool: Pool,
    private readonly reads: ReadModels,
    private readonly options: { readonly alarm: (message: string) => void; readonly onProblem: (error: unknown) => void },
  ) {
    this.timer = setInterval(() => void (this.looking ??= this.look()), CHECK_EVERY_MS).unref();
  }

  /** Hashes of the versions without content, as last seen. */
  get versions(): readonly string[] {
    return this.known;
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.looking;
  }

  private async look(): Promise<void> {
    try {
      const spokenOf = await this.reads.versionsSpokenOf();
      const { rows } = await this.pool.query<{ hash: string }>({
        name: 'contents-missing',
        text: 'select hash from unnest($1::text[]) hash where not exists (select from fabula.story_blobs b where b.hash = hash.hash)',
        values: [spokenOf],
      });
      const missing = rows.map(({ hash }) => hash);
      const fresh = missing.filter((hash) => !this.known.includes(hash));
      this.known = missing;
      for (const hash of fresh)
        this.options.alarm(
          `the content of version ${hash} is not in the database although records speak of it: restore fabula.story_blobs from a backup`,
        );
    } catch (error) {
      // Readiness tells of a database that does not answer; the next look is soon.
      this.options.onProblem(error);
    } finally {
      this.looking = undefined;
    }
  }
}
