import { NO_RELEASES, type EventLog, type Releases } from '#lib/log';
import type { Timers } from '#lib/platform';
import type { AuditHead, AuditStore } from './audit-store.js';
import { Auditor } from './auditor.js';
import { partitionLog, partitionOfLog } from './log-name.js';

/** While one waits for the database the others hash; more would take connections from those who serve. */
const TREES_AT_ONCE = 4;

/** How far the tree of one partition is: offsets of the log. */
export interface TreeRebuild {
  readonly partition: number;
  readonly done: number;
  readonly end: number;
}

/**
 * What `fabula audit rebuild` does: forgets the partitions' trees, a few at a time, and builds each again from the log. Signed notes stay;
 * a rebuilt tree that disagrees with one is refused. A store of another log also forgets its root tree, which the notary then begins anew
 * for this log. Auditors that follow meanwhile, here or in other processes, only help: each batch goes in once, under the lock of the tree's head.
 * @throws AuditStopped; the signal's reason; LogUnavailable and the store's own errors on an outage: whoever follows goes on building
 */
export async function rebuildTrees(options: {
  readonly store: AuditStore;
  readonly log: EventLog;
  readonly timers: Timers;
  /** Which records of unknown envelopes operators released; default: none. */
  readonly releases?: Releases;
  readonly signal?: AbortSignal;
  readonly progress?: (tree: TreeRebuild) => void;
}): Promise<readonly AuditHead[]> {
  const { store, log, timers, releases = NO_RELEASES, signal, progress } = options;
  const logId = await log.id();
  for (const { log: name, logId: built } of await store.heads()) {
    if (name === 'access') {
      // Primary data: who looked stays known, whichever log is looked at.
      if (built !== logId) await store.adopt(name, logId);
      continue;
    }
    const partition = partitionOfLog(name);
    const foreign = partition === undefined ? built !== logId : partition >= log.partitions;
    if (foreign) await store.forget(name);
  }
  const broken = new AbortController();
  const stop = signal === undefined ? broken.signal : AbortSignal.any([signal, broken.signal]);
  const build = async (partition: number): Promise<AuditHead> => {
    const name = partitionLog(partition);
    const end = await log.end(partition);
    progress?.({ partition, done: 0, end });
    await store.forget(name, logId);
    await store.open(name, logId);
    const onStatus = ({ nextOffset }: { readonly nextOffset: number }): void =>
      progress?.({ partition, done: Math.min(nextOffset, end), end });
    const head = await new Auditor({ log, store, timers, releases, partitions: [partition], onStatus }).catchUp(partition, stop);
    stop.throwIfAborted();
    progress?.({ partition, done: end, end });
    return head;
  };
  const heads: AuditHead[] = [];
  let next = 0;
  const builder = async (): Promise<void> => {
    while (next < log.partitions) {
      stop.throwIfAborted();
      const partition = next++;
      heads[partition] = await build(partition);
    }
  };
  const builders = Array.from({ length: Math.min(TREES_AT_ONCE, log.partitions) }, () =>
    builder().catch((error: unknown) => {
      // The first failure is the answer; nothing goes on behind the caller's back.
      broken.abort(error);
      throw error;
    }),
  );
  await Promise.allSettled(builders);
  stop.throwIfAborted();
  return heads;
}
