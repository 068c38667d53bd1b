import type { LogId, StoredRecord } from '#lib/log';
import { decodeBatch, foldBatch } from './fold-batch.js';
import { MemoryProjection } from './memory-projection.js';
import { STREAM_KINDS, type StreamKinds } from './stream-kinds.js';

/** The whole read model as a fold from offset 0: the oracle that projections and rebuilds are compared with. */
export async function foldLog(
  logId: LogId,
  partitions: readonly (readonly StoredRecord[])[],
  kinds: StreamKinds = STREAM_KINDS,
): Promise<MemoryProjection> {
  const store = new MemoryProjection();
  await store.open(logId, partitions.length);
  for (const [partition, records] of partitions.entries()) {
    const folded = foldBatch(decodeBatch(partition, partitions.length, 0, records), { logId, epoch: 0, kinds, stream: () => undefined });
    await store.commit(folded.changes);
  }
  return store;
}
