import path from 'node:path';
import type { Pool } from 'pg';
import {
  AccessLog,
  AccessRecorder,
  Auditor,
  bodiesOf,
  DirectoryNoteKeeper,
  Exporter,
  keepingTerms,
  Notary,
  type NoteKeeper,
  PostgresAuditStore,
  Proofs,
  type ExportJob,
  type ExportWish,
  type NotaryStatus,
  type PartitionAudit,
} from '#lib/audit';
import type { EventLog, LogId, Releases } from '#lib/log';
import { createPool, errorText, pause, systemClock, systemIds, systemTimers, type Config, type Logger } from '#lib/platform';
import { openNodeId } from '../node-id.js';
import { holdsTogether, verifierFile } from './bundle-verifier.js';
import { AuditKeys } from './audit-keys.js';
import { AuditMaintenance } from './audit-maintenance.js';
import { MAX_LISTED, Witnessing } from './witnessing.js';

/** What the access log says of an export's file, so that one can later be proved to be the one that was handed over. */
export function handedOver(
  exportId: string,
  { sha256, bytes, manifestSha256 }: NonNullable<ExportJob['file']>,
): Readonly<Record<string, string | number>> {
  return { exportId, sha256, bytes, ...(manifestSha256 === undefined ? {} : { manifestSha256 }) };
}

interface Followed {
  auditor: Auditor;
  readonly abort: AbortController;
  done: Promise<void>;
}

interface AuditServiceOptions {
  readonly config: Config;
  readonly logger: Logger;
  readonly pool: Pool;
  readonly log: EventLog;
  readonly logId: LogId;
  readonly releases: Releases;
  /** Where this process is reached. */
  readonly address: string;
  /** Folder of the program, where the build made the verifier that goes with exports. */
  readonly root: string | undefined;
  readonly alarm: (message: string) => void;
}

/**
 * What an auditor or the notary stopped at may be mended elsewhere: by a rebuild that another process ran, a backup, a newer program.
 * So often they look again; until then they stay stopped.
 */
const LOOK_AGAIN_MS = 30_000;
const LOOKS_AN_HOUR = 120;
const RESUME_AGAIN_MS = 2_000;
const SWEEP_EXPORTS_MS = 3_600_000;
/** A record of an unknown envelope may be released any moment; asking costs one query. */
const LOOK_FOR_RELEASE_MS = 2_000;

/** The audit side of one process: an auditor per followed partition, the notary, and what the audit API reads. */
export class AuditService {
  /** Who looked at what. Every process tells; it has no switch. */
  readonly access: AccessRecorder;
  readonly maintenance: AuditMaintenance;
  /** What this process is to follow, whether it just does or not. */
  private readonly wanted = new Set<number>();
  private readonly listeners = new Set<(commit: { readonly partition: number; readonly to: number }) => void>();
  private paused = false;
  private readonly followed = new Map<number, Followed>();
  private resuming: { readonly abort: AbortController; readonly done: Promise<void> } | undefined;
  private notaryRun: { readonly abort: AbortController; readonly done: Promise<void> } | undefined;

  private constructor(
    private readonly options: AuditServiceOptions,
    readonly store: PostgresAuditStore,
    readonly notary: Notary,
    readonly exporter: Exporter,
    /** What signs and what verifies the notes. */
    readonly keys: AuditKeys,
    keeper: NoteKeeper,
    accessLog: AccessLog,
    readonly proofs: Proofs,
    /** What others hold of the signed trees. */
    readonly witnessing: Witnessing,
    private readonly signerPool: Pool,
  ) {
    const { pool, log, releases, logger } = options;
    this.access = new AccessRecorder({
      log: accessLog,
      clock: systemClock,
      timers: systemTimers,
      onProblem: (problem) => logger.warn({ problem }, 'the access log waits'),
    });
    this.maintenance = new AuditMaintenance({ pool, log, releases, store, keeper, trust: () => keys.trust(), logger, following: this });
  }

