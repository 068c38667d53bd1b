import type { Pool } from 'pg';
import { COMPLIANCE_STREAM, type Action, type ActionKind, type Asked } from '#lib/compliance';
import type { CommandOutcome, CommandRequest } from '#lib/engine';
import type { EventLog, LogId } from '#lib/log';
import { systemClock, systemTimers, type FabulaError, type Logger } from '#lib/platform';
import { ComplianceReads, type ComplianceActionRow, type PositionWaiter, type ReadModels } from '#lib/projections';
import type { NodeMetrics } from '../metrics.js';
import type { ActionWork } from './action-work.js';
import type { BreakGlass } from './break-glass.js';
import { ClockCheck } from './clock-check.js';
import { ComplianceExecutor } from './compliance-executor.js';
import { actionOf, ComplianceService } from './compliance-service.js';
import { hindrance } from './hindrances.js';
import { WorkLedger, type FailedTries } from './work-ledger.js';

/** What compliance needs of its process. */
export interface ComplianceHost {
  readonly pool: Pool;
  readonly log: EventLog;
  readonly logId: LogId;
  readonly reads: ReadModels;
  readonly waiter: PositionWaiter;
  readonly logger: Logger;
  readonly metrics: NodeMetrics;
  readonly privacy: { forgotten(pseudonym: string): Promise<boolean> };
  execute(request: CommandRequest): Promise<CommandOutcome>;
}

/** An action as people see it. */
export type ActionView = Omit<ComplianceActionRow, 'action' | 'result'> & {
  readonly action: Action | null;
  readonly result: unknown;
  /** Why an approved one has not begun, or a pruning has stopped; null: nothing stands in its way. */
  readonly blocked: string | null;
  readonly failed: FailedTries | null;
};

/** Compliance in one process: commands, reads, who broke the glass, and what carries approved actions out. */
export class Compliance {
  readonly reads: ComplianceReads;
  readonly service: ComplianceService;
  readonly breakGlass: BreakGlass;
  readonly clocks: ClockCheck;
  private readonly works = new Map<ActionKind, ActionWork>();
  private readonly ledger: WorkLedger;
  private readonly executor: ComplianceExecutor;

  constructor(private readonly host: ComplianceHost) {
    const { pool, logId, logger, metrics, waiter } = host;
    const alarm = (message: string): void => {
      metrics.alarm();
      logger.warn({ alarm: message }, message);
    };
    this.clocks = new ClockCheck(pool, systemClock, alarm);
    this.reads = new ComplianceReads(host.reads.live);
    const refusal = async (asked: Asked): Promise<string | FabulaError | null> => {
      // Released with its approval: nothing has to be carried out.
      if (asked.kind === 'release-hold') return null;
      const work = this.works.get(asked.kind);
      return work === undefined ? `nothing here carries out ${asked.kind}` : ((await work.refuses?.(asked)) ?? null);
    };
    const execute = (request: CommandRequest): Promise<CommandOutcome> => host.execute(request);
    const forgotten = (actor: string): Promise<boolean> => host.privacy.forgotten(actor);
    this.service = new ComplianceService({ logId, waiter, reads: this.reads, now: systemClock.now, alarm, execute, refusal, forgotten });
    this.breakGlass = this.service.breakGlass;
    this.ledger = new WorkLedger(pool);
    this.executor = new ComplianceExecutor({
      pool,
      reads: this.reads,
      service: this.service,
      works: this.works,
      hindrance: (action, state) => hindrance(this.hindranceHost, action, state),
      clock: systemClock,
      clockProblem: () => this.clocks.look(),
      timers: systemTimers,
      logger,
      alarm,
    });
    this.observe(metrics);
  }

  /** Gives the work behind actions of one kind; before `start`. */
  register<K extends ActionKind>(work: ActionWork<K>): void {
    if (this.works.has(work.kind)) throw new Error(`there is work for ${work.kind} already`);
    this.works.set(work.kind, work as unknown as ActionWork);
  }

  /**
   * Before a command is sent on or decided. Where one of compliance is asked for, its end is reckoned; where it is decided, what is over:
   * neither with a wrong clock.
   * @throws EngineFailure CLOCK_WRONG
   */
  async admits({ stream }: CommandRequest): Promise<void> {
    if (stream === COMPLIANCE_STREAM) await this.clocks.assert();
  }

  /** From here on this process carries actions out, when no other does. */
  start(): void {
    this.executor.start();
  }
  stop(): Promise<void> {
    return this.executor.stop();
  }

  /** Rows with what stands in their way and what failed, as of now. */
  async views(rows: readonly ComplianceActionRow[]): Promise<readonly ActionView[]> {
    const open = rows.filter(({ stage }) => stage === 'approved' || stage === 'begun');
    const failed = await this.ledger.of(open.map(({ id }) => id));
    const state = open.length === 0 ? null : await this.reads.state();
    return Promise.all(
      rows.map(async (row) => {
        const action = actionOf(row);
        // One that prunes stops between its steps for a hold that came meanwhile.
        const waits = row.stage === 'approved' || (row.stage === 'begun' && row.kind === 'prune');
        const asked = waits && action !== null && state !== null;
        const blocked = asked ? await hindrance(this.hindranceHost, action, state) : null;
        const result: unknown = row.result === null ? null : JSON.parse(row.result);
        return { ...row, action, result, blocked, failed: failed.get(row.id) ?? null };
      }),
    );
  }

  private get hindranceHost(): Parameters<typeof hindrance>[0] {
    return { reads: this.reads, works: this.works, now: systemClock.now, caughtUp: () => this.caughtUp() };
  }

  /** Whether the read models hold all that the log holds now; waits a moment for it. */
  private async caughtUp(): Promise<boolean> {
    const { log, logId, waiter } = this.host;
    const partitions = Array.from({ length: log.partitions }, (_, partition) => partition);
    const waited = await Promise.all(
      partitions.map(async (partition) => {
        const end = await log.end(partition);
        return end === 0 ? 'visible' : waiter.waitFor({ logId, partition, offset: end - 1 });
      }),
    );
    return waited.every((one) => one === 'visible');
  }

  private observe(metrics: NodeMetrics): void {
    const read = async (): Promise<{ readonly actions: ReadonlyMap<string, number>; readonly holds: number; readonly glasses: number }> => {
      const state = await this.reads.state();
      const now = systemClock.now();
      const actions = new Map<string, number>([
        ['proposed', 0],
        ['approved', 0],
        ['begun', 0],
      ]);
      for (const { stage } of state?.actions ?? []) actions.set(stage, (actions.get(stage) ?? 0) + 1);
      const glasses = (state?.glasses ?? []).filter(({ until }) => until > now).length;
      return { actions, holds: state?.holds.length ?? 0, glasses };
    };
    // Left out while the database does not answer.
    const sampled = async (
      of: (found: Awaited<ReturnType<typeof read>>) => readonly { labels: Record<string, string>; value: number }[],
    ) => {
      try {
        return of(await read());
      } catch {
        return [];
      }
    };
    metrics.gauge('fabula_compliance_actions', () =>
      sampled(({ actions }) => [...actions].map(([stage, value]) => ({ labels: { stage }, value }))),
    );
    metrics.gauge('fabula_compliance_holds', () => sampled(({ holds }) => [{ labels: {}, value: holds }]));
    metrics.gauge('fabula_break_glass_open', () => sampled(({ glasses }) => [{ labels: {}, value: glasses }]));
  }
}
