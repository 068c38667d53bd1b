import type { Pool } from 'pg';
import type { Engine } from '#lib/engine';
import type { EventLog, LogId, LogPosition, Offset, OldestWaiting } from '#lib/log';
import { errorText, systemClock, type Config } from '#lib/platform';
import type { DeadLetters, ReadModels } from '#lib/projections';
import type { AuditService } from '../audit/audit-service.js';
import type { FeedService } from '../feed/feed-service.js';
import type { NodeMetrics } from '../metrics.js';
import { BUSIEST, BUSY_FROM, type RoleOwners } from '../node-metrics.js';
import type { ProjectionService } from '../projections/projection-service.js';
import { Sampled } from '../sampled.js';
import { Degradations, type DatedDegradation, type Degradation } from './degradations.js';

export interface OperationsOptions {
  readonly config: Config;
  readonly address: string;
  readonly pool: Pool;
  readonly log: EventLog;
  readonly oldest: OldestWaiting;
  readonly logId: LogId;
  readonly reads: ReadModels;
  readonly engine: Engine;
  readonly projections: ProjectionService;
  readonly deadLetters: DeadLetters;
  readonly audit: AuditService;
  readonly feed: FeedService;
  readonly metrics: NodeMetrics;
  readonly owners: readonly RoleOwners[];
  /** Who writes a partition; known also without the role engine. */
  writerOf(partition: number): string | null;
}

/** How far one role is in one partition, whichever process does its work. */
interface RoleProgress {
  /** `self`, another process's address where it is known, or null: nobody, or this process takes no part in the role. */
  readonly owner: string | null;
  readonly nextOffset: number;
  readonly lagRecords: number;
  /** Age of the oldest record that it has not done; 0 when none waits. At least so much while the log does not show it. */
  readonly lagSeconds: number;
}

interface PartitionReport {
  readonly partition: number;
  readonly end: number;
  readonly engine: { readonly owner: string | null; readonly breaker: string | null; readonly pending: number | null };
  readonly projector: RoleProgress | null;
  readonly auditor: RoleProgress | null;
  readonly publisher: RoleProgress | null;
}

/** Behind by more than this: readers notice (projector), evidence comes late (auditor, publisher). Seconds. */
const LATE_SECONDS = { projector: 10, auditor: 300, publisher: 300 } as const;
const LOOK_EVERY_MS = 5_000;

const RUNBOOK = 'docs/how-to/alerts.md';

/** What an operator wants to know of a deployment, as one process sees it. Answers also while the database is down. */
export class Operations {
  private readonly degradations = new Degradations(systemClock);
  private readonly looking: NodeJS.Timeout;
  private readonly partitions: Sampled<readonly PartitionReport[]>;
  private readonly database: Sampled<string>;
  private readonly counts: Sampled<{ readonly parked: number; readonly deadLetters: Readonly<Record<string, number>> }>;

  constructor(private readonly options: OperationsOptions) {
    this.partitions = new Sampled(() => this.readPartitions());
    this.counts = new Sampled(() => this.readCounts());
    this.database = new Sampled(() => this.databaseProblem());
    // So that "since" is when it began, not when somebody asked.
    this.looking = setInterval(() => void this.degraded(), LOOK_EVERY_MS).unref();
  }

  stop(): void {
    clearInterval(this.looking);
  }

  async report(): Promise<object> {
    const { config, address, logId, log, engine, metrics } = this.options;
    const [partitions, counts, degraded] = await Promise.all([this.partitions.get(), this.counts.get(), this.degraded()]);
    const others = Array.from({ length: log.partitions }, (_, partition) => this.options.writerOf(partition));
    const processes = [...new Set([address, ...others.filter((owner): owner is string => owner !== null && owner !== 'self')])];
    return {
      at: new Date(systemClock.now()).toISOString(),
      address,
      roles: config.roles,
      log: { id: logId, kind: config.log, partitions: log.partitions },
      processes,
      partitions: partitions ?? null,
      commands: metrics.recent.report(),
      busiestStreams: engine.busiest(BUSIEST, BUSY_FROM),
      parkedStreams: counts?.parked ?? null,
      deadLetters: counts?.deadLetters ?? null,
      degraded: degraded.map(({ since, ...one }) => ({ ...one, since: new Date(since).toISOString() })),
    };
  }

  private async degraded(): Promise<readonly DatedDegradation[]> {
    const [counts, partitions] = await Promise.all([this.counts.get(), this.partitions.get()]);
    const found: Degradation[] = [...this.local()];
    if (counts === undefined || partitions === undefined) {
      const answer = await this.database.get();
      const problem = answer === '' ? undefined : (answer ?? 'it does not answer in time');
      found.push({
        who: problem === undefined ? 'log' : 'database',
        why: problem ?? 'the log does not say how long it is',
        whatToDo:
          problem === undefined
            ? `look at the log (Kafka, EventStoreDB); see ${RUNBOOK}#fabulabreakeropen`
            : `commands of playthroughs in memory go on while the log does; see ${RUNBOOK}#fabuladatabasedown`,
      });
    }
    if ((counts?.parked ?? 0) > 0)
      found.push({
        who: 'projector',
        why: `streams that are parked: ${counts?.parked}`,
        whatToDo: '`fabula projection parked` names them and why',
      });
    const open = counts?.deadLetters['open'] ?? 0;
    if (open > 0) found.push({ who: 'dead letters', why: `${open} are open`, whatToDo: '`fabula log dead-letters list` shows them' });
    for (const one of partitions ?? []) found.push(...this.ofPartition(one));
    return this.degradations.dated(found);
  }

