import { leafHash, parseDecimal, parseHex, type Hash } from '../tlog/index.js';
import type { Findings, Place } from './findings.js';

/** The fields of a leaf that a verifier reads; a leaf of the root tree has no offset and no verdict. */
interface ReadLeaf {
  readonly log: string;
  readonly index: bigint;
  readonly offset: bigint | undefined;
  readonly previousLeaf: Hash | null;
  readonly verdict: string | undefined;
  readonly time: number;
}
const MAX_MISSING = 1000;

/**
 * Follows the literal chain through leaves in order and says where it breaks and how: changed, missing, moved, inserted. Trust comes from
 * the tree; this tells the place. Constant memory.
 */
export class LeafSequence {
  /** Leaves by verdict. */
  readonly verdicts: Record<string, number> = {};
  leaves = 0;
  firstTime: number | undefined;
  lastTime: number | undefined;
  /** Times of the first two leaves and of the last two, in the order in which they stand. */
  readonly opening: number[] = [];
  closing: readonly number[] = [];
  private expected: bigint;
  /** Where the last leaf belongs, as far as can be told. */
  placed = -1n;
  /** Hash of the leaf before; undefined where nothing can be said about it. */
  private previous: Hash | null | undefined;
  private previousPlace: Place | undefined;
  private previousOffset: bigint | undefined;
  /** The leaves whose links broke, waiting for the end of the run of broken links. */
  private broken: { readonly at: Place; readonly before: Place | undefined }[] = [];
  private readonly missing = new Set<bigint>();
  private unparsed = false;

  constructor(
    private readonly findings: Findings,
    private readonly tree: string,
    private readonly logId: string,
    from: bigint,
    previous: Hash | null | undefined,
    /** Whether a broken link tells which leaf was changed; where leaves are redacted it may be either of two. */
    private readonly linksTell = true,
  ) {
    this.expected = from;
    this.previous = previous;
  }

  /** Answers the leaf's hash. */
  next(bytes: Buffer, at: Place): Hash {
    const hash = leafHash(bytes);
    this.leaves++;
    this.placed = this.expected;
    const leaf = readLeaf(bytes);
    if (leaf === undefined || (leaf.log !== this.logId && this.tree !== 'access')) {
      this.settle();
      const what = leaf === undefined ? 'these bytes are not a leaf' : `this leaf is of log ${leaf.log}`;
      this.findings.add('LEAF', `leaf ${this.expected} of ${this.tree} was changed: ${what}`, { ...at, index: String(this.expected) });
      this.unparsed = true;
      this.move(hash, { ...at, index: String(this.expected) }, this.expected + 1n, undefined);
      this.previous = undefined;
      return hash;
    }
    const linked = this.previous === undefined ? undefined : same(this.previous, leaf.previousLeaf);
    const where = { ...at, index: String(leaf.index), ...(leaf.offset === undefined ? {} : { offset: String(leaf.offset) }) };
    this.count(leaf);
    if (leaf.index !== this.expected && this.unparsed) {
      // Lines before this one were torn apart or glued together: go on from what can be read.
      this.placed = leaf.index;
      this.move(hash, where, leaf.index + 1n, leaf.offset);
    } else if (leaf.index === this.expected || linked === true) {
      if (leaf.index !== this.expected) {
        this.settle();
        this.findings.add('LEAF', `leaf ${this.expected} of ${this.tree} was changed: it calls itself ${leaf.index}`, {
          ...where,
          index: String(this.expected),
        });
      } else if (linked === false && this.linksTell) this.broken.push({ at: where, before: this.previousPlace });
      else this.settle();
      this.move(hash, where, this.expected + 1n, leaf.offset);
    } else this.outOfPlace(leaf, hash, where);
    this.unparsed = false;
    return hash;
  }

  /** A leaf of which only its hash is given. */
  redacted(index: bigint, hash: Hash, at: Place): void {
    this.leaves++;
    const where = { ...at, index: String(index) };
    if (index === this.expected || this.unparsed) this.move(hash, where, index + 1n, undefined);
    else this.outOfPlace({ index, offset: undefined }, hash, where);
    this.unparsed = false;
  }

  private outOfPlace(leaf: Pick<ReadLeaf, 'index' | 'offset'>, hash: Hash, where: Place): void {
    this.settle();
    this.placed = leaf.index;
    if (leaf.index > this.expected) {
      for (let i = this.expected; i < leaf.index && this.missing.size < MAX_MISSING; i++) this.missing.add(i);
      this.move(hash, where, leaf.index + 1n, leaf.offset);
    } else {
      const moved = this.missing.delete(leaf.index);
      const message = moved
        ? `leaf ${leaf.index} of ${this.tree} stands out of order`
        : `there are two leaves ${leaf.index} in ${this.tree}: one was inserted`;
      this.findings.add('REORDER', message, where);
      this.move(hash, where, this.expected, undefined);
    }
    // What stands before the next leaf is not its predecessor.
    this.previous = undefined;
  }

