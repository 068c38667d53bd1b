import type { Pool } from 'pg';
import { partitionLog, pruneLeaves, type AuditStore, type LeafPruned, type PrunedClass, type StoredLeaf } from '#lib/audit';
import { activeHolds, RETENTION_CLASSES, retentionOf as classOf, type ActiveHold, type Asked, type PruneAction } from '#lib/compliance';
import type { EventLog, LogId } from '#lib/log';
import { errorText, systemClock, type Logger } from '#lib/platform';
import { withOwnPool, type ComplianceReads, type ReadModels } from '#lib/projections';
import type { AuditService } from '../audit/audit-service.js';
import type { ActionWork, Proceed } from '../compliance/action-work.js';
import { actionOf } from '../compliance/compliance-service.js';
import type { Compliance } from '../compliance/compliance.js';
import { DAY_MS, expiredLeaves, holdsOnLeaves, oldestLeaf, type ExpiredLeaves } from './leaf-classes.js';
import { LogPruning, signedRecord, type LogPruningHost } from './log-pruning.js';
import { rejectedRule, retentionRules, type RetentionRule } from './retention-policy.js';

/** Partitions that one action may name: what came of each stands in its result. */
const MAX_PARTITIONS = 128;

export interface RetentionHost extends Omit<LogPruningHost, 'rules' | 'approvedRecords'> {
  readonly alarm: (message: string) => void;
  readonly store: AuditStore;
  readonly reads: Pick<ComplianceReads, 'actions' | 'action' | 'state' | 'basesTaken'>;
}

/** One class as the report shows it. */
export interface RetentionReport extends Omit<RetentionRule, 'events'> {
  readonly events: readonly { readonly type: string; readonly purpose: string }[];
  readonly oldest: { readonly partition: number; readonly index: string; readonly time: number } | null;
  /** What may be pruned now; an action names its partitions and offsets. */
  readonly expired: readonly ExpiredLeaves[];
  /** Holds that leaves to be pruned stand under. */
  readonly heldBy: readonly ActiveHold[];
  readonly pruned: readonly { readonly partition: number; readonly below: string; readonly leaves: number; readonly action: string }[];
}

/** How long things are kept, and what is pruned when that is over. */
export class Retention {
  /** Of the log's records themselves. */
  readonly log: LogPruning;

  constructor(private readonly host: RetentionHost) {
    this.log = new LogPruning({
      ...host,
      rules: () => this.rules(),
      approvedRecords: (action, place) => this.approvedRecords(action, place),
    });
  }

  /** Looks once whether something that was pruned is there again. */
  start(): void {
    const abort = new AbortController();
    const done = this.log.finish(abort.signal).catch((error: unknown) => {
      if (!abort.signal.aborted) this.host.alarm(`what was pruned of the log is there again: ${errorText(error)}`);
    });
    this.finishing = { abort, done };
  }
  async stop(): Promise<void> {
    this.finishing?.abort.abort();
    await this.finishing?.done;
  }
  private finishing: { readonly abort: AbortController; readonly done: Promise<void> } | undefined;

  rules(): Promise<readonly RetentionRule[]> {
    return retentionRules(this.host.reads);
  }

  /** Whether two people approved that such leaves of that tree are pruned, and, once what came of it is recorded, just so many. */
  async approved({ action, retention, log, below, leaves }: PrunedClass): Promise<boolean> {
    const { value } = await this.host.reads.action(action);
    const asked = value === undefined ? null : actionOf(value);
    if (value === undefined || asked?.kind !== 'prune' || asked.retention !== retention) return false;
    if (asked.before.every(({ partition }) => partitionLog(partition) !== log)) return false;
    if (value.stage !== 'carried-out') return value.stage === 'begun';
    const { pruned = [] } = JSON.parse(value.result ?? '{}') as {
      readonly pruned?: readonly { log: string; below: string; leaves: number }[];
    };
    return pruned.some((one) => one.log === log && one.below === String(below) && one.leaves === leaves);
  }

