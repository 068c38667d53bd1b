import type { Pool, PoolClient } from 'pg';
import { rebuildTrees, verifyStore, type AuditStore, type NoteKeeper, type StoreReport, type VerifyStoreOptions } from '#lib/audit';
import type { EventLog, Releases } from '#lib/log';
import { errorText, FabulaError, pause, systemClock, systemTimers, type Logger } from '#lib/platform';

/** How far one tree is: leaves when verifying, offsets of the log when rebuilding. */
export interface TreeProgress {
  readonly log: string;
  readonly done: number;
  readonly total: number;
}

/** The last piece of work of its kind that was ordered in this process. */
export interface AuditWork<Report> {
  readonly state: 'none' | 'running' | 'done' | 'failed';
  /** ms since the epoch. */
  readonly startedAt: number | null;
  readonly finishedAt: number | null;
  readonly progress: readonly TreeProgress[];
  readonly report: Report | null;
  readonly error: string | null;
}

export interface RebuiltTrees {
  readonly trees: readonly { readonly log: string; readonly size: string }[];
}

export type Verification = AuditWork<StoreReport>;
export type AuditRebuild = AuditWork<RebuiltTrees>;

interface AuditMaintenanceOptions {
  readonly pool: Pool;
  readonly log: EventLog;
  readonly releases: Releases;
  readonly store: AuditStore;
  readonly keeper: NoteKeeper;
  /** The verifier key, or the trust policy once a key was replaced. */
  readonly trust: () => Promise<string>;
  readonly logger: Logger;
  /** Lets go of the trees that this process follows, and of what it remembers of them; called again, it follows them anew. */
  readonly following: { leaveAll(): Promise<void>; followAgain(): void };
}

/** The advisory lock of the store as a whole: verifications share it, a rebuild or a pruning has it alone, whichever processes they run in. */
const STORE_LOCK = 0x0fab03;
const LOCK_TRIES = 30;
const LOCK_EVERY_MS = 1_000;
const NONE = { state: 'none', startedAt: null, finishedAt: null, progress: [], report: null, error: null } as const;

/** Work on the audit store as a whole, in the background, one piece at a time. Commands, readers and the log never wait for it. */
export class AuditMaintenance {
  private verifying: Verification = NONE;
  private rebuilding: AuditRebuild = NONE;
  private running: { readonly abort: AbortController; readonly done: Promise<void> } | undefined;
  private ordering = false;

  constructor(private readonly options: AuditMaintenanceOptions) {}

  /** Who says whether two people approved a pruning. */
  asking(approved: VerifyStoreOptions['approved']): void {
    this.approved = approved;
  }
  private approved: VerifyStoreOptions['approved'];

