import { newestInRoot, partitionLog, type LogBaseCheck, type AuditStore } from '#lib/audit';
import { COMPLIANCE_STREAM, type ActiveHold, type ComplianceCommand, type PruneAction } from '#lib/compliance';
import { decodeRecord, type RecordedEvent } from '#lib/decision';
import type { LogId } from '#lib/log';
import { pause, systemClock, systemTimers } from '#lib/platform';
import {
  aloneWithReadModels,
  baseDigest,
  currentBases,
  dropFormer,
  LogBaseDamaged,
  switchBase,
  takeBase,
  thin,
  type BaseTaken,
  type ComplianceReads,
  type LogBase,
} from '#lib/projections';
import type { Pool } from 'pg';
import type { Proceed } from '../compliance/action-work.js';
import { holdsOnRecords, logObstacle, missingRight, type LogObstacleHost } from './log-obstacles.js';
import type { RetentionRule } from './retention-policy.js';

export interface LogPruningHost extends LogObstacleHost {
  /** Lends connections whose statements may take long. */
  patient<T>(work: (pool: Pool) => Promise<T>): Promise<T>;
  /** Whether a signed note of the root tree covers the record at that offset. */
  signed(partition: number, offset: number): Promise<boolean>;
  readonly reads: Pick<ComplianceReads, 'basesTaken'>;
  rules(): Promise<readonly RetentionRule[]>;
  /** Whether two people approved that these records go. */
  approvedRecords(action: string, place: PruneAction['before'][number]): Promise<boolean>;
  /** A command of the system on the compliance stream. */
  record(command: Extract<ComplianceCommand, { type: 'logBase' }>): Promise<void>;
  /** Runs alone on the audit store: no verification reads what goes. */
  alone<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>;
}

/** The steps of pruning one partition, in order. Each is done again if it is not known to have been done. */
export const PRUNE_STEPS = ['check', 'fold', 'record', 'sign', 'switch', 'forget', 'thin', 'drop', 'done'] as const;
export type PruneStep = (typeof PRUNE_STEPS)[number];

const SIGNED_WITHIN_MS = 60_000;
const LOOK_EVERY_MS = 200;

/** A partition of the log as the report shows it. */
export interface LogReport {
  readonly partition: number;
  /** First record that is there, and where the next one goes. */
  readonly begin: number;
  readonly end: number;
  /** What every fold of it begins with; null: with its first record. */
  readonly base: { readonly offset: number; readonly digest: string | null; readonly action: string } | null;
}

/**
 * Forgets records of the log whose time is over, once what they led to is kept, recorded and signed. The order is what makes it safe: nothing is
 * forgotten before a base that holds all of it is what every fold begins with. Killed anywhere, it goes on where it ended. The point of no return
 * of a partition is `switch`: a hold that comes before it stops everything, one that comes later is too late for that partition.
 */
export class LogPruning {
  /** Told of every step before it is done; for tests. */
  at: (step: PruneStep) => Promise<void> = () => Promise.resolve();

  constructor(private readonly host: LogPruningHost) {}

  async blocked({ retention, before }: PruneAction, narrower: readonly ActiveHold[]): Promise<string | null> {
    const { host } = this;
    const [hold] = await holdsOnRecords(host, before, narrower);
    if (hold !== undefined) return `hold ${hold.id} on ${hold.scope.kind} ${hold.scope.id} touches records that would go`;
    const bases = await currentBases(host.pool, host.logId);
    for (const place of before) {
      const begins = bases.find(({ partition }) => partition === place.partition)?.offset ?? 0;
      if (begins >= place.offset) continue;
      const obstacle = await logObstacle(host, place, await host.rules(), retention, systemClock.now());
      if (obstacle !== null) return obstacle;
    }
    return null;
  }

