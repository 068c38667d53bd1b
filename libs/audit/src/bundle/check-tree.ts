import { checkInclusion, cover, Frontier, leafHash, leafIndex, type CheckpointNote, type Hash } from '../tlog/index.js';
import { TermTree } from '../terms/index.js';
import { parseRedacted, type ExportDescription, type ExportedTree, type ExportFilter, type TreeProof } from './bundle-format.js';
import type { BundleNotes } from './bundle-notes.js';
import { BodyCheck } from './check-bodies.js';
import { checkTimeFilter } from './check-time-filter.js';
import { TermFilterCheck } from './check-term-filter.js';
import { comparePrevious, KeptRoots } from './compare-previous.js';
import type { Findings, Place } from './findings.js';
import { LeafSequence } from './leaf-sequence.js';
import type { SealedFields } from './sealed-fields.js';
import { Malformed, readHash, readRootLeaf } from './read-json.js';

export interface TreeReport {
  readonly tree: string;
  readonly origin: string;
  readonly from: string;
  readonly to: string;
  /** Leaves in the signed tree, and its root (hex). */
  readonly size: string;
  readonly root: string;
  /** Leaves of the range; of these, how many are shown and not only their hashes given. */
  readonly leaves: number;
  readonly shown: number;
  readonly verdicts: Readonly<Record<string, number>>;
  /** Records that go along, each the one that its leaf is about, and those that were kept no more; null: not asked for. */
  readonly bodies: { readonly shown: number; readonly missing: number } | null;
  /** ms since the epoch, log time. */
  readonly firstTime: number | null;
  readonly lastTime: number | null;
}

export interface TreeCheckOptions {
  readonly findings: Findings;
  readonly notes: BundleNotes;
  readonly description: ExportDescription;
  readonly tree: ExportedTree;
  /** Undefined when it was not signed, which has been said. */
  readonly note: CheckpointNote | undefined;
  readonly rootNote: CheckpointNote | undefined;
  readonly proof: TreeProof;
  /** Notes that the bundle's reader kept. */
  readonly previous: readonly string[];
  /** Told of every record that goes along. */
  readonly sealed: SealedFields;
  /** Whether the terms of a tree that is shown whole are derived anew. */
  readonly deriveTerms: boolean;
  readonly reader: { leaf(tree: string, bytes: Buffer): void } | undefined;
}

/** One tree of a bundle: its lines in order, then its proofs. */
export class TreeCheck {
  private readonly where: Place;
  /** The root tree goes along whole, whatever is filtered: it names all the others. */
  private readonly filter: ExportFilter | undefined;
  private readonly frontier: Frontier | undefined;
  private readonly sequence: LeafSequence;
  private readonly kept: KeptRoots;
  private readonly terms: TermFilterCheck | undefined;
  private readonly derived: TermTree | undefined;
  readonly bodies: BodyCheck | undefined;
  private shown = 0;

  /** @throws Malformed for a filtered tree that cannot be checked at all */
  constructor(private readonly options: TreeCheckOptions) {
    const { findings, notes, description, tree, note, proof, previous } = options;
    const [from, to] = [BigInt(tree.from), BigInt(tree.to)];
    this.where = { file: `data/${tree.tree}/proof.json`, tree: tree.tree };
    const left = proof.left.map(readHash);
    const fits = left.length === cover(0n, from).length;
    if (!fits) findings.add('ROOT', `the proof of ${tree.tree} has ${left.length} hashes before leaf ${from}`, this.where);
    this.frontier = fits ? new Frontier(from, left) : undefined;
    const before = from === 0n ? null : (from & 1n) === 1n ? left.at(-1) : undefined;
    this.bodies = description.bodies === true && partition(tree.tree) ? new BodyCheck(findings, tree.tree, options.sealed) : undefined;
    this.filter = tree.tree === 'root' ? undefined : description.filter;
    const { filter } = this;
    this.sequence = new LeafSequence(findings, tree.tree, description.logId, from, before, filter?.kind !== 'term');
    this.kept = new KeptRoots(notes, tree.tree, previous);
    if (this.frontier !== undefined) this.kept.passed(this.frontier);
    if (options.deriveTerms && filter === undefined && from === 0n && to === note?.size && partition(tree.tree))
      this.derived = new TermTree();
    if (filter?.kind !== 'term') return;
    if (proof.terms === undefined) throw new Malformed(`${tree.tree} is filtered by a term, but its proof says nothing of summaries`);
    this.terms = new TermFilterCheck(findings, tree.tree, filter.term, { from, to }, note?.size ?? to, proof.terms);
  }

  /** Whether files of summaries belong to this tree. */
  get filteredByTerm(): boolean {
    return this.terms !== undefined;
  }
  summaries(bytes: Buffer): void {
    this.terms?.announce(bytes);
  }

