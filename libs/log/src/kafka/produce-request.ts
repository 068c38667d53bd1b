import { crc32c } from './crc32c.js';
import type { EncodedRequest } from './kafkajs-internals.js';

export interface PartitionBatch {
  readonly partition: number;
  readonly messages: readonly EncodableMessage[];
}
export interface EncodableMessage {
  readonly key: string;
  readonly value: Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}
/** Of a record batch: offset and length; what the checksum does not cover; and what it covers before the records. */
const [PLACE, UNSUMMED, SUMMED_HEAD] = [12, 9, 40];
/** Of the request, and of each partition in it, beside topic and batches. */
const [REQUEST, PARTITION] = [2 + 2 + 4 + 4 + 2 + 4, 8];
const ACKS_OF_ALL = -1;
const NO_PRODUCER_ID = -1n;

interface Sized {
  readonly message: EncodableMessage;
  readonly keyBytes: number;
  /** Of the record without its own length. */
  readonly bytes: number;
}

/**
 * The body of a produce request, version 7, with one record batch (format 2, not compressed) for each partition: the same bytes as kafkajs
 * writes, which makes and zeroes several buffers for each record and copies each byte four times. All records of a batch have the same
 * time; with LogAppendTime the broker replaces it.
 */
export function encodeProduceRequest(topic: string, batches: readonly PartitionBatch[], timeoutMs: number, now: number): EncodedRequest {
  const sized = batches.map(({ messages }) => messages.map(size));
  const lengths = sized.map((records) => records.reduce((sum, { bytes }) => sum + varintBytes(bytes) + bytes, UNSUMMED + SUMMED_HEAD));
  const total = lengths.reduce((sum, length) => sum + PARTITION + PLACE + length, REQUEST + Buffer.byteLength(topic));
  const writer = new Writer(Buffer.allocUnsafe(total));
  writer.int16(-1); // no transaction
  writer.int16(ACKS_OF_ALL);
  writer.int32(timeoutMs);
  writer.int32(1);
  writer.int16(Buffer.byteLength(topic));
  writer.text(topic);
  writer.int32(batches.length);
  for (const [n, { partition }] of batches.entries()) {
    const length = lengths[n] as number;
    writer.int32(partition);
    writer.int32(PLACE + length);
    writeBatch(writer, sized[n] as Sized[], length, BigInt(now));
  }
  const { buffer } = writer;
  return { buf: buffer, buffer, size: () => buffer.length };
}

function writeBatch(writer: Writer, records: readonly Sized[], length: number, now: bigint): void {
  writer.int64(0n); // the broker gives the offset
  writer.int32(length);
  writer.int32(0); // epoch of the leader
  writer.int8(2);
  const sum = writer.at;
  writer.int32(0);
  const summed = writer.at;
  writer.int16(0);
  writer.int32(records.length - 1);
  writer.int64(now);
  writer.int64(now);
  writer.int64(NO_PRODUCER_ID);
  writer.int16(0);
  writer.int32(0);
  writer.int32(records.length);
  for (let n = 0; n < records.length; n++) writeRecord(writer, records[n] as Sized, n);
  writer.buffer.writeUInt32BE(crc32c(writer.buffer.subarray(summed, writer.at)), sum);
}

function writeRecord(writer: Writer, { message: { key, value, headers }, keyBytes, bytes }: Sized, offsetDelta: number): void {
  writer.varint(bytes);
  writer.int8(0);
  writer.varint(0);
  writer.varint(offsetDelta);
  writer.varint(keyBytes);
  writer.text(key);
  writer.varint(value.length);
  writer.bytes(value);
  const names = headers === undefined ? NONE : Object.keys(headers);
  writer.varint(names.length);
  for (const name of names)
    for (const text of [name, headers?.[name] ?? '']) {
      writer.varint(Buffer.byteLength(text));
      writer.text(text);
    }
}

const NONE: readonly string[] = [];

function size(message: EncodableMessage, offsetDelta: number): Sized {
  const { key, value, headers } = message;
  const keyBytes = Buffer.byteLength(key);
  let bytes = 2 + varintBytes(offsetDelta) + varintBytes(keyBytes) + keyBytes + varintBytes(value.length) + value.length;
  const names = headers === undefined ? NONE : Object.keys(headers);
  bytes += varintBytes(names.length);
  for (const name of names)
    for (const text of [name, headers?.[name] ?? '']) {
      const length = Buffer.byteLength(text);
      bytes += varintBytes(length) + length;
    }
  return { message, keyBytes, bytes };
}

/** Of a count, zigzag. */
function varintBytes(count: number): number {
  let bytes = 1;
  for (let rest = count * 2; rest >= 0x80; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}

class Writer {
  at = 0;

  constructor(readonly buffer: Buffer) {}

  int8(value: number): void {
    this.at = this.buffer.writeInt8(value, this.at);
  }
  int16(value: number): void {
    this.at = this.buffer.writeInt16BE(value, this.at);
  }
  int32(value: number): void {
    this.at = this.buffer.writeInt32BE(value, this.at);
  }
  int64(value: bigint): void {
    this.at = this.buffer.writeBigInt64BE(value, this.at);
  }
  /** A count, zigzag. */
  varint(count: number): void {
    let rest = count * 2;
    for (; rest >= 0x80; rest = Math.floor(rest / 128)) this.buffer[this.at++] = (rest % 128) | 0x80;
    this.buffer[this.at++] = rest;
  }
  text(text: string): void {
    this.at += this.buffer.write(text, this.at);
  }
  bytes(bytes: Buffer): void {
    this.at += bytes.copy(this.buffer, this.at);
  }
}
