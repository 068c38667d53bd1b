import { checkConsistency, type CheckpointNote, type Frontier, type Hash } from '../tlog/index.js';
import type { ConsistencyWith } from './bundle-format.js';
import type { BundleNotes } from './bundle-notes.js';
import type { Findings, Place } from './findings.js';
import { readHash } from './read-json.js';

/** Roots that the exported leaves of one tree give at the sizes of the notes that were given to compare. */
export class KeptRoots {
  readonly roots = new Map<bigint, Hash>();
  private readonly sizes: ReadonlySet<bigint>;

  constructor(notes: BundleNotes, tree: string, given: readonly string[]) {
    const opened = given.map((text) => notes.quietly(text)).filter((note) => note?.origin === notes.origin(tree));
    this.sizes = new Set(opened.map((note) => note?.size ?? 0n));
  }
  passed(frontier: Frontier): void {
    if (this.sizes.size > 0 && this.sizes.has(frontier.size)) this.roots.set(frontier.size, frontier.root());
  }
}

/** That a tree's note continues an earlier one: the one that the bundle carries, and those that its reader kept. */
export function comparePrevious(options: {
  readonly findings: Findings;
  readonly notes: BundleNotes;
  readonly tree: string;
  readonly note: CheckpointNote;
  readonly carried: ConsistencyWith | null;
  readonly given: readonly string[];
  readonly roots: ReadonlyMap<bigint, Hash>;
  readonly where: Place;
}): void {
  const { findings, notes, tree, note, carried, given, roots, where } = options;
  const clean = !findings.has('ROOT', 'LEAF', 'GAP', 'REORDER', 'TRUNCATION');
  const says = (one: CheckpointNote): string => `size ${one.size} root ${one.root.toString('base64')}`;
  const fork = (other: CheckpointNote): void =>
    findings.add('FORK', `two signed histories of ${tree}: ${says(other)} and ${says(note)} do not continue each other`, where);
  const earlier = carried === null ? undefined : notes.open(carried.note, tree, where);
  if (carried !== null && earlier !== undefined && !extendsNote(note, earlier, carried.hashes.map(readHash))) fork(earlier);
  for (const text of given) {
    const kept = notes.quietly(text);
    if (kept === undefined) {
      findings.add('SIGNATURE', 'a note that was given to compare is not signed by the trusted key', {});
      continue;
    }
    if (kept.origin !== notes.origin(tree)) continue;
    if (kept.size > note.size) {
      const message = `${tree} was signed at size ${kept.size} before; this bundle knows only ${note.size}: it was rolled back`;
      findings.add('TRUNCATION', message, where);
      continue;
    }
    const derived = kept.size === note.size ? note.root : clean ? roots.get(kept.size) : undefined;
    const known = derived ?? (earlier?.size === kept.size ? earlier.root : undefined);
    if (known !== undefined) {
      if (!known.equals(kept.root)) fork(kept);
    } else if (clean && kept.size > 0n) {
      const message = `this bundle cannot show that ${tree} continues your note of size ${kept.size}: ask for an export with \`since\` ${kept.size}`;
      findings.add('PREVIOUS_UNPROVED', message, where);
    }
  }
}

export function extendsNote(note: CheckpointNote, earlier: CheckpointNote, hashes: readonly Hash[]): boolean {
  if (earlier.size === 0n) return hashes.length === 0;
  return checkConsistency(hashes, note.size, note.root, earlier.size, earlier.root);
}
