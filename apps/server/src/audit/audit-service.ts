import path from 'node:path';
import type { Pool } from 'pg';
import {
  Auditor,
  DirectoryNoteKeeper,
  Exporter,
  Notary,
  openSigningKey,
  PostgresAuditStore,
  Proofs,
  type NotaryStatus,
  type PartitionAudit,
} from '#lib/audit';
import type { EventLog, LogId } from '#lib/log';
import { systemClock, systemIds, systemTimers, type Config, type Logger } from '#lib/platform';

interface Followed {
  readonly auditor: Auditor;
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

interface AuditServiceOptions {
  readonly config: Config;
  readonly logger: Logger;
  readonly pool: Pool;
  readonly log: EventLog;
  readonly logId: LogId;
  readonly alarm: (message: string) => void;
}

/** The audit side of one process: an auditor per followed partition, the notary, and what the audit API reads. */
export class AuditService {
  readonly proofs: Proofs;
  private readonly followed = new Map<number, Followed>();
  private notaryRun: { readonly abort: AbortController; readonly done: Promise<void> } | undefined;

  private constructor(
    private readonly options: AuditServiceOptions,
    readonly store: PostgresAuditStore,
    readonly notary: Notary,
    readonly exporter: Exporter,
    /** `name+id+key`: what verifies the notes. */
    readonly verifierKey: string,
  ) {
    this.proofs = new Proofs(store, options.logId);
  }

  static async open(options: AuditServiceOptions): Promise<AuditService> {
    const { config, pool, log, logId, alarm } = options;
    const store = new PostgresAuditStore(pool);
    const signer = await openSigningKey(path.join(config.dataDir, 'audit-signing.key'), config.auditOrigin);
    const notary = new Notary({
      store,
      logId,
      partitions: log.partitions,
      signer,
      clock: systemClock,
      timers: systemTimers,
      keeper: new DirectoryNoteKeeper(path.join(config.dataDir, 'audit-notes', logId)),
      intervalMs: config.checkpointIntervalMs,
      // Reported once: a stopped tree is not looked at again.
      onStatus: ({ log: tree, state, problem }) => {
        if (state === 'stopped') alarm(`the notary of ${tree} stopped: ${problem?.message ?? 'unknown'}`);
      },
    });
    const exporter = new Exporter({
      store,
      logId,
      partitions: log.partitions,
      signer,
      clock: systemClock,
      ids: systemIds,
      directory: path.join(config.dataDir, 'exports'),
    });
    return new AuditService(options, store, notary, exporter, signer.verifier.vkey);
  }

  follow(partition: number): void {
    if (this.followed.has(partition)) return;
    const { log, alarm } = this.options;
    const auditor = new Auditor({
      log,
      store: this.store,
      timers: systemTimers,
      partitions: [partition],
      onStatus: ({ state, problem }) => {
        if (state === 'stopped') alarm(`the auditor of partition ${partition} stopped: ${problem?.message ?? 'unknown'}`);
      },
    });
    const abort = new AbortController();
    this.followed.set(partition, { auditor, abort, done: auditor.run(abort.signal) });
  }

  async leave(partition: number): Promise<void> {
    const followed = this.followed.get(partition);
    if (followed === undefined) return;
    this.followed.delete(partition);
    followed.abort.abort();
    await followed.done;
  }

  /** Takes up exports that an earlier process left unfinished. */
  resumeExports(): Promise<void> {
    return this.exporter.resume();
  }

  /** Signs at every interval. Several processes may: a note is kept only once, and never a smaller one. */
  startNotary(): void {
    const abort = new AbortController();
    this.notaryRun ??= { abort, done: this.notary.run(abort.signal) };
  }

  async stop(): Promise<void> {
    await this.exporter.close();
    this.notaryRun?.abort.abort();
    await this.notaryRun?.done;
    await Promise.all([...this.followed.keys()].map((partition) => this.leave(partition)));
  }

  status(): readonly PartitionAudit[] {
    return [...this.followed.values()].flatMap(({ auditor }) => auditor.status());
  }
  notes(): readonly NotaryStatus[] {
    return this.notary.status();
  }
}
