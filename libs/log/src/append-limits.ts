import { MAX_RECORD_BYTES } from '#lib/decision';
import { LogRefused, MAX_BATCH_BYTES, MAX_BATCH_RECORDS, type LogRecord } from './event-log.js';

const MAX_KEY_BYTES = 1024;
const MAX_HEADER_BYTES = 8 * 1024;
export const LARGEST_RECORD_BYTES = MAX_RECORD_BYTES + MAX_KEY_BYTES + MAX_HEADER_BYTES;

/** Bytes of a record that count against the caps: value, key and headers. */
export function recordBytes(record: LogRecord): number {
  let bytes = record.value.byteLength + Buffer.byteLength(record.key);
  for (const [name, value] of Object.entries(record.headers ?? {})) bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
  return bytes;
}

/**
 * What no adapter takes, checked before a byte leaves the process.
 * @throws LogRefused
 */
export function refuseOverLimits(partitions: number, partition: number, records: readonly LogRecord[]): void {
  assertPartition(partitions, partition);
  if (records.length === 0) throw new LogRefused('A batch holds at least one record.');
  if (records.length > MAX_BATCH_RECORDS)
    throw new LogRefused(`A batch holds at most ${MAX_BATCH_RECORDS} records, not ${records.length}.`);
  let total = 0;
  for (const record of records) {
    if (record.value.byteLength > MAX_RECORD_BYTES)
      throw new LogRefused(`A record is at most ${MAX_RECORD_BYTES} bytes, not ${record.value.byteLength}.`);
    const keyBytes = Buffer.byteLength(record.key);
    if (keyBytes === 0 || keyBytes > MAX_KEY_BYTES) throw new LogRefused(`A key is 1 to ${MAX_KEY_BYTES} bytes, not ${keyBytes}.`);
    // Stores would refuse the first and silently change the second.
    if (record.key.includes('\0') || !record.key.isWellFormed()) throw new LogRefused('A key holds neither U+0000 nor half a character.');
    const bytes = recordBytes(record);
    if (bytes - record.value.byteLength - keyBytes > MAX_HEADER_BYTES)
      throw new LogRefused(`Headers are at most ${MAX_HEADER_BYTES} bytes.`);
    total += bytes;
  }
  if (total > MAX_BATCH_BYTES) throw new LogRefused(`A batch is at most ${MAX_BATCH_BYTES} bytes, not ${total}.`);
}

export function assertPartition(partitions: number, partition: number): void {
  if (!Number.isInteger(partition) || partition < 0 || partition >= partitions)
    throw new LogRefused(`There is no partition ${partition}: this log has ${partitions}, counted from 0.`);
}

/** @throws RangeError */
export function assertForgettable(partition: number, before: number, end: number): void {
  if (!Number.isSafeInteger(before) || before < 0) throw new RangeError(`Records can be forgotten before an offset, not ${before}.`);
  if (before > end) throw new RangeError(`Partition ${partition} ends at offset ${end}: nothing before ${before} can be forgotten.`);
}
