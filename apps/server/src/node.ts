import path from 'node:path';
import type { Pool } from 'pg';
import { partitionOf } from '#lib/decision';
import {
  Engine,
  ForwardingEngine,
  PostgresContentStore,
  RECOVERING,
  type Change,
  type CommandOutcome,
  type CommandRequest,
} from '#lib/engine';
import { createPostgresReleases, OldestWaiting, PacedReads, type EventLog, type LogId, type Offset } from '#lib/log';
import {
  createAuth,
  createPool,
  errorText,
  FabulaError,
  openTracing,
  systemClock,
  systemIds,
  systemTimers,
  type Config,
  type DevelopmentIssuer,
  type Logger,
  type ProcessRole,
  type Tracing,
} from '#lib/platform';
import { playthroughStream, stateHash, type PlaythroughState } from '#lib/playthrough';
import { createReadSide, DeadLetters, encodePosition, type PositionWaiter, type ReadModels } from '#lib/projections';
import type { CompiledStory } from '#lib/story';
import { AuditService } from './audit/audit-service.js';
import { FeedService } from './feed/feed-service.js';
import { Compliance } from './compliance/compliance.js';
import { DatabaseProbe } from './database-probe.js';
import { endInOrder, type Ending } from './endings.js';
import type { Follow } from './follow.js';
import type { Authenticator, Caller } from './http/auth.js';
import { InternalTransport } from './internal-transport.js';
import { openLogOfRecord } from './log-of-record.js';
import { NodeMetrics } from './metrics.js';
import { Operations } from './operations/operations.js';
import { observe, type RoleOwners } from './node-metrics.js';
import { ObservedLog } from './observed-log.js';
import { PlaythroughWatch } from './play/playthrough-watch.js';
import { isPlaythrough, rejectionError } from './play/rejections.js';
import { Privacy } from './privacy/privacy.js';
import { eraseWork, rotateKekWork } from './privacy/privacy-works.js';
import { ProjectionService } from './projections/projection-service.js';
import { MissingContents } from './stories/missing-contents.js';
import { retentionOf, type Retention } from './retention/retention.js';
import { StoryCatalogue } from './stories/story-catalogue.js';
import { StoryContents } from './stories/story-contents.js';
import { tracedCommand } from './traced-command.js';

/** Servers up to 0.2 call themselves `fabula`: see `LegacyKeys`. */
const APPLICATION = 'fabula-server';
/**
 * How long projector, auditor and publisher let records gather at the tail: a transaction costs the same for one as for fifty. A read that waits for
 * its own write does not wait for this; nobody waits for a leaf.
 */
const PROJECT_EVERY_MS = 50;
const AUDIT_EVERY_MS = 250;

/**
 * One process of Fabula put together: log, engine, projector, auditor and what the API reads, by the roles it was given.
 * Nest only carries requests to it.
 */
export class FabulaNode {
  readonly metrics: NodeMetrics;
  readonly stories: StoryCatalogue;
  readonly compliance: Compliance;
  readonly retention: Retention;
  readonly watch: PlaythroughWatch;
  private readonly missing: MissingContents | undefined;
  readonly operations: Operations;
  readonly oldest: OldestWaiting;
  private readonly listeners = new Set<(change: Change) => void>();
  private started = false;
  private readonly database: DatabaseProbe;

