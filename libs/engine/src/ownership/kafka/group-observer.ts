import type { Clock, Timers } from '#lib/platform';
import type { GroupConnection } from './group-connection.js';
import { decodeMap, type OwnersMap } from './user-data.js';

export interface GroupObserverOptions {
  connect(): Promise<GroupConnection>;
  readonly timers: Timers;
  readonly clock: Clock;
  /** Time between two looks, ms. */
  readonly everyMs: number;
  /** The first look that failed, and one a minute of those that follow. */
  onProblem?(what: string, error: unknown): void;
  /** A look succeeded after `ms` without one. */
  onRecovered?(what: string, ms: number): void;
}

const LOOKING = 'looking who owns partitions';
/** An outage of the brokers fails every look; it is told of so often. */
const SAY_AGAIN_MS = 60_000;

/** At most one look in so long when somebody misses an owner, ms. */
const HURRY_MS = 50;

/** Reads the map of owners that the group's members carry, without being one. */
export class GroupObserver {
  private connection: GroupConnection | undefined;
  private map: OwnersMap | undefined;
  private looking: Promise<void> = Promise.resolve();
  private cancelTimer: (() => void) | undefined;
  private hurried = false;
  private stopped = false;
  /** When looks began to fail, and when that was told last. */
  private failing: { readonly since: number; told: number } | undefined;

  constructor(private readonly options: GroupObserverOptions) {}

  /** Ends when it has looked once, with or without success. */
  async start(): Promise<void> {
    this.looking = this.look();
    await this.looking;
  }

  ownerOf(partition: number): string | undefined {
    const owner = this.map?.owners[partition];
    if (owner === undefined && !this.hurried && this.cancelTimer !== undefined) {
      this.hurried = true;
      this.next(HURRY_MS);
    }
    return owner;
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.cancelTimer?.();
    this.drop();
    await this.looking;
  }

  private async look(): Promise<void> {
    this.hurried = false;
    try {
      this.connection ??= await this.options.connect();
      const shares = await this.connection.shares();
      const maps = shares.flatMap((share) => decodeMap(share) ?? []);
      // While the group rebalances it shows nothing; who owned partitions before still writes them.
      if (shares.length === 0) this.map = undefined;
      else if (maps.length > 0) this.map = maps.reduce((newest, map) => (map.generation > newest.generation ? map : newest));
      this.succeeded();
    } catch (error) {
      this.drop();
      this.failed(error);
    }
    if (this.stopped) this.drop();
    else this.next(this.options.everyMs);
  }

  private failed(error: unknown): void {
    if (this.stopped) return;
    const now = this.options.clock.now();
    if (this.failing !== undefined && now - this.failing.told < SAY_AGAIN_MS) return;
    this.failing = { since: this.failing?.since ?? now, told: now };
    this.options.onProblem?.(LOOKING, error);
  }

  private succeeded(): void {
    if (this.failing === undefined) return;
    const ms = this.options.clock.now() - this.failing.since;
    this.failing = undefined;
    this.options.onRecovered?.(LOOKING, ms);
  }

  private next(ms: number): void {
    this.cancelTimer?.();
    this.cancelTimer = this.options.timers.after(ms, () => {
      this.cancelTimer = undefined;
      this.looking = this.look();
    });
  }

  private drop(): void {
    this.connection?.close();
    this.connection = undefined;
  }
}
