import type { EncodedRequest, Protocol } from './kafkajs-internals.js';

/**
 * Metadata request, version 12 (KIP-516: topics have a UUID of their own, brokers from 2.8 on). kafkajs stops at version 6, which has
 * neither the id of a topic nor the epoch of a leader. It is a "flexible" version: compact strings and arrays (length + 1 as a varint)
 * and tagged fields, one byte 0 each when there are none; its headers end with tagged fields too, which kafkajs leaves to us.
 */

export interface TopicMetadata {
  readonly brokers: readonly { readonly nodeId: number; readonly host: string; readonly port: number; readonly rack?: string }[];
  readonly errorCode: number;
  /** Hexadecimal UUID with dashes; a topic created again under its name has another. */
  readonly topicId: string;
  readonly partitions: readonly PartitionLeader[];
}

export interface PartitionLeader {
  readonly errorCode: number;
  readonly partition: number;
  /** -1: nobody leads it now. */
  readonly leader: number;
  readonly leaderEpoch: number;
  readonly replicas: readonly number[];
  readonly inSync: readonly number[];
}

export const METADATA_API = 3;
export const METADATA_VERSION = 12;

/** Asks for one topic, without creating it. */
export function metadataRequest(topic: string): Protocol<TopicMetadata> {
  return {
    request: {
      apiKey: METADATA_API,
      apiVersion: METADATA_VERSION,
      apiName: 'Metadata',
      encode: () => encodeRequest(topic),
    },
    response: { decode: async (payload) => decodeAnswer(payload, topic), parse: (answer) => Promise.resolve(answer) },
    logResponseError: false,
  };
}

export function encodeRequest(topic: string): EncodedRequest {
  const name = Buffer.from(topic, 'utf8');
  const buffer = Buffer.concat([
    Buffer.of(0), // tagged fields of the header
    Buffer.of(2), // one topic
    Buffer.alloc(16), // by name: no id
    unsignedVarint(name.length + 1),
    name,
    Buffer.of(0), // tagged fields of the topic
    Buffer.of(0, 0), // no creation, no authorised operations
    Buffer.of(0),
  ]);
  return { buf: buffer, buffer, size: () => buffer.length };
}

/** @throws RangeError when the bytes end too early */
export function decodeAnswer(payload: Buffer, topic: string): TopicMetadata {
  const reader = new FlexibleReader(payload);
  reader.tags(); // of the header
  reader.int32(); // throttle time
  const brokers = reader.array(() => {
    const broker = { nodeId: reader.int32(), host: reader.string() ?? '', port: reader.int32() };
    const rack = reader.string();
    reader.tags();
    return rack === undefined ? broker : { ...broker, rack };
  });
  reader.string(); // cluster id
  reader.int32(); // controller
  const topics = reader.array(() => {
    const errorCode = reader.int16();
    const name = reader.string();
    const topicId = reader.uuid();
    reader.int8(); // internal
    const partitions = reader.array(() => {
      const one = { errorCode: reader.int16(), partition: reader.int32(), leader: reader.int32(), leaderEpoch: reader.int32() };
      const replicas = reader.array(() => reader.int32());
      const inSync = reader.array(() => reader.int32());
      reader.array(() => reader.int32()); // offline
      reader.tags();
      return { ...one, replicas, inSync };
    });
    reader.int32(); // authorised operations
    reader.tags();
    return { errorCode, name, topicId, partitions };
  });
  const found = topics.find((one) => one.name === topic);
  if (found === undefined) throw new RangeError(`The answer does not speak of topic ${topic}.`);
  const { errorCode, topicId, partitions } = found;
  return { brokers, errorCode, topicId, partitions: partitions.sort((left, right) => left.partition - right.partition) };
}

class FlexibleReader {
  private at = 0;

  constructor(private readonly bytes: Buffer) {}

  int8(): number {
    return this.bytes.readInt8(this.move(1));
  }
  int16(): number {
    return this.bytes.readInt16BE(this.move(2));
  }
  int32(): number {
    return this.bytes.readInt32BE(this.move(4));
  }
  uuid(): string {
    const hex = this.take(16).toString('hex');
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
  }
  string(): string | undefined {
    const length = this.varint();
    return length === 0 ? undefined : this.take(length - 1).toString('utf8');
  }
  array<T>(read: () => T): T[] {
    const length = Math.max(0, this.varint() - 1);
    // Each element has at least one byte: a longer array is a lie.
    if (length > this.bytes.length - this.at) throw new RangeError('An array is longer than the answer.');
    return Array.from({ length }, read);
  }
  tags(): void {
    for (let left = this.varint(); left > 0; left--) {
      this.varint();
      this.move(this.varint());
    }
  }

  private varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.bytes.readUInt8(this.move(1));
      value += (byte & 0x7f) * 2 ** shift;
      if ((byte & 0x80) === 0) return value;
    }
    throw new RangeError('A varint is longer than 5 bytes.');
  }

  private take(length: number): Buffer {
    const from = this.move(length);
    return this.bytes.subarray(from, from + length);
  }

  private move(length: number): number {
    const from = this.at;
    if (length < 0 || from + length > this.bytes.length) throw new RangeError('The answer ends too early.');
    this.at += length;
    return from;
  }
}

function unsignedVarint(value: number): Buffer {
  const bytes: number[] = [];
  for (let left = value; ; left >>>= 7) {
    if (left < 0x80) return Buffer.from([...bytes, left]);
    bytes.push((left & 0x7f) | 0x80);
  }
}