  private constructor(
    readonly config: Config,
    readonly logger: Logger,
    readonly pool: Pool,
    readonly log: EventLog,
    readonly logId: LogId,
    readonly authenticator: Authenticator,
    readonly developmentIssuer: DevelopmentIssuer | undefined,
    readonly privacy: Privacy,
    readonly reads: ReadModels,
    readonly waiter: PositionWaiter,
    readonly contents: StoryContents,
    readonly transport: InternalTransport,
    readonly projections: ProjectionService,
    readonly deadLetters: DeadLetters,
    readonly audit: AuditService,
    readonly feed: FeedService,
    private readonly engine: Engine,
    private readonly commands: ForwardingEngine,
    private readonly follows: readonly Follow[],
    private readonly address: string,
    metrics: NodeMetrics,
    readonly tracing: Tracing,
  ) {
    this.metrics = metrics;
    this.stories = new StoryCatalogue(this);
    this.compliance = new Compliance(this);
    this.database = new DatabaseProbe(this.compliance.clocks);
    this.compliance.register(eraseWork(privacy, (pseudonym) => this.compliance.reads.plays(pseudonym)));
    this.compliance.register(rotateKekWork(privacy));
    this.compliance.register(audit.keys.rotateWork());
    this.retention = retentionOf(this);
    const partitionOfStream = (stream: string): number => this.partitionOf(stream);
    this.watch = new PlaythroughWatch({ reads, partitionOf: partitionOfStream, timers: systemTimers, logger });
    const alarm = alarmOf(metrics, logger);
    const onProblem = (error: unknown): void => logger.debug({ error: errorText(error) }, 'looking for missing contents failed');
    this.missing = has(config, 'projector') ? new MissingContents(pool, reads, { alarm, onProblem }) : undefined;
    const oldest = new OldestWaiting(log, systemClock, systemTimers);
    this.oldest = oldest;
    const derived = { reads, projections, deadLetters, audit, feed };
    const observed = { metrics, pool, log, oldest, engine, owners: this.owners(), ...derived };
    observe({ ...observed, missing: this.missing });
    const writerOf = (partition: number): string | null => this.ownerOf(partition);
    this.operations = new Operations({ ...observed, config, address, logId, writerOf });
    engine.onChanged((change) => this.listeners.forEach((listener) => listener(change)));
  }

  /**
   * Opens everything on a migrated database; nothing runs before `start`.
   * @param address what other processes on the same log reach this one under
   * @param root folder of the program: what the build made for receivers of exports goes with them
   */
  static async open(config: Config, logger: Logger, databaseUrl: string, address: string, root?: string): Promise<FabulaNode> {
    const metrics = new NodeMetrics();
    const alarm = alarmOf(metrics, logger);
    const pool = createPool({
      url: databaseUrl,
      max: config.databaseConnections,
      statementTimeoutMs: config.statementTimeoutMs,
      applicationName: APPLICATION,
      onIdleError: (error) => logger.debug({ error }, 'an idle database connection ended'),
    });
    const tracing = await openTracing({ endpoint: config.otlpEndpoint, instance: address });
    const { log, tail, share, tellLag } = await openLogOfRecord({
      config,
      pool,
      databaseUrl,
      logger,
      alarm,
      onRebalance: (work) => metrics.rebalanced(work),
    });
    const onAppended = metrics.appended.bind(metrics);
    const observed = new ObservedLog(log, { tracing, system: config.log, onAppended });
    const logId = await log.id();
    const { verifier, developmentIssuer } = await createAuth(config, (problem) =>
      logger.warn({ problem }, 'the token issuer cannot be read'),
    );
    const issuer = developmentIssuer?.issuer ?? (config.authIssuer as string);
    const privacy = await Privacy.open({ config, pool, databaseUrl, logger, issuer });
    const content = new PostgresContentStore(pool);
    const projecting = new PacedReads(systemTimers, PROJECT_EVERY_MS);
    const auditing = new PacedReads(systemTimers, AUDIT_EVERY_MS);
    const publishing = new PacedReads(systemTimers, AUDIT_EVERY_MS);
    const { live, projection, cold, reads, waiter } = createReadSide({
      pool,
      logId,
      partitions: log.partitions,
      clock: systemClock,
      timers: systemTimers,
      onWait: (partition) => projecting.hurry(partition),
    });
    const releases = createPostgresReleases(pool, logId);
    const deadLetters = new DeadLetters({ pool, logId, live, projection });
    const engine = new Engine({
      log: observed.appended(),
      releases,
      clock: systemClock,
      timers: systemTimers,
      ids: systemIds,
      cold,
      content,
      limits: {
        hotBytes: Math.ceil(config.hotBytes / log.partitions),
        tailBytes: Math.ceil(config.tailBytes / log.partitions),
        queueCommands: config.queueLimit,
        deadlineMs: config.commandTimeoutMs,
      },
      onMetric: (name, value) => metrics.engineEvent(name, value),
      onAlarm: alarm,
    });
    const projections = await ProjectionService.open({
      log,
      followed: observed.followed(projecting.of(tail), 'projector', 'at-commit'),
      projection,
      pool,
      databaseUrl,
      logger,
      alarm,
      releases,
      deadLetters,
      metrics,
    });
    const audit = await AuditService.open({
      config,
      logger,
      pool,
      log: observed.followed(auditing.of(tail), 'auditor', 'at-next'),
      logId,
      releases,
      address,
      root,
      alarm,
    });
    const feed = await FeedService.open({
      config,
      pool,
      log: observed.followed(publishing.of(tail), 'publisher', 'at-next'),
      logId,
      logger,
      alarm,
      tellLag,
    });
    const transport = await InternalTransport.open(pool);
    // Each by itself: processes with other roles, or with none of these, leave no partition without its projector or auditor.
    const follows: Follow[] = [];
    if (has(config, 'projector')) follows.push({ role: 'projector', ownership: share('projector', false), service: projections });
    if (has(config, 'auditor')) follows.push({ role: 'auditor', ownership: share('auditor', false), service: audit });
    if (feed.publishes) follows.push({ role: 'publisher', ownership: share('publisher', false), service: feed });
    const ownership = share('engine', !has(config, 'engine'));
    const commands = new ForwardingEngine({
      engine,
      ownership,
      transport,
      partitions: log.partitions,
      clock: systemClock,
      timers: systemTimers,
      ids: systemIds,
      address,
      deadlineMs: config.commandTimeoutMs,
      onAlarm: alarm,
    });
    projections.onCommit(waiter.committed);
    projections.onCommit(({ partition, to }) => tellLag('projector', new Map([[partition, to]])));
    audit.onCommit(({ partition, to }) => tellLag('auditor', new Map([[partition, to]])));
    projections.onCommit(({ partition, to }) => observed.committed('projector', partition, to));
    return new FabulaNode(
      config,
      logger,
      pool,
      log,
      logId,
      privacy.authenticator(verifier),
      developmentIssuer,
      privacy,
      reads,
      waiter,
      new StoryContents(content),
      transport,
      projections,
      deadLetters,
      audit,
      feed,
      engine,
      commands,
      follows,
      address,
      metrics,
      tracing,
    );
  }

