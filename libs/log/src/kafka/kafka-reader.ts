import { recordBytes } from '../append-limits.js';
import {
  LogDamaged,
  LogUnavailable,
  MAX_BATCH_BYTES,
  MAX_BATCH_RECORDS,
  RecordsForgotten,
  type Batch,
  type Offset,
  type ReadOptions,
  type StoredRecord,
} from '../event-log.js';
import type { FetchedMessage } from './fetch-answer.js';
import type { PartitionFetcher, Ticket } from './partition-fetcher.js';

/** One fetch of one partition. Counting a million records: 4 MiB was slower. */
const FETCH_BYTES = 1024 * 1024;
const LEAST_FETCH_BYTES = 64 * 1024;
/** Guess for the size of a record when few are asked for; the broker gives at least one batch whatever the limit. */
const USUAL_RECORD_BYTES = 4 * 1024;
/** A leader that was replaced can lack the newest records until its clients know: so often an offset beyond its end is asked again. */
const BEYOND_END_ATTEMPTS = 20;
const BEYOND_END_MS = 100;

export interface Ends {
  /** First offset that the brokers still have. */
  first(partition: number): Promise<Offset>;
  end(partition: number): Promise<Offset>;
  refresh(): Promise<void>;
}

/** Pages of one partition, checked to be dense. While the reader works on one fetch, at most one more is under way. */
export async function* readPartition(
  fetcher: PartitionFetcher,
  ends: Ends,
  partition: number,
  from: Offset,
  options: ReadOptions,
): AsyncGenerator<Batch> {
  const { signal, upTo = Infinity } = options;
  const maxRecords = Math.min(options.maxRecords ?? MAX_BATCH_RECORDS, MAX_BATCH_RECORDS);
  let next = from;
  let ticket: Ticket | undefined;
  const cancel = (): void => ticket?.cancel();
  signal?.addEventListener('abort', cancel);
  try {
    let beyond = 0;
    while (next < upTo && !isAborted(signal)) {
      ticket ??= fetcher.fetch(partition, next, fetchBytes(upTo - next));
      const fetched = await ticket.answer;
      ticket = undefined;
      if (fetched === undefined || isAborted(signal)) return;
      if (fetched.kind === 'out-of-range') {
        await outOfRange(ends, partition, next, ++beyond);
        continue;
      }
      beyond = 0;
      const records = recordsFrom(fetched.messages, partition, next, upTo);
      const after = next + records.length;
      if (after < upTo && records.length > 0) ticket = fetcher.fetch(partition, after, fetchBytes(upTo - after));
      for (const page of pages(records, maxRecords)) {
        yield { partition, records: page };
        if (isAborted(signal)) return;
      }
      next = after;
    }
  } finally {
    signal?.removeEventListener('abort', cancel);
    ticket?.cancel();
  }
}

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

function fetchBytes(records: number): number {
  return Math.min(FETCH_BYTES, Math.max(LEAST_FETCH_BYTES, records * USUAL_RECORD_BYTES));
}

/** @throws RecordsForgotten; LogDamaged when the records stay away */
async function outOfRange(ends: Ends, partition: number, offset: Offset, attempt: number): Promise<void> {
  await ends.refresh();
  const first = await ends.first(partition);
  if (offset < first) throw new RecordsForgotten(partition, offset, first);
  if (attempt > BEYOND_END_ATTEMPTS)
    throw new LogDamaged(
      `Partition ${partition} ends at offset ${await ends.end(partition)}, but offset ${offset} was asked for: records are gone.`,
    );
  await new Promise((resolve) => setTimeout(resolve, BEYOND_END_MS));
}

/** A fetch begins with the batch that holds the offset, so it may bring earlier records. @throws LogDamaged at a hole */
function recordsFrom(messages: readonly FetchedMessage[], partition: number, from: Offset, upTo: Offset): StoredRecord[] {
  const records: StoredRecord[] = [];
  let expected = from;
  for (const message of messages) {
    const { offset } = message;
    if (offset < from) continue;
    if (offset >= upTo) break;
    if (offset !== expected) throw new LogDamaged(`Partition ${partition} has no record at offset ${expected}; the next one is ${offset}.`);
    records.push(stored(message));
    expected++;
  }
  if (records.length === 0 && from < upTo)
    throw new LogUnavailable(`A fetch from offset ${from} of partition ${partition} brought only earlier records.`);
  return records;
}

/** Records that others wrote straight to the topic may have no key or value: they are shown as they are, empty. */
function stored({ offset, time, key, value, headers }: FetchedMessage): StoredRecord {
  const record = { offset, key: key === null ? '' : key.toString('utf8'), value: value ?? Buffer.alloc(0), time };
  return headers === undefined ? record : { ...record, headers };
}

function* pages(records: readonly StoredRecord[], maxRecords: number): Generator<StoredRecord[]> {
  let page: StoredRecord[] = [];
  let bytes = 0;
  for (const record of records) {
    const size = recordBytes(record);
    if (page.length > 0 && (page.length >= maxRecords || bytes + size > MAX_BATCH_BYTES)) {
      yield page;
      page = [];
      bytes = 0;
    }
    page.push(record);
    bytes += size;
  }
  if (page.length > 0) yield page;
}
