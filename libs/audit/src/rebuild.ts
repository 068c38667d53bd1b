import type { EventLog } from '#lib/log';
import type { Timers } from '#lib/platform';
import type { AuditHead, AuditStore } from './audit-store.js';
import { Auditor } from './auditor.js';
import { partitionLog } from './log-name.js';

/**
 * What `fabula audit rebuild` does: forgets the partitions' trees and builds them again from the log. Signed notes stay; a rebuilt tree that
 * disagrees with one is refused. A store of another log also forgets its root tree, which the notary then begins anew for this log.
 * Stop the auditor and the notary before.
 * @throws AuditStopped
 */
export async function rebuildTrees(options: {
  readonly store: AuditStore;
  readonly log: EventLog;
  readonly timers: Timers;
  readonly progress?: (head: AuditHead) => void;
}): Promise<readonly AuditHead[]> {
  const { store, log, timers } = options;
  const logId = await log.id();
  for (const head of await store.heads()) {
    if (head.log !== 'root' || head.logId !== logId) await store.forget(head.log);
  }
  const auditor = new Auditor({ log, store, timers });
  const heads: AuditHead[] = [];
  for (let partition = 0; partition < log.partitions; partition++) {
    await store.open(partitionLog(partition), logId);
    const head = await auditor.catchUp(partition);
    options.progress?.(head);
    heads.push(head);
  }
  return heads;
}