  /** What this process knows of itself, without asking anybody. */
  private *local(): Generator<Degradation> {
    const { engine, projections, audit, feed } = this.options;
    for (const [partition, why] of engine.problems())
      yield { who: `engine p${partition}`, why, whatToDo: `see ${RUNBOOK}#fabulapartitionwithoutwriter` };
    for (const { partition, breaker, breakerSince } of engine.stats())
      if (breakerSince !== null)
        yield {
          who: `log p${partition}`,
          why: `the log takes nothing: the circuit breaker is ${breaker}`,
          whatToDo: `look at the log (Postgres, Kafka); see ${RUNBOOK}#fabulabreakeropen`,
          since: breakerSince,
        };
    const stalled = projections.stalled();
    for (const { partition, state, error } of projections.status()) {
      const why = stalled[partition] ?? (state === 'halted' || state === 'retrying' ? error : null);
      if (why !== null) yield { who: `projector p${partition}`, why: `${state}: ${why}`, whatToDo: `see ${RUNBOOK}#fabulaprojectorbehind` };
    }
    for (const { partition, state, problem } of audit.status())
      if (problem !== undefined && (state === 'stopped' || state === 'waiting'))
        yield {
          who: `auditor p${partition}`,
          why: `${state}: ${problem.message}`,
          whatToDo: problem.remedy ?? `see ${RUNBOOK}#fabulaauditorstopped`,
        };
    for (const { log, state, problem } of audit.notes())
      if (state === 'stopped')
        yield { who: `notary ${log}`, why: problem?.message ?? 'stopped', whatToDo: `see ${RUNBOOK}#fabulaauditorstopped` };
    for (const [who, why] of Object.entries(audit.witnessing.notes()))
      yield { who, why, whatToDo: `\`GET /audit/witnesses\` and \`GET /audit/forks\`; see ${RUNBOOK}#fabulaauditforked` };
    for (const { partition, state, problem } of feed.status())
      if (state === 'stopped' || (state === 'retrying' && problem !== null))
        yield {
          who: `publisher p${partition}`,
          why: `${state}: ${problem ?? 'its position is not of this log'}`,
          whatToDo: `see ${RUNBOOK}#fabulapublisher${state === 'stopped' ? 'stopped' : 'behind'}`,
        };
  }

  private *ofPartition({ partition, engine, projector, auditor, publisher }: PartitionReport): Generator<Degradation> {
    if (engine.owner === null)
      yield { who: `engine p${partition}`, why: 'nobody writes this partition', whatToDo: 'start a process with the role engine' };
    for (const [role, progress] of [
      ['projector', projector],
      ['auditor', auditor],
      ['publisher', publisher],
    ] as const) {
      const late = progress?.lagSeconds ?? 0;
      if (progress === null || late < LATE_SECONDS[role]) continue;
      const why = `${progress.lagRecords} records and ${Math.round(late)} s behind`;
      yield {
        who: `${role} p${partition} is late`,
        why,
        whatToDo: `start a process with the role ${role}; see ${RUNBOOK}#fabula${role}behind`,
      };
    }
  }

  private async readPartitions(): Promise<readonly PartitionReport[]> {
    const { log, oldest, reads, pool, logId, feed, owners, engine, writerOf } = this.options;
    const [{ partitions: projected }, heads, positions] = await Promise.all([
      reads.status(log, oldest),
      pool.query<{ partition: number; next_offset: string }>(
        'select log as partition, next_offset from fabula.audit_heads where log >= 0 and log_id = $1',
        [logId],
      ),
      // Without brokers there is no feed, and nothing to tell of it.
      feed.positionsOf().catch(() => undefined),
    ]);
    const ownerOf = (role: string, partition: number): string | null => owners.find((one) => one.role === role)?.ownerOf(partition) ?? null;
    const stats = engine.stats();
    return Promise.all(
      Array.from({ length: log.partitions }, async (_, partition): Promise<PartitionReport> => {
        const end = projected.find((one) => one.partition === partition)?.end ?? (await log.end(partition));
        const progress = async (role: string, nextOffset: Offset): Promise<RoleProgress> => {
          const lagMs = await oldest.lagMs(partition, nextOffset, end);
          const lagRecords = Math.max(0, end - nextOffset);
          return { owner: ownerOf(role, partition), nextOffset, lagRecords, lagSeconds: lagMs / 1_000 };
        };
        const row = projected.find((one) => one.partition === partition);
        const head = heads.rows.find((one) => one.partition === partition);
        const own = stats.find((one) => one.partition === partition);
        return {
          partition,
          end,
          engine: { owner: writerOf(partition), breaker: own?.breaker ?? null, pending: own?.pending ?? null },
          projector: row === undefined ? null : await progress('projector', row.nextOffset),
          auditor: await progress('auditor', Number(head?.next_offset ?? 0)),
          publisher: positions === undefined ? null : await progress('publisher', publishedTo(positions.get(partition), logId)),
        };
      }),
    );
  }

  private async readCounts(): Promise<{ readonly parked: number; readonly deadLetters: Readonly<Record<string, number>> }> {
    const [parked, letters] = await Promise.all([this.options.reads.parkedCount(), this.options.deadLetters.counts()]);
    const deadLetters: Record<string, number> = { open: 0 };
    for (const { status, count } of letters) deadLetters[status] = (deadLetters[status] ?? 0) + count;
    return { parked, deadLetters };
  }

  /** Empty: it answers. */
  private async databaseProblem(): Promise<string> {
    try {
      await this.options.pool.query('select 1');
      return '';
    } catch (error) {
      return errorText(error);
    }
  }
}

/** What is kept of another log says nothing about this one. */
const publishedTo = (kept: LogPosition | undefined, logId: LogId): Offset => (kept?.logId === logId ? kept.offset : 0);
