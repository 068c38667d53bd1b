import {
  BLOCK_LEAVES,
  blockOf,
  blocksOf,
  decodeSummary,
  markOf,
  MAX_SUMMARY_BYTES,
  positionsOf,
  termsOfLeaf,
  type Summary,
  type Term,
} from '../terms/index.js';
import { cover, Frontier, leafHash, type Hash } from '../tlog/index.js';
import type { TreeProof } from './bundle-format.js';
import type { Findings, Place } from './findings.js';
import { Malformed, readHash } from './read-json.js';

interface Line {
  readonly hash: Hash;
  readonly at: Place;
  /** Whether its bytes have the term; undefined where only the hash is given. */
  readonly has: boolean | undefined;
}

const LEAVES = BigInt(BLOCK_LEAVES);

/**
 * Whether a tree's export shows exactly the leaves with one term: the summary of every block, signed beside the tree's note, says which these
 * are. Blocks are checked one by one; memory is one block's lines and one file of summaries.
 */
export class TermFilterCheck {
  private readonly summaries: Frontier | undefined;
  /** Summaries of the file at hand. */
  private readonly waiting = new Map<bigint, Buffer>();
  private announced: bigint;
  private block: bigint;
  private lines = new Map<number, Line>();

  constructor(
    private readonly findings: Findings,
    private readonly tree: string,
    private readonly term: Term,
    private readonly range: { readonly from: bigint; readonly to: bigint },
    /** Of the signed note. */
    private readonly size: bigint,
    private readonly proof: NonNullable<TreeProof['terms']>,
  ) {
    if (range.from % LEAVES !== 0n || (range.to % LEAVES !== 0n && range.to !== size))
      throw new Malformed(`${tree} is filtered by a term, but its range ${range.from}…${range.to} is not one of whole blocks`);
    this.block = blockOf(range.from);
    this.announced = this.block;
    const left = proof.left.map(readHash);
    if (left.length === cover(0n, this.block).length) this.summaries = new Frontier(this.block, left);
  }

  /** A file of summaries: each with its length before it, 4 bytes big-endian. The lines of the blocks of the file before have all come. */
  announce(bytes: Buffer): void {
    if (this.announced > this.block) this.finish(this.announced);
    for (let at = 0; at < bytes.length;) {
      const length = at + 4 <= bytes.length ? bytes.readUInt32BE(at) : Infinity;
      if (length > MAX_SUMMARY_BYTES || at + 4 + length > bytes.length) throw new Malformed(`the summaries of ${this.tree} are cut off`);
      const summary = bytes.subarray(at + 4, at + 4 + length);
      this.summaries?.append(leafHash(summary));
      this.waiting.set(this.announced++, summary);
      at += 4 + length;
    }
  }

  shown(index: bigint, bytes: Buffer, hash: Hash, at: Place): void {
    this.take(index, { hash, at, has: termsOfLeaf(bytes).some(({ type, value }) => type === this.term.type && value === this.term.value) });
  }
  redacted(index: bigint, hash: Hash, at: Place): void {
    this.take(index, { hash, at, has: undefined });
  }

  private take(index: bigint, line: Line): void {
    if (index < this.range.from || index >= this.range.to) return;
    const block = blockOf(index);
    // Lines out of order are named by the sequence.
    if (block < this.block) return;
    if (block > this.block) this.finish(block);
    const position = Number(index % LEAVES);
    if (!this.lines.has(position)) this.lines.set(position, line);
  }

  /** After the last line. `root`: what the root tree's leaf says about the summaries; undefined: nothing. */
  end(root: Hash | undefined, where: Place): void {
    this.finish(blocksOf(this.range.to));
    const at = { ...where, index: String(this.range.from) };
    if (this.announced !== blocksOf(this.range.to)) {
      this.findings.add('TERMS', `${this.tree} has summaries up to block ${this.announced}, not ${blocksOf(this.range.to)}`, at);
      return;
    }
    const right = cover(blocksOf(this.range.to), blocksOf(this.size));
    const { summaries } = this;
    const fits = summaries !== undefined && right.length === this.proof.right.length;
    if (fits) right.forEach((node, i) => summaries.appendSubtree(node.level, readHash(this.proof.right[i] as string)));
    if (!fits || root === undefined || !summaries.root().equals(root))
      this.findings.add('TERMS', `the summaries of the blocks of ${this.tree} are not those that were signed with its note`, at);
  }

  private finish(next: bigint): void {
    const { block, lines } = this;
    const range = { from: block * LEAVES, to: min((block + 1n) * LEAVES, this.size) };
    if (block < next && range.from < this.range.to) {
      const bytes = this.waiting.get(block);
      const summary = bytes === undefined ? undefined : decodeSummary(bytes);
      if (summary?.marks.length === Number(range.to - range.from)) this.compare(summary, range.from, lines);
      else
        this.findings.add('TERMS', `block ${block} of ${this.tree} has no summary of its leaves`, {
          tree: this.tree,
          index: String(range.from),
        });
    }
    for (const known of this.waiting.keys()) if (known < next) this.waiting.delete(known);
    this.block = next;
    this.lines = new Map();
  }

  private compare(summary: Summary, from: bigint, lines: ReadonlyMap<number, Line>): void {
    const listed = new Set(positionsOf(summary, this.term));
    const what = `the ${this.term.type} ${JSON.stringify(this.term.value)}`;
    let changed = false;
    for (const [position, { hash, at, has }] of lines) {
      const where = { ...at, tree: this.tree, index: String(from + BigInt(position)) };
      const leaf = `leaf ${where.index} of ${this.tree}`;
      if (markOf(hash) !== summary.marks[position]) {
        changed = true;
        this.findings.add('LEAF', has === undefined ? `the hash given for ${leaf} is not its own` : `${leaf} was changed`, where);
      } else if (has === undefined && listed.has(position)) {
        this.findings.add('INCOMPLETE', `${leaf} has ${what}, but only its hash is given`, where);
      } else if (has === false && !listed.has(position)) {
        this.findings.add('SURPLUS', `${leaf} does not have ${what}, but is shown`, where);
      } else if (has !== undefined && has !== listed.has(position)) {
        this.findings.add('TERMS', `the summary of its block says the opposite of ${leaf} about ${what}`, where);
      }
    }
    if (changed || lines.size !== summary.marks.length) return;
    const block = new Frontier();
    for (let position = 0; position < lines.size; position++) block.append((lines.get(position) as Line).hash);
    if (!block.root().equals(summary.salt))
      this.findings.add('ROOT', `the leaves from ${from} on in ${this.tree} are not those of their block's summary`, {
        tree: this.tree,
        index: String(from),
      });
  }
}

const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);