  private async approvedRecords(id: string, place: PruneAction['before'][number]): Promise<boolean> {
    const { value } = await this.host.reads.action(id);
    const asked = value === undefined ? null : actionOf(value);
    if (asked?.kind !== 'prune' || asked.what !== 'log' || (value?.stage !== 'begun' && value?.stage !== 'carried-out')) return false;
    return asked.before.some(({ partition, offset }) => partition === place.partition && offset === place.offset);
  }

  async report(): Promise<readonly RetentionReport[]> {
    const { host } = this;
    const now = systemClock.now();
    const holds = activeHolds(await host.reads.state(), now);
    const pruned = await host.store.pruned(host.logId);
    const report: RetentionReport[] = [];
    for (const { events, ...rule } of await this.rules()) {
      const expired: ExpiredLeaves[] = [];
      let oldest: RetentionReport['oldest'] = null;
      for (let partition = 0; partition < host.log.partitions; partition++) {
        const found = await expiredLeaves(host, partition, rule, now);
        if (found !== null) expired.push(found);
        const first = await oldestLeaf(host.pool, partition, rule);
        if (first !== null && (oldest === null || first.time < oldest.time)) oldest = first;
      }
      report.push({
        ...rule,
        events: Object.entries(events).map(([type, purpose]) => ({ type, purpose })),
        oldest,
        expired,
        heldBy: await holdsOnLeaves(host.live, rule, expired, holds),
        pruned: pruned
          .filter(({ retention }) => retention === rule.name)
          .map(({ log, below, leaves, action }) => ({ partition: Number(log.slice(1)), below: String(below), leaves, action })),
      });
    }
    return report;
  }

  /** Nothing outside has to be done: from its record on it counts. */
  readonly setWork: ActionWork<'set-retention'> = {
    kind: 'set-retention',
    refuses: (asked) => Promise.resolve(rejectedRule(asked)),
    carryOut: ({ retention, keepDays }) => Promise.resolve({ retention, keepDays }),
  };

  readonly pruneWork: ActionWork<'prune'> = {
    kind: 'prune',
    refuses: (asked) => this.refusesPrune(asked),
    blockedBy: (action, narrower) => this.blocked(action, narrower),
    carryOut: async (action, signal, proceed) => {
      const { retention, what } = action;
      // Proposed by an earlier version, or past the refusal: it must not look as if it had been done.
      const refused = await this.refusesPrune(action);
      if (refused !== null) throw new Error(refused);
      if (what === 'log') return { retention, what, pruned: await this.log.prune(action, signal, proceed) };
      const pruned = await this.host.alone(() => this.prune(action, signal, proceed), signal);
      return {
        ...{ retention, what },
        pruned: pruned.map(({ log, below, leaves }) => ({ log, below: String(below), leaves })),
      };
    },
  };

  private async refusesPrune({ retention, what, before }: Omit<Extract<Asked, { kind: 'prune' }>, 'kind'>): Promise<string | null> {
    const rule = (await this.rules()).find(({ name }) => name === retention);
    if (rule === undefined)
      return `there is no retention class ${retention}; there are ${RETENTION_CLASSES.map(({ name }) => name).join(', ')}`;
    if (rule.keepDays === null) return `${retention} is kept without an end: nothing of it expires`;
    const partitions = new Set(before.map(({ partition }) => partition));
    if (before.length === 0 || before.length > MAX_PARTITIONS) return `between 1 and ${MAX_PARTITIONS} partitions are named`;
    if (partitions.size !== before.length) return 'each partition is named once';
    if (what === 'log' && before.some(({ offset }) => offset < 1)) return 'records before offset 0 there are none';
    const unknown = before.find(({ partition }) => partition >= this.host.log.partitions);
    return unknown === undefined ? null : `there is no partition ${unknown.partition}`;
  }

