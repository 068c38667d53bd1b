import type { EventLog, StoredRecord } from '#lib/log';

/** Everything a log holds, per partition. */
export async function readAll(log: EventLog): Promise<readonly (readonly StoredRecord[])[]> {
  const partitions: StoredRecord[][] = [];
  for (let partition = 0; partition < log.partitions; partition++) {
    const records: StoredRecord[] = [];
    for await (const batch of log.read(partition, 0, { upTo: await log.end(partition) })) records.push(...batch.records);
    partitions.push(records);
  }
  return partitions;
}