  has(role: ProcessRole): boolean {
    return has(this.config, role);
  }

  async start(): Promise<void> {
    this.started = true;
    // A database that is away is told of elsewhere; this is asked again before anything depends on it.
    await this.compliance.clocks.look().catch((error: unknown) => this.logger.debug({ error }, 'the clocks could not be compared'));
    // Also without the engine: commands that arrive here are sent to the owners of their partitions.
    await Promise.all([
      this.commands.start(),
      ...this.follows.map(({ ownership, service }) =>
        ownership.start(this.address, {
          acquired: (partition) => service.follow(partition),
          released: (partition) => service.leave(partition),
        }),
      ),
    ]);
    if (this.has('signer')) this.audit.startNotary();
    if (this.has('auditor')) for (const one of [this.compliance, this.retention]) one.start();
    if (this.has('api')) this.audit.resumeExports();
  }

  /** Before requests are refused: other processes, if there are any, take the partitions over while this one still answers. */
  async handOver(): Promise<void> {
    if (!this.started) return;
    await Promise.all([this.commands.handOver(), ...this.follows.map(({ ownership }) => ownership.handOver?.())]);
  }

  /** @param at told what is being stopped, so that it can be named if it does not end */
  async stop(at: (what: string) => void = () => undefined): Promise<void> {
    const running: readonly Ending[] = [
      ['compliance', () => Promise.all([this.compliance.stop(), this.retention.stop()])],
      ['engine', () => this.commands.stop()],
      ['shares of partitions', () => Promise.all(this.follows.map(({ ownership }) => ownership.stop()))],
      ['projector', () => this.projections.stop()],
      ['auditor', () => this.audit.stop()],
      ['publisher', () => this.feed.stop()],
    ];
    const opened: readonly Ending[] = [
      ['operations', () => this.operations.stop()],
      ['missing contents', () => this.missing?.stop()],
      ['stories', () => this.stories.close()],
      ['forwarding', () => this.transport.close()],
      ['log', () => this.log.close()],
      ['keys', () => this.privacy.close()],
      ['database', () => this.pool.end()],
      ['tracing', () => this.tracing.stop()],
    ];
    await endInOrder(this.started ? [...running, ...opened] : opened, at);
  }

  /**
   * Decides a command here or at the owner of its partition.
   * @throws EngineFailure (a FabulaError)
   */
  async execute(request: CommandRequest): Promise<CommandOutcome> {
    const started = performance.now();
    let became = 'failed';
    try {
      await this.compliance.admits(request);
      return await tracedCommand(
        this.tracing,
        request,
        'command',
        this.log.partitions,
        (traced) => this.commands.execute(traced),
        (verdict) => (became = verdict),
      );
    } finally {
      this.metrics.command(request.command.type, became, performance.now() - started);
    }
  }