  private async blocked(action: PruneAction, narrower: readonly ActiveHold[]): Promise<string | null> {
    if (action.what === 'log') return this.log.blocked(action, narrower);
    const { retention, before } = action;
    const rule = RETENTION_CLASSES.find(({ name }) => name === retention);
    if (rule === undefined) return `there is no retention class ${retention}`;
    const [hold] = await holdsOnLeaves(this.host.live, rule, before, narrower);
    if (hold !== undefined) return `hold ${hold.id} on ${hold.scope.kind} ${hold.scope.id} touches leaves that would go`;
    const behind = await this.feedBehind(before);
    return behind === undefined
      ? null
      : `the feed ${behind.topic} has published partition ${behind.partition} only up to offset ${behind.offset}`;
  }

  /** Feeds take their verdicts from leaves: what they have not published must stay. */
  private async feedBehind(
    before: PruneAction['before'],
  ): Promise<{ readonly topic: string; readonly partition: number; readonly offset: string } | undefined> {
    const { rows } = await this.host.pool.query<{ topic: string; partition: number; offset: string }>(
      `select f.topic, f.partition, f.next_offset as "offset" from fabula.feed_positions f
       join unnest($2::int[], $3::bigint[]) b(partition, before) on f.partition = b.partition
       where f.log_id = $1 and f.next_offset < b.before order by f.topic, f.partition limit 1`,
      [this.host.logId, before.map(({ partition }) => partition), before.map(({ offset }) => offset)],
    );
    return rows[0];
  }

  private async prune({ id, retention, before }: PruneAction, signal: AbortSignal, proceed: Proceed): Promise<readonly LeafPruned[]> {
    const { store, logId } = this.host;
    const rule = (await this.rules()).find(({ name }) => name === retention);
    const days = rule?.keepDays ?? null;
    if (days === null) throw new Error(`${retention} is kept without an end: nothing of it expires`);
    const cutoff = systemClock.now() - days * DAY_MS;
    const ofClass = ({ stream, accepted }: StoredLeaf): boolean => classOf(stream, accepted)?.name === retention;
    const pruned: LeafPruned[] = [];
    for (const { partition, offset } of before)
      pruned.push(
        await pruneLeaves({
          ...{ store, logId, log: partitionLog(partition), retention, ofClass, action: id, signal, beforeOffset: offset },
          expired: ({ time }) => time <= cutoff,
          proceed,
        }),
      );
    return pruned;
  }
}

/** What a node does about retention: its works are registered, and verifications ask it who approved what was pruned. */
export function retentionOf(node: {
  readonly pool: Pool;
  readonly log: EventLog;
  readonly logId: LogId;
  readonly audit: AuditService;
  readonly reads: ReadModels;
  readonly compliance: Compliance;
  readonly projections: { readonly databaseUrl: string };
  readonly metrics: { alarm(): void };
  readonly logger: Logger;
}): Retention {
  const { pool, log, logId, audit, reads, compliance } = node;
  const patient: RetentionHost['patient'] = (work) => withOwnPool(node.projections.databaseUrl, 'fabula-prune', work);
  const signed: RetentionHost['signed'] = (partition, offset) => signedRecord({ pool, store, logId }, partition, offset);
  const record: RetentionHost['record'] = (command) => compliance.service.bySystem(command, command.id);
  const { store, maintenance } = audit;
  const alone: RetentionHost['alone'] = (work, signal) => maintenance.alone(work, signal);
  const alarm = (message: string): void => {
    node.metrics.alarm();
    node.logger.warn({ alarm: message }, message);
  };
  const retention = new Retention({
    alarm,
    pool,
    log,
    logId,
    store,
    live: reads.live,
    reads: compliance.reads,
    alone,
    record,
    patient,
    signed,
  });
  compliance.register(retention.setWork);
  compliance.register(retention.pruneWork);
  maintenance.asking({ approved: (pruned) => retention.approved(pruned), logBases: () => retention.log.check() });
  return retention;
}