  /** Runs work that neither a verification nor a rebuild may meet, in whichever process; waits for them a while. @throws FabulaError CONFLICT */
  async alone<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    for (let tries = 1; ; tries++) {
      signal.throwIfAborted();
      let unlock;
      try {
        unlock = await this.lock('alone');
      } catch (error) {
        if (!(error instanceof FabulaError) || error.code !== 'CONFLICT' || tries >= LOCK_TRIES) throw error;
        await pause(systemTimers, LOCK_EVERY_MS, signal);
        continue;
      }
      try {
        return await work();
      } finally {
        unlock();
      }
    }
  }

  verification(): Verification {
    return this.verifying;
  }
  rebuild(): AuditRebuild {
    return this.rebuilding;
  }

  /**
   * Looks for tampering: every tree against its hashes, its notes, the notes kept outside the store and the log.
   * @throws FabulaError CONFLICT while such work is under way here, or a rebuild in another process
   */
  async startVerification(): Promise<Verification> {
    const { store, log, releases, keeper, trust } = this.options;
    await this.start(
      'shared',
      async (signal, show) => {
        // Before the heads: what was released by now, the store must know.
        const names = (await store.heads()).map((head) => head.log);
        const outside = await Promise.all(names.map((name) => keeper.newest(name)));
        const totals = new Map((await store.heads()).map((head) => [head.log, Number(head.size)]));
        const at = new Map<string, TreeProgress>([...totals].map(([name, total]) => [name, { log: name, done: 0, total }]));
        const progress = (name: string, done: number): void => {
          signal.throwIfAborted();
          at.set(name, { log: name, done, total: Math.max(done, at.get(name)?.total ?? 0) });
          show([...at.values()]);
        };
        show([...at.values()]);
        return verifyStore({
          store,
          vkey: await trust(),
          log,
          releases,
          outsideNotes: outside.filter((note) => note !== undefined),
          progress,
          ...(this.approved === undefined ? {} : { approved: this.approved }),
        });
      },
      (work) => (this.verifying = work),
      'the verification of the audit store',
    );
    return this.verifying;
  }

  /**
   * Forgets the trees and builds them again from the log; kept notes bind the new ones.
   * @throws FabulaError CONFLICT while such work is under way, here or in another process
   */
  async startRebuild(): Promise<AuditRebuild> {
    const { store, log, releases, following } = this.options;
    await this.start(
      'alone',
      async (signal, show) => {
        const at = new Map<number, TreeProgress>();
        for (let partition = 0; partition < log.partitions; partition++)
          at.set(partition, { log: `p${partition}`, done: 0, total: await log.end(partition) });
        show([...at.values()]);
        await following.leaveAll();
        try {
          const heads = await rebuildTrees({
            store,
            log,
            releases,
            timers: systemTimers,
            signal,
            progress: ({ partition, done, end }) => {
              at.set(partition, { log: `p${partition}`, done, total: end });
              show([...at.values()]);
            },
          });
          return { trees: heads.map(({ log: name, size }) => ({ log: name, size: String(size) })) };
        } finally {
          following.followAgain();
        }
      },
      (work) => (this.rebuilding = work),
      'the rebuild of the audit trees',
    );
    return this.rebuilding;
  }

  /** Breaks off what is under way. */
  async stop(): Promise<void> {
    this.running?.abort.abort(new Error('the server stops'));
    await this.running?.done;
  }

  private async start<Report>(
    share: 'shared' | 'alone',
    work: (signal: AbortSignal, show: (progress: readonly TreeProgress[]) => void) => Promise<Report>,
    keep: (work: AuditWork<Report>) => void,
    what: string,
  ): Promise<void> {
    if (this.ordering || this.running !== undefined)
      throw new FabulaError('CONFLICT', 'the audit store is being verified or rebuilt already; ask how far that is');
    this.ordering = true;
    try {
      const unlock = await this.lock(share);
      const abort = new AbortController();
      let now: AuditWork<Report> = { ...NONE, state: 'running', startedAt: systemClock.now() };
      const update = (change: Partial<AuditWork<Report>>): void => keep((now = { ...now, ...change }));
      update({});
      const done = work(abort.signal, (progress) => update({ progress }))
        .then(
          (report) => update({ state: 'done', finishedAt: systemClock.now(), report }),
          (error: unknown) => update({ state: 'failed', finishedAt: systemClock.now(), error: errorText(error) }),
        )
        .then(() => {
          this.running = undefined;
          unlock();
          this.options.logger.info({ state: now.state, error: now.error }, `${what} ended`);
        });
      this.running = { abort, done };
    } finally {
      this.ordering = false;
    }
  }

  /** Held by a session of its own: it ends with the process, however that ends. */
  private async lock(share: 'shared' | 'alone'): Promise<() => void> {
    const client: PoolClient = await this.options.pool.connect();
    // A lost session loses the lock; what runs stays correct without it, since every batch is fenced by its head.
    const lost = (): void => undefined;
    client.on('error', lost);
    const release = (): void => {
      client.off('error', lost);
      // Ending the session gives the lock back.
      client.release(true);
    };
    try {
      const suffix = share === 'shared' ? '_shared' : '';
      const { rows } = await client.query<{ taken: boolean }>(`select pg_try_advisory_lock${suffix}($1, 0) as taken`, [STORE_LOCK]);
      if (rows[0]?.taken !== true) throw new FabulaError('CONFLICT', 'another process verifies or rebuilds the audit store');
      return release;
    } catch (error) {
      release();
      throw error;
    }
  }
}