  line(bytes: Buffer, at: Place): void {
    const redacted = this.terms === undefined ? undefined : parseRedacted(bytes);
    let hash: Hash;
    if (redacted === undefined) {
      hash = this.sequence.next(bytes, at);
      this.shown++;
      this.options.reader?.leaf(this.options.tree.tree, bytes);
      this.derived?.append(bytes, hash);
      this.bodies?.leaf(this.sequence.placed, bytes);
      this.terms?.shown(this.sequence.placed, bytes, hash, at);
    } else {
      hash = redacted.hash;
      this.sequence.redacted(redacted.index, hash, at);
      this.terms?.redacted(redacted.index, hash, at);
    }
    if (this.frontier === undefined) return;
    this.frontier.append(hash);
    this.kept.passed(this.frontier);
  }

  /** `place`: of the last line. */
  end(place: Place): TreeReport {
    const { findings, notes, tree, note, proof, previous } = this.options;
    const last = tree.lastLeaf === null ? undefined : readHash(tree.lastLeaf);
    const complete = this.sequence.end(BigInt(tree.to), last, place);
    if (note !== undefined) {
      if (complete && this.frontier !== undefined) this.compareRoot(note, this.frontier);
      this.compareInRoot(note);
      comparePrevious({
        findings,
        notes,
        tree: tree.tree,
        note,
        carried: proof.previous,
        given: previous,
        roots: this.kept.roots,
        where: this.where,
      });
      this.terms?.end(this.signedTerms(), this.where);
      if (complete) this.compareTerms();
      const { filter } = this;
      if (filter?.kind === 'time' && complete) checkTimeFilter(findings, filter, tree, note.size, this.sequence, this.where);
    }
    return {
      tree: tree.tree,
      origin: tree.origin,
      from: tree.from,
      to: tree.to,
      size: note === undefined ? '' : String(note.size),
      root: note?.root.toString('hex') ?? '',
      leaves: this.sequence.leaves,
      shown: this.shown,
      verdicts: this.sequence.verdicts,
      bodies: this.bodies === undefined ? null : { shown: this.bodies.shown, missing: this.bodies.missing },
      firstTime: this.sequence.firstTime ?? null,
      lastTime: this.sequence.lastTime ?? null,
    };
  }

  private compareRoot(note: CheckpointNote, frontier: Frontier): void {
    const { findings, tree, proof } = this.options;
    const right = cover(frontier.size, note.size);
    const wrong = (): void =>
      findings.add('ROOT', `the leaves ${tree.from}…${tree.to} of ${tree.tree} do not give the root that was signed at size ${note.size}`, {
        ...this.where,
        index: tree.from,
      });
    if (frontier.size > note.size || right.length !== proof.right.length) return wrong();
    right.forEach((node, i) => frontier.appendSubtree(node.level, readHash(proof.right[i] as string)));
    if (!frontier.root().equals(note.root)) wrong();
  }

  private compareInRoot(note: CheckpointNote): void {
    const { findings, notes, tree, rootNote } = this.options;
    const { inRoot } = this.options.proof;
    if (rootNote === undefined) return;
    if (tree.tree === 'root') {
      if (note.size !== rootNote.size || !note.root.equals(rootNote.root))
        findings.add('FORK', 'two notes of the root tree differ', this.where);
      return;
    }
    if (inRoot === null) {
      findings.add('ROOT', `the note of ${tree.tree} is not shown to be in the root tree`, this.where);
      return;
    }
    const leaf = Buffer.from(inRoot.leaf, 'utf8');
    const said = readRootLeaf(leaf);
    const [index, hashes] = [BigInt(inRoot.index), inRoot.hashes.map(readHash)];
    const proved = checkInclusion(hashes, rootNote.size, rootNote.root, leafIndex(index), leafHash(leaf));
    const opened = said === undefined ? undefined : notes.quietly(said.note);
    const same = said?.tree === tree.tree && opened !== undefined && opened.size === note.size && opened.root.equals(note.root);
    if (!proved || !same) findings.add('ROOT', `the note of ${tree.tree} is not the one in the root tree`, this.where);
  }

  /** A signer may lie about terms as about anything else; only whoever has all leaves can tell. */
  private compareTerms(): void {
    const { findings, tree } = this.options;
    const signed = this.signedTerms();
    if (this.derived === undefined || signed === undefined || signed.equals(this.derived.root())) return;
    findings.add('TERMS', `the leaves of ${tree.tree} do not give the terms that were signed with its note`, this.where);
  }

  private signedTerms(): Hash | undefined {
    const { inRoot } = this.options.proof;
    return inRoot === null ? undefined : readRootLeaf(Buffer.from(inRoot.leaf, 'utf8'))?.terms;
  }
}

/** Only trees of partitions have terms. */
const partition = (tree: string): boolean => tree.startsWith('p');
