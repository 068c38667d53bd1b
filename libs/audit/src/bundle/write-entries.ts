import type { AuditStore, StoredLeaf } from '../audit-store.js';
import { partitionOfLog, type LogName } from '../log-name.js';
import { BLOCK_LEAVES, blocksOf, decodeSummary, positionsOf, type Term } from '../terms/index.js';
import { partialSummary } from '../terms/prove-terms.js';
import { HASH_BYTES, leafHash } from '../tlog/index.js';
import { bodyLines, type RecordBodies } from './bodies.js';
import { bodiesFile, entriesFile, redactedLine, termsFile } from './bundle-format.js';
import type { MemberSink } from './member-sink.js';
import type { ExportPart } from './plan-export.js';
import { missingLeaf } from './tree-proof.js';

/** So many leaves more were written. @throws to stop the export */
export type Written = (leaves: number) => Promise<void> | void;

const NEWLINE = Buffer.from('\n');
const INITIAL_BYTES = 64 * 1024;
const LEAVES = BigInt(BLOCK_LEAVES);
/** Blocks whose summaries and hashes are read at once. */
const BLOCKS = 32n;

/**
 * Content that is written when it is large enough. It lies in one piece of memory from file to file: what came from the database is let go of at
 * once, and nothing is left to be collected.
 */
class Pending {
  private memory = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  bytes = 0;

  add(...parts: readonly Buffer[]): void {
    for (const part of parts) {
      if (this.bytes + part.length > this.memory.length) this.grow(this.bytes + part.length);
      this.bytes += part.copy(this.memory, this.bytes);
    }
  }
  /** A line of ASCII, without a copy of it on the way. */
  line(text: string): void {
    if (this.bytes + text.length + 1 > this.memory.length) this.grow(this.bytes + text.length + 1);
    this.bytes += this.memory.write(text, this.bytes, 'latin1');
    this.add(NEWLINE);
  }
  /** Good until the next `add`. */
  take(): Buffer {
    const whole = this.memory.subarray(0, this.bytes);
    this.bytes = 0;
    return whole;
  }

  private grow(needed: number): void {
    const more = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.memory.length));
    this.memory.copy(more, 0, 0, this.bytes);
    this.memory = more;
  }
}

export interface EntriesOptions {
  readonly store: AuditStore;
  readonly part: ExportPart;
  readonly sink: MemberSink;
  readonly written: Written;
  readonly bodies: RecordBodies | undefined;
}

/** The files of bodies of one tree; without bodies it takes nothing. */
class PendingBodies {
  private readonly pending = new Pending();
  private readonly partition: number | undefined;

  constructor(
    private readonly bodies: RecordBodies | undefined,
    private readonly log: LogName,
  ) {
    this.partition = bodies === undefined ? undefined : partitionOfLog(log);
  }
  get bytes(): number {
    return this.pending.bytes;
  }
  /** Names of the n-th file: none or one. */
  names(n: number): readonly string[] {
    return this.partition === undefined ? [] : [bodiesFile(this.log, n)];
  }
  async add(leaves: readonly StoredLeaf[]): Promise<void> {
    if (this.bodies === undefined || this.partition === undefined) return;
    for await (const line of bodyLines(this.bodies, this.partition, leaves)) this.pending.add(line, NEWLINE);
  }
  async flush(sink: MemberSink, n: number): Promise<void> {
    for (const name of this.names(n)) await sink.write(name, this.pending.take());
  }
}

/** Leaves whose lines and bodies are gathered before it is seen whether the file is large enough. */
const STEP = 64;

/** Every leaf of a part; memory is one page of leaves and one file. Without bodies nothing but their bytes is asked for. */
export async function writeEntries({ store, part, sink, written, bodies: records }: EntriesOptions): Promise<void> {
  const pending = new Pending();
  const bodies = new PendingBodies(records, part.log);
  const passed = (): number | undefined =>
    sink.passed([entriesFile(part.log, files), ...bodies.names(files)], entriesFile(part.log, files));
  let files = 0;
  let next = part.from;
  for (let lines; (lines = passed()) !== undefined; files++) {
    next += BigInt(lines);
    await written(lines);
  }
  const flush = async (): Promise<void> => {
    await sink.write(entriesFile(part.log, files), pending.take());
    await bodies.flush(sink, files++);
  };
  const expect = (index: bigint, count = 1): void => {
    if (index !== next) throw missingLeaf(part.log, next);
    next += BigInt(count);
  };
  if (records === undefined)
    for await (const { from, leaves } of store.leafBytes(part.log, next, part.to)) {
      expect(from, leaves.length);
      for (let at = 0; at < leaves.length; at += STEP) {
        for (const bytes of leaves.slice(at, at + STEP)) pending.add(bytes, NEWLINE);
        if (pending.bytes >= sink.entriesBytes) await flush();
      }
      await written(leaves.length);
    }
  else
    for await (const page of store.leaves(part.log, next, part.to)) {
      for (let at = 0; at < page.leaves.length; at += STEP) {
        const step = page.leaves.slice(at, at + STEP);
        for (const leaf of step) {
          expect(leaf.index);
          pending.add(leaf.bytes, NEWLINE);
        }
        await bodies.add(step);
        if (pending.bytes >= sink.entriesBytes || bodies.bytes >= sink.entriesBytes) await flush();
      }
      await written(page.leaves.length);
    }
  if (next !== part.to) throw missingLeaf(part.log, next);
  if (pending.bytes > 0) await flush();
}