  /** After the last leaf. `last`: its hash as the description names it; undefined when nobody said. Answers whether all were there. */
  end(to: bigint, last: Hash | undefined, at: Place): boolean {
    if (
      last !== undefined &&
      this.linksTell &&
      this.expected === to &&
      this.previousPlace !== undefined &&
      this.last !== undefined &&
      !this.last.equals(last)
    ) {
      this.broken.push({ at: { ...at, index: String(to) }, before: this.previousPlace });
    }
    this.settle();
    for (const index of this.missing) this.findings.add('GAP', `leaf ${index} of ${this.tree} is missing`, { ...at, index: String(index) });
    if (this.expected < to) {
      const range = `${this.expected}…${to - 1n}`;
      this.findings.add('TRUNCATION', `the leaves ${range} of ${this.tree} are missing at the end`, {
        ...at,
        index: String(this.expected),
      });
    }
    if (this.expected > to) {
      this.findings.add('REORDER', `${this.tree} has leaves after ${to - 1n}, where it must end`, { ...at, index: String(to) });
    }
    return this.expected === to && this.missing.size === 0;
  }
  private last: Hash | undefined;

  private move(hash: Hash, where: Place, expected: bigint, offset: bigint | undefined): void {
    if (offset !== undefined && this.previousOffset !== undefined && offset <= this.previousOffset) {
      this.findings.add('REORDER', `the log offset ${offset} of ${this.tree} does not rise`, where);
    }
    this.previousOffset = offset ?? this.previousOffset;
    this.previous = hash;
    this.last = hash;
    this.previousPlace = where;
    this.expected = expected;
  }

  /**
   * Ends a run of broken links. One broken link: the leaf before it was changed. Several in a row: the leaves between them were, since a
   * leaf whose link field was changed breaks the link on both sides.
   */
  private settle(): void {
    const [first] = this.broken;
    if (first === undefined) return;
    const changed = this.broken.length === 1 ? [first.before] : this.broken.slice(0, -1).map(({ at }) => at);
    this.broken = [];
    for (const place of changed) {
      if (place === undefined)
        this.findings.add('ROOT', `the proof names another hash for the leaf before ${first.at.index} of ${this.tree}`, first.at);
      else this.findings.add('LEAF', `leaf ${place.index} of ${this.tree} was changed: the next leaf names another hash for it`, place);
    }
  }

  private count(leaf: ReadLeaf): void {
    if (leaf.verdict !== undefined) this.verdicts[leaf.verdict] = (this.verdicts[leaf.verdict] ?? 0) + 1;
    this.firstTime = Math.min(this.firstTime ?? leaf.time, leaf.time);
    this.lastTime = Math.max(this.lastTime ?? leaf.time, leaf.time);
    if (this.opening.length < 2) this.opening.push(leaf.time);
    this.closing = [...this.closing.slice(-1), leaf.time];
  }
}

function same(a: Hash | null, b: Hash | null): boolean {
  return a === null || b === null ? a === b : a.equals(b);
}

const VERDICTS = ['accepted', 'duplicate', 'reused', 'conflict', 'invalid'];

// How every leaf of a partition ends, since its members are sorted; the events before it need not be parsed to follow the chain.
const ENDING =
  /"index":"([0-9]{1,19})","log":"([!#-[\]-~]{1,200})","offset":"([0-9]{1,19})","partition":[0-9]{1,4}(?:,"placesOmitted":true)?,"previousLeaf":(?:null|"([0-9a-f]{64})")(?:,"reason":"[a-z-]{1,20}")?,"record":"[0-9a-f]{64}","time":"([0-9]{1,16})","v":1,"verdict":"([a-z]{1,9})"}$/;
const ENDING_BYTES = 700;

function readLeaf(bytes: Buffer): ReadLeaf | undefined {
  const ending = ENDING.exec(bytes.toString('latin1', Math.max(0, bytes.length - ENDING_BYTES)));
  if (ending === null) return parseLeaf(bytes);
  const [, at, log, place, link, time, verdict] = ending;
  const [index, offset] = [parseDecimal(at as string), parseDecimal(place as string)];
  if (index === undefined || offset === undefined || !VERDICTS.includes(verdict as string)) return undefined;
  const previousLeaf = link === undefined ? null : Buffer.from(link, 'hex');
  return { log: log as string, index, offset, previousLeaf, verdict, time: Number(time) };
}

function parseLeaf(bytes: Buffer): ReadLeaf | undefined {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    // Not JSON is not a leaf: the caller reports the place.
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { v, log, index, offset, previousLeaf, verdict, time } = value as Record<string, unknown>;
  const at = typeof index === 'string' ? parseDecimal(index) : undefined;
  const ms = typeof time === 'string' ? parseDecimal(time) : undefined;
  const link = previousLeaf === null ? null : typeof previousLeaf === 'string' ? parseHex(previousLeaf, 32) : undefined;
  const place = offset === undefined ? undefined : typeof offset === 'string' ? parseDecimal(offset) : undefined;
  if (v !== 1 || typeof log !== 'string' || at === undefined || ms === undefined || link === undefined) return undefined;
  if (offset !== undefined && place === undefined) return undefined;
  if (verdict !== undefined && !VERDICTS.includes(verdict as string)) return undefined;
  return { log, index: at, offset: place, previousLeaf: link, verdict: verdict as string | undefined, time: Number(ms) };
}