  async prune(
    action: PruneAction,
    signal: AbortSignal,
    proceed: Proceed,
  ): Promise<readonly { readonly partition: number; readonly offset: number }[]> {
    return this.host.patient(async (pool) => {
      for (const place of action.before) await this.pruneOne(pool, action, place, signal, proceed);
      return action.before;
    });
  }

  private async pruneOne(
    pool: Pool,
    { id, retention }: PruneAction,
    place: PruneAction['before'][number],
    signal: AbortSignal,
    proceed: Proceed,
  ): Promise<void> {
    const { host } = this;
    const { log, logId } = host;
    const { partition, offset } = place;
    signal.throwIfAborted();
    const known = (await currentBases(pool, logId)).find((base) => base.partition === partition);
    let recorded: { readonly base: LogBase; readonly digest: string } | undefined;
    if (known === undefined || known.offset < offset) {
      await this.at('check');
      await proceed();
      const right = await missingRight(pool);
      if (right !== null) throw new Error(right);
      const obstacle = await logObstacle(host, place, await host.rules(), retention, systemClock.now());
      if (obstacle !== null) throw new Error(obstacle);
      await this.at('fold');
      const base = await takeBase({ pool, log, logId, timers: systemTimers, partition, offset, action: id, signal });
      recorded = { base, digest: await this.recorded(id, base, signal) };
    }
    await host.alone(
      () =>
        aloneWithReadModels(pool, async () => {
          if (recorded !== undefined) {
            await this.at('switch');
            // For the last time: folding and signing may have taken long.
            await proceed();
            await switchBase(pool, recorded.base, recorded.digest);
          }
          await this.forgotten(pool, place, signal);
        }),
      signal,
    );
  }

  /** Everything after the switch: the base is what folds begin with. */
  private async forgotten(pool: Pool, { partition, offset }: PruneAction['before'][number], signal: AbortSignal): Promise<void> {
    const { host } = this;
    const { log, logId, live } = host;
    await this.at('forget');
    // Asked once more, of what is committed: nothing goes that no base holds.
    const base = (await currentBases(pool, logId)).find((one) => one.partition === partition);
    if (base === undefined || base.offset < offset) throw new Error(`no base of partition ${partition} reaches offset ${offset}`);
    await log.forget(partition, offset);
    await this.at('thin');
    await thin(pool, await live.refresh(), logId, signal);
    await this.at('drop');
    await dropFormer(pool, logId);
    await this.at('done');
  }

  /** Records the digest, if it is not recorded, and waits until a note of the root tree covers that record. Answers what was recorded. */
  private async recorded(id: string, { partition, offset, digest }: LogBase, signal: AbortSignal): Promise<string> {
    const { host } = this;
    if (digest === null) throw new Error(`the base of partition ${partition} has no digest`);
    await this.at('record');
    if ((await this.taken(id, partition, offset, digest)) === undefined)
      await host.record({ type: 'logBase', id, partition, offset, digest });
    await this.at('sign');
    for (const end = systemClock.now() + SIGNED_WITHIN_MS; ; await pause(systemTimers, LOOK_EVERY_MS, signal)) {
      signal.throwIfAborted();
      const taken = await this.taken(id, partition, offset, digest);
      if (taken !== undefined && (await this.host.signed(taken.recordPartition, taken.recordOffset))) return taken.digest;
      if (systemClock.now() > end)
        throw new Error(`the record of the base of partition ${partition} is not signed yet: is a process with the role signer there?`);
    }
  }

  private async taken(id: string, partition: number, offset: number, digest: string) {
    const found = await this.host.reads.basesTaken();
    return found.findLast((one) => one.action === id && one.partition === partition && one.offset === offset && one.digest === digest);
  }

  /** What lies where partitions begin, compared with what was recorded: with the record itself, while the log has it. */
  async check(): Promise<readonly LogBaseCheck[]> {
    const { logId } = this.host;
    if ((await currentBases(this.host.pool, logId)).length === 0) return [];
    return this.host.patient(async (pool) => {
      const checks: LogBaseCheck[] = [];
      for (const base of await currentBases(pool, logId)) {
        const { partition, offset } = base;
        checks.push({ partition, offset, problem: await this.problemOf(pool, base) });
      }
      return checks;
    });
  }