/** The leaves with a term, of the others index and hash; before each file the summaries of its blocks. Leaves of other blocks are not read. */
export async function writeFilteredEntries({ store, part, sink, written, bodies: records }: EntriesOptions, term: Term): Promise<void> {
  const { log, note } = part;
  const [summaries, entries] = [new Pending(), new Pending()];
  const bodies = new PendingBodies(records, log);
  let files = 0;
  const flush = async (): Promise<void> => {
    if (entries.bytes === 0) return;
    await sink.write(termsFile(log, files), summaries.take());
    await sink.write(entriesFile(log, files), entries.take());
    await bodies.flush(sink, files++);
  };
  const linesOf = (n: number): number | undefined =>
    sink.passed([termsFile(log, n), entriesFile(log, n), ...bodies.names(n)], entriesFile(log, n));
  let from = part.from;
  for (let lines; (lines = linesOf(files)) !== undefined; files++) {
    from += BigInt(lines);
    await written(lines);
  }
  for (let first = blocksOf(from); first * LEAVES < part.to; first += BLOCKS) {
    const blocks: bigint[] = [];
    for (let block = first; block < first + BLOCKS && block * LEAVES < part.to; block++) blocks.push(block);
    const kept = await store.termBlocks(log, blocks);
    const tiles = await store.tiles(
      log,
      blocks.map((index) => ({ level: 0, index })),
    );
    for (const [i, block] of blocks.entries()) {
      const partial = (block + 1n) * LEAVES > note.size;
      const summary = partial ? await partialSummary(store, log, note.size) : kept[i]?.summary;
      const width = Number((partial ? note.size : (block + 1n) * LEAVES) - block * LEAVES);
      if (summary === undefined) throw new Error(`block ${block} of ${log} has no kept summary: run \`fabula audit rebuild\``);
      const length = Buffer.alloc(4);
      length.writeUInt32BE(summary.length);
      summaries.add(length, summary);
      const shown = matching(summary, term);
      const leaves = await leavesAt(store, log, block * LEAVES, shown, records !== undefined);
      blockLines(entries, log, block, width, shown, leaves, tiles[i]);
      await bodies.add(shown.flatMap((position) => leaves.get(position)?.stored ?? []));
      if ([entries, summaries, bodies].some(({ bytes }) => bytes >= sink.entriesBytes)) await flush();
      await written(width);
    }
  }
  await flush();
  if (blocksOf(part.to) * LEAVES < part.to) throw missingLeaf(log, part.to - 1n);
}

function matching(summary: Buffer, term: Term): readonly number[] {
  const read = decodeSummary(summary);
  if (read === undefined) throw new Error('a kept summary cannot be read: run `fabula audit rebuild`');
  return positionsOf(read, term);
}

interface ReadLeaf {
  readonly bytes: Buffer;
  /** Asked for with bodies only. */
  readonly stored?: StoredLeaf;
}

/** The leaves at these positions of a block, by position; others may be among them. */
async function leavesAt(
  store: AuditStore,
  log: LogName,
  from: bigint,
  shown: readonly number[],
  stored: boolean,
): Promise<ReadonlyMap<number, ReadLeaf>> {
  const read = new Map<number, ReadLeaf>();
  const [least, most] = [shown[0], shown.at(-1)];
  if (least === undefined || most === undefined) return read;
  const range = [log, from + BigInt(least), from + BigInt(most) + 1n] as const;
  if (stored)
    for await (const { leaves } of store.leaves(...range))
      for (const leaf of leaves) read.set(Number(leaf.index - from), { bytes: leaf.bytes, stored: leaf });
  else if (shown.length < (most - least + 1) / 2) {
    const indexes = shown.map((position) => from + BigInt(position));
    for (const [index, bytes] of await store.leafBytesAt(log, indexes)) read.set(Number(index - from), { bytes });
  } else
    for await (const { from: first, leaves } of store.leafBytes(...range))
      for (const [i, bytes] of leaves.entries()) read.set(Number(first - from) + i, { bytes });
  return read;
}

function blockLines(
  entries: Pending,
  log: LogName,
  block: bigint,
  width: number,
  shown: readonly number[],
  leaves: ReadonlyMap<number, ReadLeaf>,
  hashes: Buffer | undefined,
): void {
  const from = block * LEAVES;
  if (hashes === undefined || hashes.length < width * HASH_BYTES) throw missingLeaf(log, from);
  const wanted = new Set(shown);
  for (let position = 0; position < width; position++) {
    const hash = hashes.subarray(position * HASH_BYTES, (position + 1) * HASH_BYTES);
    const index = from + BigInt(position);
    if (!wanted.has(position)) {
      entries.line(redactedLine(index, hash));
      continue;
    }
    const leaf = leaves.get(position);
    if (leaf === undefined) throw missingLeaf(log, index);
    if (!leafHash(leaf.bytes).equals(hash))
      throw new Error(`leaf ${index} of ${log} is not the tree's: find out why with \`fabula audit verify --store\``);
    entries.add(leaf.bytes, NEWLINE);
  }
}
