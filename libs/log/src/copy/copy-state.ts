import { decodeRecord, partitionOf, type DecodedRecord, type RecordedEvent } from '#lib/decision';
import type { EventLog, LogId } from '../event-log.js';
import { logStream, type LogCopied, type LogEvent } from './log-stream.js';

export interface Seal extends Pick<DecodedRecord, 'digest'> {
  readonly event: LogCopied;
}

/** The first record of a copied log; undefined where there is none, or another one, or where it was pruned: only what was served from is. */
export async function readSeal(log: EventLog): Promise<Seal | undefined> {
  const own = logStream(await log.id());
  const partition = partitionOf(own, log.partitions);
  if ((await log.end(partition)) === 0 || (await log.begin(partition)) > 0) return undefined;
  for await (const { records } of log.read(partition, 0, { upTo: 1 })) {
    const decoded = decodeRecord(records[0]?.value ?? new Uint8Array());
    if (decoded.kind !== 'record' || decoded.record.stream !== own) return undefined;
    const [event] = eventsOf(decoded);
    return event?.type === 'LogCopied' ? { digest: decoded.digest, event } : undefined;
  }
  return undefined;
}

/** A log that was begun as a copy and is not whole: whoever served from it would go on with half a history. */
export class CopyUnfinished extends Error {
  override readonly name = 'CopyUnfinished';
  constructor(
    readonly log: LogId,
    readonly from: LogId,
  ) {
    super(`The log ${log} was begun as a copy of log ${from} and is not whole. Run the same \`fabula log copy\` again: it goes on.`);
  }
}

/**
 * Reads one partition of a copied log; of any other log a single record.
 * @throws CopyUnfinished
 */
export async function refuseUnfinishedCopy(log: EventLog): Promise<void> {
  const seal = await readSeal(log);
  if (seal === undefined) return;
  const id = await log.id();
  const own = logStream(id);
  const partition = partitionOf(own, log.partitions);
  for await (const { records } of log.read(partition, 0, { upTo: await log.end(partition) })) {
    for (const { key, value } of records) {
      if (key !== own) continue;
      const decoded = decodeRecord(value);
      // The copy writes the second record of the stream only when all is there, and nobody else writes to it.
      if (decoded.kind !== 'record' || decoded.record.stream !== own || decoded.record.previous !== seal.digest) continue;
      if (eventsOf(decoded).some(({ type }) => type === 'LogCopyFinished')) return;
    }
  }
  throw new CopyUnfinished(id, seal.event.from);
}

const eventsOf = ({ record }: DecodedRecord): readonly LogEvent[] =>
  record.events as readonly RecordedEvent[] as unknown as readonly LogEvent[];
