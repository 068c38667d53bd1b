import { errorText, type Logger, type Timers } from '#lib/platform';
import { playthroughStream } from '#lib/playthrough';
import type { ReadModels } from '#lib/projections';

/** How often the read models are looked at while somebody follows a playthrough here: its owner may be another process. */
export const LOOK_EVERY_MS = 500;
const MOST_AT_ONCE = 5_000;

interface PlaythroughWatchOptions {
  readonly reads: Pick<ReadModels, 'asOf' | 'playthroughVersions'>;
  readonly partitionOf: (stream: string) => number;
  readonly timers: Timers;
  readonly logger: Pick<Logger, 'debug'>;
}

interface Followed {
  readonly partition: number;
  readonly wakes: Set<() => void>;
  version: number | undefined;
}

/**
 * Notices for all subscriptions of a process together which playthroughs other processes changed: one look at the positions, and only
 * where one has moved, one at the versions of all that are followed there.
 */
export class PlaythroughWatch {
  private readonly followed = new Map<string, Followed>();
  private positions: ReadonlyMap<number, number> = new Map();
  private generation: number | undefined;
  private looking = false;

  constructor(private readonly options: PlaythroughWatchOptions) {}

  /** Calls back after each change of that playthrough in the read models: look once after this call. What is answered ends it. */
  follow(id: string, wake: () => void): () => void {
    let followed = this.followed.get(id);
    if (followed === undefined) {
      followed = { partition: this.options.partitionOf(playthroughStream(id)), wakes: new Set(), version: undefined };
      this.followed.set(id, followed);
    }
    const { wakes } = followed;
    wakes.add(wake);
    this.lookLater();
    return () => {
      wakes.delete(wake);
      if (wakes.size === 0 && this.followed.get(id)?.wakes === wakes) this.followed.delete(id);
    };
  }

  private lookLater(): void {
    if (this.looking || this.followed.size === 0) return;
    this.looking = true;
    this.options.timers.after(LOOK_EVERY_MS, () => {
      void this.look()
        // Nothing is taken for seen then: the next look finds it.
        .catch((error: unknown) => this.options.logger.debug({ error: errorText(error) }, 'followed playthroughs could not be looked at'))
        .finally(() => {
          this.looking = false;
          this.lookLater();
        });
    });
  }

  private async look(): Promise<void> {
    const { generation, partitions } = await this.options.reads.asOf();
    const positions = new Map(partitions.map(({ partition, nextOffset }) => [partition, nextOffset]));
    const before = generation === this.generation ? this.positions : undefined;
    const due = [...this.followed].filter(
      ([, { partition, version }]) => version === undefined || before?.get(partition) !== positions.get(partition),
    );
    for (let from = 0; from < due.length; from += MOST_AT_ONCE) {
      const some = due.slice(from, from + MOST_AT_ONCE);
      const versions = await this.options.reads.playthroughVersions(some.map(([id]) => id));
      for (const [id, followed] of some) {
        const version = versions.get(id);
        if (version === undefined || version === followed.version) continue;
        followed.version = version;
        for (const wake of followed.wakes) wake();
      }
    }
    this.positions = positions;
    this.generation = generation;
  }
}
