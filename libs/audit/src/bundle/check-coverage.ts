import type { ExportDescription } from './bundle-format.js';
import type { TreeReport } from './check-tree.js';
import type { Findings } from './findings.js';
import { readRootLeaf } from './read-json.js';

/** How much of the log a bundle is shown to hold; for a filter: to answer for. */
export interface CoverageReport {
  /** `whole`: every tree that the root tree names, to its end. `unknown`: nothing is missing, but which trees there are is not shown. */
  readonly kind: 'whole' | 'part' | 'unknown';
  /** What the export says was ordered: no proof, since whoever exports writes it. Null: it is of before exports said so. */
  readonly asked: 'everything' | 'part' | null;
  /** What is not here, in words; at most 20. */
  readonly missing: readonly string[];
}

/** Whoever verifies: a part as it was ordered is good enough, or nothing but a whole that is shown to be one. */
export type Acceptance = 'part' | 'whole';

const MAX_NAMED = 5_000;
const MAX_SAID = 20;
const TREE = /^(?:access|p(?:0|[1-9][0-9]{0,3}))$/;

/** The size of each tree's newest note, as the leaves of the root tree name them. That they are its leaves is checked with them. */
export class NamedTrees {
  private readonly newest = new Map<string, bigint>();

  leaf(bytes: Buffer): void {
    const said = readRootLeaf(bytes);
    const size = said?.note.split('\n', 2)[1];
    if (said === undefined || size === undefined || !TREE.test(said.tree) || !/^(0|[1-9][0-9]{0,18})$/.test(size)) return;
    const known = this.newest.get(said.tree);
    if (known === undefined ? this.newest.size < MAX_NAMED : known < BigInt(size)) this.newest.set(said.tree, BigInt(size));
  }
  get sizes(): ReadonlyMap<string, bigint> {
    return this.newest;
  }
}

interface Gap {
  readonly tree: string;
  readonly says: string;
  /** A tree that is missing or as it once was, not leaves of one that is here. */
  readonly ofTree: boolean;
}

/**
 * Whether trees, or leaves before or behind those that are here, were left out. The root tree, where it is here whole, names every tree with its
 * newest size; without it only what the trees themselves say can be seen.
 */
export function checkCoverage(options: {
  readonly findings: Findings;
  readonly description: ExportDescription;
  readonly trees: readonly TreeReport[];
  readonly rootSize: string;
  readonly named: NamedTrees;
  readonly accept: Acceptance | undefined;
}): CoverageReport {
  const { findings, description, trees, rootSize, named, accept } = options;
  const { asked, filter } = description;
  const root = trees.find(({ tree }) => tree === 'root');
  const rootWhole = root !== undefined && root.from === '0' && root.to === rootSize && root.size === rootSize;
  const gaps: Gap[] = [];
  if (rootWhole)
    for (const [tree, size] of named.sizes) {
      if (tree === 'access' && filter !== undefined) continue;
      const here = trees.find((one) => one.tree === tree);
      if (here === undefined) gaps.push({ tree, says: `${tree} with ${size} leaves`, ofTree: true });
      else if (here.size !== '' && BigInt(here.size) < size)
        gaps.push({ tree, says: `${tree} behind size ${here.size}: a note of size ${size} is in the root tree`, ofTree: true });
    }
  for (const { tree, from, to, size } of trees) {
    // A time has its own witnesses on either side.
    if (size === '' || (filter?.kind === 'time' && tree !== 'root')) continue;
    if (from !== '0') gaps.push({ tree, says: `leaves 0–${from} of ${tree}, ordered so or pruned`, ofTree: false });
    if (to !== size) gaps.push({ tree, says: `leaves ${to}–${size} of ${tree}`, ofTree: false });
  }
  if (!rootWhole && asked === 'part') gaps.push({ tree: 'root', says: 'any tree that was not ordered', ofTree: false });
  if (!rootWhole && asked === 'everything')
    gaps.push({ tree: 'root', says: 'the whole root tree, which names all trees, although everything was ordered', ofTree: true });
  const found = gaps.filter(({ ofTree }) => {
    if (accept === 'whole') return true;
    if (accept === 'part') return ofTree && asked === 'everything';
    return ofTree || asked !== undefined;
  });
  const ordered =
    asked === 'part' ? 'the export says that a part was ordered; --partial accepts that' : 'nothing shows that it was not left out';
  for (const { tree, says } of found) findings.add('INCOMPLETE', `not in this bundle: ${says} (${ordered})`, { tree });
  if (accept === 'whole' && !rootWhole && asked === undefined)
    findings.add('INCOMPLETE', 'which trees the log has cannot be known from this bundle: the whole root tree is not in it', {
      tree: 'root',
    });
  return {
    kind: gaps.length > 0 ? 'part' : rootWhole ? 'whole' : 'unknown',
    asked: asked ?? null,
    missing: gaps.slice(0, MAX_SAID).map(({ says }) => says),
  };
}