  static async open(options: AuditServiceOptions): Promise<AuditService> {
    const { config, pool, log, logId, address, alarm } = options;
    const store = new PostgresAuditStore(pool);
    const keyFile = path.join(config.dataDir, 'audit-signing.key');
    const signs = config.roles.includes('signer');
    // Notes are written as a user of their own, where there is one.
    const signerPool = signs && config.signerDatabaseUrl !== undefined ? signerPoolOf(config.signerDatabaseUrl, options) : pool;
    const signerStore = signerPool === pool ? store : new PostgresAuditStore(signerPool);
    const keys = await AuditKeys.open({ pool: signerPool, store: signerStore, logId, file: keyFile, name: config.auditOrigin, signs });
    const keeper = new DirectoryNoteKeeper(path.join(config.dataDir, 'audit-notes', logId));
    const notary = new Notary({
      store: signerStore,
      logId,
      partitions: log.partitions,
      signers: keys.atStart.signers,
      reloadKeys: () => keys.reload(),
      terms: keepingTerms(signerStore, logId),
      clock: systemClock,
      timers: systemTimers,
      keeper,
      intervalMs: config.checkpointIntervalMs,
      // Reported once: a stopped tree is not looked at again.
      onStatus: ({ log: tree, state, problem }) => {
        if (state === 'stopped') alarm(`the notary of ${tree} stopped: ${problem?.message ?? 'unknown'}`);
      },
    });
    const accessLog = new AccessLog({
      store,
      logId,
      timers: systemTimers,
      onStopped: ({ message }) => alarm(`the access log cannot go on: ${message}`),
      onRefusing: (problem) => alarm(`the access log cannot be written, so staff get no answers: ${problem}`),
    });
    const proofs = new Proofs(store, logId);
    const witnessing = await Witnessing.open({
      ...options,
      pool: signerPool,
      store: signerStore,
      proofs,
      origin: notary.origin('root'),
      keys,
    });
    const exporter = new Exporter({
      store,
      logId,
      partitions: log.partitions,
      signer: () => keys.signing(),
      policy: () => witnessing.exportPolicy(),
      cosigned: (note) => witnessing.cosigned(note),
      witnessed: () => witnessing.witnessedSize(),
      timestamps: () => witnessing.timestamps(MAX_LISTED),
      bodies: bodiesOf(log),
      verifier: () => verifierFile(options.root),
      holdsTogether: (bundle) => holdsTogether(options.root, bundle),
      clock: systemClock,
      ids: systemIds,
      directory: path.join(config.dataDir, 'exports'),
      keeper: { id: await openNodeId(config.dataDir), address },
      limits: { days: config.exportDays, maxBytes: config.exportsMaxMb * 1_000_000 },
      removing: ({ id, file }, reason) =>
        accessLog.record({
          event: 'sensitive_delete',
          at: systemClock.now(),
          actor: null,
          roles: [],
          action: reason === 'expired' ? 'export expired' : 'export made room',
          target: file === null ? { exportId: id } : handedOver(id, file),
          outcome: 'ok',
          correlationId: null,
        }),
      releasing: ({ id, requestedBy, file }) =>
        accessLog.record({
          event: 'sensitive_export',
          at: systemClock.now(),
          actor: requestedBy,
          roles: [],
          action: 'export finished',
          target: handedOver(id, file),
          outcome: 'ok',
          correlationId: null,
        }),
    });
    return new AuditService(options, store, notary, exporter, keys, keeper, accessLog, proofs, witnessing, signerPool);
  }

  follow(partition: number): void {
    this.wanted.add(partition);
    if (this.paused || this.followed.has(partition)) return;
    let alarmed: string | undefined;
    const auditorOf = (): Auditor =>
      new Auditor({
        log: this.options.log,
        store: this.store,
        timers: systemTimers,
        releases: this.options.releases,
        partitions: [partition],
        onStatus: ({ state, problem, nextOffset }) => {
          for (const listener of this.listeners) listener({ partition, to: nextOffset });
          const message = `the auditor of partition ${partition} stopped: ${problem?.message ?? 'unknown'}`;
          if (state !== 'stopped' || alarmed === message) return;
          alarmed = message;
          this.options.alarm(message);
        },
      });
    const abort = new AbortController();
    const { signal } = abort;
    const followed: Followed = { auditor: auditorOf(), abort, done: Promise.resolve() };
    const run = async (): Promise<void> => {
      for (;;) {
        await followed.auditor.run(signal);
        await this.mended(followed.auditor, signal);
        if (signal.aborted) return;
        followed.auditor = auditorOf();
      }
    };
    followed.done = run();
    this.followed.set(partition, followed);
  }

  /** Ends when a stopped auditor should look again. */
  private async mended(auditor: Auditor, signal: AbortSignal): Promise<void> {
    const [status] = auditor.status();
    const record = status?.problem?.record;
    for (let waited = 0; waited < LOOK_AGAIN_MS && !signal.aborted; waited += LOOK_FOR_RELEASE_MS) {
      await pause(systemTimers, LOOK_FOR_RELEASE_MS, signal);
      if (status === undefined || record === undefined) continue;
      try {
        if (await this.options.releases.has(status.partition, record.offset, record.digest)) return;
      } catch (error) {
        this.options.logger.debug({ error: errorText(error) }, 'releases cannot be asked for now');
      }
    }
  }