  private async problemOf(pool: Pool, base: LogBase): Promise<string | null> {
    const { partition, offset, action } = base;
    const taken = (await this.host.reads.basesTaken()).findLast(
      (one) => one.partition === partition && one.offset === offset && one.action === action,
    );
    if (taken === undefined) return 'was never recorded';
    if (!(await this.host.approvedRecords(action, { partition, offset })))
      return `was taken for action ${action}, in which two people never approved it`;
    const said = await this.saidBy(taken);
    if (said !== taken.digest) return `is another one than the record at ${taken.recordOffset} of partition ${taken.recordPartition} says`;
    try {
      const now = await baseDigest(pool, base);
      return now === said ? null : `has the digest ${now}, but ${said} was recorded: its rows were changed`;
    } catch (error) {
      if (!(error instanceof LogBaseDamaged)) throw error;
      return error.message;
    }
  }

  /** The digest in the record itself; when that was pruned, as the read models tell it, which begin with a base that was recorded later. */
  private async saidBy({ action, partition, digest, recordPartition, recordOffset }: BaseTaken): Promise<string | undefined> {
    const { log } = this.host;
    if (recordOffset < (await log.begin(recordPartition))) return digest;
    for await (const { records } of log.read(recordPartition, recordOffset, { upTo: recordOffset + 1, maxRecords: 1 })) {
      const decoded = decodeRecord(records[0]?.value ?? new Uint8Array());
      if (decoded.kind !== 'record' || decoded.record.stream !== COMPLIANCE_STREAM) return undefined;
      const events = decoded.record.events as readonly RecordedEvent[];
      const found = events.find((event) => event.type === 'LogBaseTaken' && event['id'] === action && event['partition'] === partition);
      return typeof found?.['digest'] === 'string' ? found['digest'] : undefined;
    }
    return undefined;
  }

  /** Has forgotten again what a log holds although its base was switched to: brokers that failed may not have noted it. */
  async finish(signal: AbortSignal): Promise<void> {
    const { log, logId } = this.host;
    for (const { partition, offset } of await currentBases(this.host.pool, logId)) {
      if ((await log.begin(partition)) >= offset) continue;
      const wrong = (await this.check()).find((one) => one.partition === partition)?.problem ?? null;
      if (wrong !== null) throw new Error(`partition ${partition} is not pruned again up to offset ${offset}: its base ${wrong}`);
      await log.forget(partition, offset);
      signal.throwIfAborted();
    }
  }

  async report(): Promise<readonly LogReport[]> {
    const { log, logId, pool } = this.host;
    const bases = await currentBases(pool, logId);
    return Promise.all(
      Array.from({ length: log.partitions }, async (_, partition) => {
        const base = bases.find((one) => one.partition === partition);
        return {
          partition,
          begin: await log.begin(partition),
          end: await log.end(partition),
          base: base === undefined ? null : { offset: base.offset, digest: base.digest, action: base.action },
        };
      }),
    );
  }
}

/** Whether a signed note of the root tree covers the record at that offset. */
export async function signedRecord(
  { pool, store, logId }: { readonly pool: Pool; readonly store: AuditStore; readonly logId: LogId },
  partition: number,
  offset: number,
): Promise<boolean> {
  const root = await store.latestNote('root', logId);
  const note = root === undefined ? undefined : await newestInRoot(store, logId, partitionLog(partition), root.size);
  const { rows } = await pool.query<{ leaf_index: string }>(
    'select leaf_index from fabula.audit_leaves where log = $1 and log_offset = $2',
    [partition, offset],
  );
  return note !== undefined && rows[0] !== undefined && BigInt(rows[0].leaf_index) < note.size;
}
