import { newestInRoot, partitionLog } from '#lib/audit';
import type { ActiveHold, ComplianceCommand, PruneAction } from '#lib/compliance';
import { pause, systemClock, systemTimers } from '#lib/platform';
import {
  aloneWithReadModels,
  currentBases,
  dropFormer,
  switchBase,
  takeBase,
  thin,
  withOwnPool,
  type ComplianceReads,
  type LogBase,
} from '#lib/projections';
import type { Pool } from 'pg';
import { holdsOnRecords, logObstacle, missingRight, type LogObstacleHost } from './log-obstacles.js';
import type { RetentionRule } from './retention-policy.js';

export interface LogPruningHost extends LogObstacleHost {
  /** For statements that may take long. */
  readonly databaseUrl: string;
  readonly reads: Pick<ComplianceReads, 'basesTaken'>;
  rules(): Promise<readonly RetentionRule[]>;
  /** A command of the system on the compliance stream. */
  record(command: Extract<ComplianceCommand, { type: 'logBase' }>): Promise<void>;
  /** Runs alone on the audit store: no verification reads what goes. */
  alone<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>;
  /** Told of every step before it is done; for tests. */
  readonly at?: (step: PruneStepName) => Promise<void>;
}

/** The steps of pruning one partition, in order. Each is done again if it is not known to have been done. */
export const PRUNE_STEPS = ['check', 'fold', 'record', 'sign', 'switch', 'forget', 'thin', 'drop', 'done'] as const;
export type PruneStepName = (typeof PRUNE_STEPS)[number];

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
 * forgotten before a base that holds all of it is what every fold begins with. Killed anywhere, it goes on where it ended.
 */
export class LogPruning {
  constructor(private readonly host: LogPruningHost) {}

  async blocked({ retention, before }: PruneAction, narrower: readonly ActiveHold[]): Promise<string | null> {
    const { host } = this;
    const right = await missingRight(host.pool);
    if (right !== null) return right;
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

  async prune(action: PruneAction, signal: AbortSignal): Promise<readonly { readonly partition: number; readonly offset: number }[]> {
    return withOwnPool(this.host.databaseUrl, 'fabula-prune', async (pool) => {
      for (const place of action.before) await this.pruneOne(pool, action, place, signal);
      return action.before;
    });
  }

  private async pruneOne(
    pool: Pool,
    { id, retention }: PruneAction,
    place: PruneAction['before'][number],
    signal: AbortSignal,
  ): Promise<void> {
    const { host } = this;
    const { log, logId } = host;
    const { partition, offset } = place;
    signal.throwIfAborted();
    const known = (await currentBases(pool, logId)).find((base) => base.partition === partition);
    let recorded: { readonly base: LogBase; readonly digest: string } | undefined;
    if (known === undefined || known.offset < offset) {
      await host.at?.('check');
      const obstacle = await logObstacle(host, place, await host.rules(), retention, systemClock.now());
      if (obstacle !== null) throw new Error(obstacle);
      await host.at?.('fold');
      const base = await takeBase({ pool, log, logId, timers: systemTimers, partition, offset, action: id, signal });
      recorded = { base, digest: await this.recorded(id, base, signal) };
    }
    await host.alone(
      () =>
        aloneWithReadModels(pool, async () => {
          if (recorded !== undefined) {
            await host.at?.('switch');
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
    await host.at?.('forget');
    // Asked once more, of what is committed: nothing goes that no base holds.
    const base = (await currentBases(pool, logId)).find((one) => one.partition === partition);
    if (base === undefined || base.offset < offset) throw new Error(`no base of partition ${partition} reaches offset ${offset}`);
    await log.forget(partition, offset);
    await host.at?.('thin');
    await thin(pool, await live.refresh(), logId, signal);
    await host.at?.('drop');
    await dropFormer(pool, logId);
    await host.at?.('done');
  }

  /** Records the digest, if it is not recorded, and waits until a note of the root tree covers that record. Answers what was recorded. */
  private async recorded(id: string, { partition, offset, digest }: LogBase, signal: AbortSignal): Promise<string> {
    const { host } = this;
    if (digest === null) throw new Error(`the base of partition ${partition} has no digest`);
    await host.at?.('record');
    if ((await this.taken(id, partition, offset, digest)) === undefined)
      await host.record({ type: 'logBase', id, partition, offset, digest });
    await host.at?.('sign');
    for (const end = systemClock.now() + SIGNED_WITHIN_MS; ; await pause(systemTimers, LOOK_EVERY_MS, signal)) {
      signal.throwIfAborted();
      const taken = await this.taken(id, partition, offset, digest);
      if (taken !== undefined && (await this.signed(taken.recordPartition, taken.recordOffset))) return taken.digest;
      if (systemClock.now() > end)
        throw new Error(`the record of the base of partition ${partition} is not signed yet: is a process with the role signer there?`);
    }
  }

  private async taken(id: string, partition: number, offset: number, digest: string) {
    const found = await this.host.reads.basesTaken();
    return found.findLast((one) => one.action === id && one.partition === partition && one.offset === offset && one.digest === digest);
  }

  private async signed(partition: number, offset: number): Promise<boolean> {
    const { pool, store, logId } = this.host;
    const root = await store.latestNote('root', logId);
    const note = root === undefined ? undefined : await newestInRoot(store, logId, partitionLog(partition), root.size);
    const { rows } = await pool.query<{ leaf_index: string }>(
      'select leaf_index from fabula.audit_leaves where log = $1 and log_offset = $2',
      [partition, offset],
    );
    return note !== undefined && rows[0] !== undefined && BigInt(rows[0].leaf_index) < note.size;
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
