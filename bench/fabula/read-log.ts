import { admit, decodeRecord, EMPTY_HEAD, type StreamHead } from '#lib/decision';
import type { EventLog, StoredRecord } from '#lib/log';
import { verify } from '../row.js';

/** Everything that the log holds now, by partition. */
export async function readLog(log: EventLog): Promise<StoredRecord[][]> {
  const partitions: StoredRecord[][] = [];
  for (let partition = 0; partition < log.partitions; partition++) {
    const records: StoredRecord[] = [];
    for await (const batch of log.read(partition, 0, { upTo: await log.end(partition) })) records.push(...batch.records);
    partitions.push(records);
  }
  return partitions;
}

/** Gives every record its verdict, as a verifier would: each acknowledged command is in the log, accepted, on a dense and chained stream. */
export async function verifyLog(log: EventLog, acknowledged: number): Promise<string> {
  const heads = new Map<string, StreamHead>();
  let accepted = 0;
  for (let partition = 0; partition < log.partitions; partition++) {
    for await (const { records } of log.read(partition, 0, { upTo: await log.end(partition) })) {
      for (const { value, offset } of records) {
        const decoded = decodeRecord(value);
        if (decoded.kind !== 'record') throw new Error(`offset ${offset} is ${decoded.kind}`);
        const { stream } = decoded.record;
        const admission = admit(heads.get(stream) ?? EMPTY_HEAD, decoded.record, decoded.digest, offset);
        if (admission.verdict !== 'accepted') continue;
        heads.set(stream, admission.head);
        accepted++;
      }
    }
  }
  return verify(
    `the log holds ${acknowledged} accepted records, as many as were acknowledged, each chained to the one before`,
    accepted === acknowledged,
    `${accepted} accepted`,
  );
}
