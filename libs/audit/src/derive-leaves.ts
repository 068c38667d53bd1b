import { admit, EMPTY_HEAD, type StreamHead, type StreamId, type Verdict } from '#lib/decision';
import type { EventLog, Releases } from '#lib/log';
import type { AuditStore } from './audit-store.js';
import { leafBytes } from './leaf.js';
import { partitionLog } from './log-name.js';
import type { TreeBase } from './retention/tree-base.js';
import { leafHash, type Hash } from './tlog/index.js';
import { admits, understood } from './understood.js';

export interface DeriveLeaves {
  readonly store: AuditStore;
  readonly log: EventLog;
  readonly releases: Releases;
  readonly logId: string;
  readonly partition: number;
  readonly upTo: number;
  /** Where the tree begins: leaves are derived from there, on the heads that it gives, when the log has the records before no longer. */
  readonly from: TreeBase | undefined;
}

/** Leaves as the log alone gives them: heads of all streams of the partition are kept in memory. */
export async function* deriveLeaves({ store, log, releases, logId, partition, upTo, from }: DeriveLeaves): AsyncGenerator<Buffer> {
  const heads = new Map<string, StreamHead>();
  let previousLeaf: Hash | null = from?.previousLeaf ?? null;
  let index = from?.size ?? 0n;
  const end = Math.min(upTo, await log.end(partition));
  for await (const { records } of log.read(partition, from?.nextOffset ?? 0, { upTo: end })) {
    const known = await understood(records, partition, releases);
    if (from !== undefined) {
      const met = known.flatMap(({ decoded }) =>
        decoded !== undefined && admits(decoded, partition, log.partitions) ? [decoded.record.stream as StreamId] : [],
      );
      const cold = [...new Set(met)].filter((stream) => !heads.has(stream));
      const bases = await store.transact(partitionLog(partition), (transaction) => transaction.streamBases(cold));
      for (const [stream, { head }] of bases) heads.set(stream, head);
    }
    for (const { record, decoded } of known) {
      if (decoded === undefined) return;
      let verdict: Verdict = 'invalid';
      if (admits(decoded, partition, log.partitions)) {
        const { stream } = decoded.record;
        const admission = admit(heads.get(stream) ?? EMPTY_HEAD, decoded.record, decoded.digest, record.offset);
        heads.set(stream, admission.head);
        verdict = admission.verdict;
      }
      const bytes = leafBytes({ logId, partition, index, record, decoded, verdict, previousLeaf });
      previousLeaf = leafHash(bytes);
      index++;
      yield bytes;
    }
  }
}