  async leave(partition: number): Promise<void> {
    this.wanted.delete(partition);
    await this.letGo(partition);
  }

  /** For a rebuild: nobody here holds on to the trees until `followAgain`. */
  async leaveAll(): Promise<void> {
    this.paused = true;
    await Promise.all([...this.followed.keys()].map((partition) => this.letGo(partition)));
  }
  followAgain(): void {
    this.paused = false;
    for (const partition of this.wanted) this.follow(partition);
    this.notary.resume();
  }

  private async letGo(partition: number): Promise<void> {
    const followed = this.followed.get(partition);
    if (followed === undefined) return;
    this.followed.delete(partition);
    followed.abort.abort();
    await followed.done;
  }

  /**
   * @throws FabulaError CONFLICT when this process has another key than those that sign: nobody could verify what it exports
   */
  async requestExport(ranges: Parameters<Exporter['request']>[0], requestedBy: string, wish: ExportWish): Promise<ExportJob> {
    await this.keys.signing();
    return this.exporter.request(ranges, requestedBy, wish);
  }

  /** Takes up exports that an earlier process left unfinished, as soon as the database answers: no start depends on it. */
  resumeExports(): void {
    const abort = new AbortController();
    this.resuming ??= { abort, done: this.resumeUntilDone(abort.signal) };
  }

  private async resumeUntilDone(signal: AbortSignal): Promise<void> {
    while (!signal.aborted)
      try {
        await this.exporter.resume();
        return await this.sweepExports(signal);
      } catch (error) {
        this.options.logger.warn({ error }, 'unfinished exports could not be looked for; tried again');
        await pause(systemTimers, RESUME_AGAIN_MS, signal);
      }
  }

  /** What is too old goes, also where nobody orders another. */
  private async sweepExports(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.exporter.sweep();
      } catch (error) {
        this.options.logger.warn({ error: errorText(error) }, 'finished exports could not be looked through; tried again within the hour');
      }
      await pause(systemTimers, SWEEP_EXPORTS_MS, signal);
    }
  }

  /** Signs at every interval. Several processes may: a note is kept only once, and never a smaller one. */
  startNotary(): void {
    const abort = new AbortController();
    const { signal } = abort;
    const resume = async (): Promise<void> => {
      for (let looked = 1; !signal.aborted; looked++) {
        await pause(systemTimers, LOOK_AGAIN_MS, signal);
        this.notary.resume();
        if (looked % LOOKS_AN_HOUR === 0) await this.keysSettled();
      }
    };
    this.witnessing.start();
    this.notaryRun ??= { abort, done: Promise.all([this.notary.run(signal), resume()]).then(() => undefined) };
  }

  /** The private half of a key that was replaced goes once it signs no more. */
  private async keysSettled(): Promise<void> {
    try {
      await this.keys.reload();
    } catch (error) {
      this.options.logger.warn({ error: errorText(error) }, 'the signing keys cannot be settled now; tried again within the hour');
    }
  }

  async stop(): Promise<void> {
    await this.maintenance.stop();
    this.resuming?.abort.abort();
    await this.resuming?.done;
    await this.exporter.close();
    await this.witnessing.stop();
    this.notaryRun?.abort.abort();
    await this.notaryRun?.done;
    if (this.signerPool !== this.options.pool) await this.signerPool.end();
    await Promise.all([...this.wanted].map((partition) => this.leave(partition)));
    await this.access.stop();
  }

  /** Told where an auditor stands whenever that changes. */
  onCommit(listener: (commit: { readonly partition: number; readonly to: number }) => void): void {
    this.listeners.add(listener);
  }

  status(): readonly PartitionAudit[] {
    return [...this.followed.values()].flatMap(({ auditor }) => auditor.status());
  }
  notes(): readonly NotaryStatus[] {
    return this.notary.status();
  }
}

/** A few connections: notes are signed one after another. */
function signerPoolOf(url: string, { config, logger }: AuditServiceOptions): Pool {
  return createPool({
    url,
    max: 3,
    statementTimeoutMs: config.statementTimeoutMs,
    applicationName: 'fabula-signer',
    onIdleError: (error) => logger.debug({ error }, 'an idle database connection of the signer ended'),
  });
}
