import { createHash } from 'node:crypto';
import {
  admissible,
  admit,
  decodeRecord,
  EMPTY_HEAD,
  partitionOf,
  type DecodedRecord,
  type StreamHead,
  type StreamId,
} from '#lib/decision';
import type { EventLog, Offset } from '../event-log.js';
import { mayBeReleased, type Releases } from '../releases.js';

/** Streams are told apart by a hash, so that a part of them can be looked at in a pass of its own. */
export interface Part {
  readonly index: number;
  readonly of: number;
}

/** Any hash that has nothing to do with the one that chooses partitions. */
export const isIn = (stream: StreamId, { index, of }: Part): boolean => of === 1 || partitionOf(`part ${stream}`, of) === index;

/** About what a head's window holds for each record: two strings of 64 and 40 characters, and what surrounds them. */
const HEAD_BYTES_PER_RECORD = 400;

/**
 * In how many passes over a partition of so many records heads stay below a budget, even if every record is accepted in a stream of
 * its own. A pass reads the partition anew and looks at its part of the streams only.
 */
export const passesFor = (records: number, memoryBytes: number): number =>
  Math.max(1, Math.ceil((records * HEAD_BYTES_PER_RECORD) / memoryBytes));

/** An accepted record as it is to be appended elsewhere: the very bytes. */
export interface AcceptedRecord extends DecodedRecord {
  readonly value: Uint8Array;
  readonly headers: Readonly<Record<string, string>> | undefined;
  /** Of the stream, after the record. */
  readonly version: number;
}

/** A record of a newer Fabula whose verdict nobody here can know. */
export class UnknownVerdict extends Error {
  override readonly name = 'UnknownVerdict';
  constructor(
    readonly partition: number,
    readonly offset: Offset,
  ) {
    super(`The record at offset ${offset} of partition ${partition} was written by a newer Fabula: copy with that, or release it first.`);
  }
}

/** Runs `admit` over one part of one partition. Heads are dropped with it. */
export class PartitionPass {
  readonly heads = new Map<StreamId, StreamHead>();
  /** Records that counted for nothing; those of other parts are not among them. */
  refused = 0;

  constructor(
    private readonly log: EventLog,
    private readonly partition: number,
    private readonly part: Part,
    private readonly releases: Releases,
    /** Looks at these streams only. */
    private readonly only: (stream: StreamId) => boolean = () => true,
  ) {}

  /**
   * Every accepted record of the part, in order; `read` is told how many records were looked at.
   * @throws UnknownVerdict; what the log throws
   */
  async *accepted(upTo: Offset, read: (records: number) => void, signal?: AbortSignal): AsyncGenerator<AcceptedRecord> {
    const { log, partition, part } = this;
    // At an end of 0 there is nothing to read, and nothing to wait for.
    for await (const { records } of log.read(partition, 0, { upTo, ...(signal === undefined ? {} : { signal }) })) {
      for (const { value, headers, offset } of records) {
        const decoded = decodeRecord(value);
        const released = mayBeReleased(decoded) && (await this.releases.has(partition, offset, decoded.digest));
        if (decoded.kind === 'unknown-envelope' && !released) throw new UnknownVerdict(partition, offset);
        if (released || !admissible(decoded, partition, log.partitions)) {
          if (part.index === 0) this.refused++;
          continue;
        }
        const { record, digest } = decoded;
        if (!isIn(record.stream, part) || !this.only(record.stream)) continue;
        const { verdict, head } = admit(this.heads.get(record.stream) ?? EMPTY_HEAD, record, digest, offset);
        if (verdict !== 'accepted') {
          this.refused++;
          continue;
        }
        this.heads.set(record.stream, head);
        yield { record, digest, value, headers, version: head.version };
      }
      read(records.length);
    }
  }
}

const MODULUS = 1n << 256n;

/** What two logs that hold the same accepted history have in common, however it is partitioned: adding up knows no order. */
export class HeadTally {
  private sum = 0n;
  streams = 0;

  add(stream: StreamId, { version, previous }: StreamHead): void {
    // `previous` is the end of the stream's hash chain: equal ones mean that every accepted record is equal, byte for byte.
    const hash = createHash('sha256').update(`${stream}\n${version}\n${previous}`).digest('hex');
    this.sum = (this.sum + BigInt(`0x${hash}`)) % MODULUS;
    this.streams++;
  }

  get digest(): string {
    return this.sum.toString(16).padStart(64, '0');
  }
}
