import { gunzipSync } from 'node:zlib';
import { errorText } from '#lib/platform';

/**
 * The answer to a fetch, version 11, with record batches of format 2: the only one since Kafka 4. Not in kafkajs' decoding, which one batch
 * of somebody else can stop for all partitions aboard (a codec that it has not), for minutes (it copies all headers for each header: a record
 * of 1 MB can have 100,000) or for good (a megabyte that unpacks to gigabytes).
 */
export interface FetchAnswer {
  readonly errorCode: number;
  readonly partitions: readonly FetchedPartition[];
  /** The broker wants no request for so long, ms; kafkajs reads this name. */
  readonly clientSideThrottleTime: number;
}
export interface FetchedPartition {
  readonly partition: number;
  readonly errorCode: number;
  /** Up to the first batch that cannot be read, or that did not fit into the answer. */
  readonly messages: readonly FetchedMessage[];
  readonly unreadable?: { readonly offset: number; readonly why: string };
}
export interface FetchedMessage {
  readonly offset: number;
  /** ms since the epoch; with LogAppendTime the log's. */
  readonly time: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  /** The last of each name. */
  readonly headers: Readonly<Record<string, string>> | undefined;
}

/** A batch is at most as large as the brokers take one, uncompressed; more is no honest one. */
const MOST_UNPACKED = 16 * 1024 * 1024;
const BATCH_HEAD = 12;
const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];

/** @throws RangeError when the answer ends too early */
export function decodeFetchAnswer(payload: Buffer): FetchAnswer {
  const reader = new Reader(payload);
  const clientSideThrottleTime = reader.int32();
  const errorCode = reader.int16();
  reader.int32(); // session
  const partitions: FetchedPartition[] = [];
  for (let topics = reader.int32(); topics > 0; topics--) {
    reader.take(reader.int16()); // name
    for (let left = reader.int32(); left > 0; left--) partitions.push(partitionFrom(reader));
  }
  return { clientSideThrottleTime, errorCode, partitions };
}

function partitionFrom(reader: Reader): FetchedPartition {
  const partition = reader.int32();
  const errorCode = reader.int16();
  reader.take(24); // high watermark, last stable offset, first offset
  const aborted = reader.int32();
  reader.take(Math.max(0, aborted) * 16);
  reader.int32(); // preferred replica
  const batches = new Reader(reader.take(Math.max(0, reader.int32())));
  const messages: FetchedMessage[] = [];
  // The last batch may be cut off where the limit of the answer was reached.
  while (batches.left >= BATCH_HEAD) {
    const offset = batches.int64();
    const length = batches.int32();
    if (length < 0 || length > batches.left) break;
    const batch = batches.take(length);
    const before = messages.length;
    try {
      readBatch(batch, offset, messages);
    } catch (error) {
      messages.length = before;
      return { partition, errorCode, messages, unreadable: { offset, why: errorText(error) } };
    }
  }
  return { partition, errorCode, messages };
}

function readBatch(batch: Buffer, firstOffset: number, messages: FetchedMessage[]): void {
  const head = new Reader(batch);
  head.int32(); // epoch of the leader
  const format = head.int8();
  if (format !== 2) throw new RangeError(`its format is ${format}`);
  head.int32(); // checksum: the digests of leaves and the chain of each stream stand for it
  const attributes = head.int16();
  head.int32(); // last offset
  const firstTime = head.int64();
  const maxTime = head.int64();
  head.take(14); // producer and its sequence
  const count = head.int32();
  const rest = head.take(head.left);
  const reader = new Reader(unpacked(rest, attributes & 0b111));
  const byLog = (attributes & 0b1000) !== 0;
  for (let n = 0; n < count; n++) {
    const record = new Reader(reader.take(reader.varint()));
    record.int8(); // attributes
    const time = firstTime + record.varint();
    const offset = firstOffset + record.varint();
    const key = record.bytes();
    const value = record.bytes();
    messages.push({ offset, time: byLog ? maxTime : time, key, value, headers: headersFrom(record) });
  }
}

function headersFrom(record: Reader): Readonly<Record<string, string>> | undefined {
  const count = record.varint();
  if (count <= 0) return undefined;
  const headers: Record<string, string> = {};
  for (let n = 0; n < count; n++) {
    const name = record.bytes()?.toString('utf8') ?? '';
    headers[name] = record.bytes()?.toString('utf8') ?? '';
  }
  return headers;
}

function unpacked(bytes: Buffer, codec: number): Buffer {
  if (codec === 0) return bytes;
  if (codec === 1) return gunzipSync(bytes, { maxOutputLength: MOST_UNPACKED });
  throw new RangeError(`it is compressed with ${CODECS[codec] ?? `codec ${codec}`}`);
}

class Reader {
  private at = 0;

  constructor(private readonly buffer: Buffer) {}

  get left(): number {
    return this.buffer.length - this.at;
  }
  int8(): number {
    return this.buffer.readInt8(this.move(1));
  }
  int16(): number {
    return this.buffer.readInt16BE(this.move(2));
  }
  int32(): number {
    return this.buffer.readInt32BE(this.move(4));
  }
  int64(): number {
    return Number(this.buffer.readBigInt64BE(this.move(8)));
  }
  /** Zigzag; exact up to 2^53. */
  varint(): number {
    let value = 0;
    let factor = 1;
    for (let n = 0; n < 10; n++) {
      const byte = this.buffer[this.move(1)] as number;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
      factor *= 128;
    }
    throw new RangeError('a number is longer than 10 bytes');
  }
  bytes(): Buffer | null {
    const length = this.varint();
    return length < 0 ? null : this.take(length);
  }
  take(length: number): Buffer {
    const from = this.move(length);
    return this.buffer.subarray(from, from + length);
  }

  private move(length: number): number {
    const from = this.at;
    if (length < 0 || from + length > this.buffer.length) throw new RangeError('it ends too early');
    this.at += length;
    return from;
  }
}