  /** A command that another process sent because this one owns the partition. */
  async executeForwarded(request: CommandRequest): Promise<CommandOutcome> {
    await this.compliance.admits(request);
    return tracedCommand(this.tracing, request, 'forwarded command', this.log.partitions, (traced) =>
      this.commands.executeForwarded(traced),
    );
  }

  /** The error a caller gets for a rejection; a stale reader is shown where the playthrough stands now. */
  rejection(outcome: Extract<CommandOutcome, { kind: 'rejected' }>, caller: Caller): Promise<FabulaError> {
    return rejectionError(outcome, caller, (versionHash) => this.content(versionHash));
  }

  /** @throws FabulaError INTERNAL when the content of a version is gone: it is primary data and must be restored */
  async content(versionHash: string): Promise<CompiledStory> {
    const story = await this.contents.get(versionHash);
    if (story === undefined) throw new FabulaError('INTERNAL', `the content of version ${versionHash} is missing`);
    return story;
  }

  /** A playthrough as this process holds it in memory, if it does: newer than the read models, and there when they are not. */
  hot(id: string): PlaythroughState | undefined {
    const state = this.engine.hot(playthroughStream(id));
    return isPlaythrough(state ?? null) ? (state as PlaythroughState) : undefined;
  }

  onChanged(listener: (change: Change) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** Who has which partition, for each role of this process. */
  owners(): readonly RoleOwners[] {
    const writers = this.has('engine') ? [{ role: 'engine', ownerOf: (partition: number) => this.commands.ownerOf(partition) }] : [];
    return [
      ...writers,
      ...this.follows.map(({ role, ownership }) => ({ role, ownerOf: (partition: number) => ownership.ownerOf(partition) })),
    ];
  }
  /** Who writes a partition: `self`, another process's address, or null while nobody is known to (or this process takes no part). */
  ownerOf(partition: number): string | null {
    return this.commands.ownerOf(partition) ?? null;
  }
  partitionOf(stream: string): number {
    return partitionOf(stream, this.log.partitions);
  }
  positionToken(partition: number, offset: Offset): string {
    return encodePosition({ logId: this.logId, partition, offset });
  }
  stateHash(state: PlaythroughState): string {
    return stateHash(state);
  }

  /** Why this process cannot do what it is there for; empty when it is ready. `waiting`: partitions that are still being recovered. */
  problems(): { readonly problems: Record<string, string>; readonly waiting: Record<string, string> } {
    const problems: Record<string, string> = {};
    const waiting: Record<string, string> = {};
    if (this.has('engine')) {
      for (const [partition, reason] of this.engine.problems())
        (reason === RECOVERING ? waiting : problems)[`engine p${partition}`] = reason;
    }
    for (const { partition, state, error } of this.projections.status()) {
      if (state === 'halted') problems[`projector p${partition}`] = error ?? 'halted';
    }
    return { problems, waiting };
  }

  /** The database's own word, or that it says none; reads of hot playthroughs and their commands may go on without it. */
  databaseProblem(): Promise<Record<string, string>> {
    return this.database.problem();
  }

  /** What somebody must look at although commands go on, so that the process stays ready: stopped auditors and publishers, stuck projectors. */
  notes(): Record<string, string> {
    const notes: Record<string, string> = {};
    for (const { partition, state, problem } of this.audit.status())
      if (state === 'stopped') notes[`auditor p${partition}`] = problem?.message ?? 'stopped';
    for (const { partition, state, problem } of this.feed.status())
      if (state === 'stopped') notes[`publisher p${partition}`] = problem ?? 'stopped';
    for (const { log, state, problem } of this.audit.notes()) {
      if (state === 'stopped') notes[`notary ${log}`] = problem?.message ?? 'stopped';
    }
    Object.assign(notes, this.audit.witnessing.notes());
    Object.assign(notes, this.compliance.clocks.notes());
    for (const [partition, problem] of Object.entries(this.projections.stalled())) notes[`projector p${partition}`] = problem;
    return notes;
  }

  dataPath(name: string): string {
    return path.join(this.config.dataDir, name);
  }
}

/** Something an operator must look at: counted, and said in the log output. */
const alarmOf =
  (metrics: NodeMetrics, logger: Logger) =>
  (message: string): void => {
    metrics.alarm();
    logger.warn({ alarm: message }, message);
  };

const has = (config: Config, role: ProcessRole): boolean => config.roles.includes(role);
